"""Weights of Hugging Face's `DecisionTransformerModel`, for `rlp.algos.dt`.

    weights = read_weights("model.safetensors")     # or an npz with the same names
    params = decision_transformer(weights)
    action = dt.act(config, params, ...)             # num_heads is in the model's config.json

The model expects observations normalised with the statistics in its model card, and returns divided
by 1000, as here. `write` does the reverse: it makes a folder for `from_pretrained`.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rlp.algos import dt
from rlp.data.npz import read_npz
from rlp.errors import InputError
from rlp.runs.checkpoint import differences
from rlp.system.files import write_json
from rlp.types import UNKNOWN, Params, vectors

Weights = Mapping[str, np.ndarray]  # as in the state dict: Linear [out, in], Conv1D [in, out]


def read_weights(path: str | Path) -> Weights:
    """Returns the arrays of a state dict, from a .safetensors or .npz file.

    Raises:
        InputError: if the file cannot be read, or safetensors is not installed.
    """
    path = Path(path)
    if path.suffix == ".npz":
        return read_npz(path)
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ModuleNotFoundError:
        raise InputError(f"{path}: install safetensors to read it (the extra `hf`)") from None
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: {error}") from None


def decision_transformer(weights: Weights) -> Params:
    """Returns parameters of `rlp.algos.dt` that compute the same function of a segment.

    The model adds row 0 of its position embedding to every token after the first normalisation, so
    that row is added to the normalisation's bias. The heads for states and returns are dropped.

    Raises:
        InputError: if weights are missing or do not fit each other.
    """
    try:
        params = _convert(weights)
    except KeyError as error:
        raise InputError(f"not the weights of a Decision Transformer: no {error}") from None
    wrong = differences(_expected(params), params)
    if wrong:
        raise InputError(f"not the weights of a Decision Transformer: {wrong}")
    return jax.tree.map(lambda array: jnp.asarray(array, jnp.float32), params)


def _convert(weights: Weights) -> Params:
    width = len(weights["embed_ln.bias"])
    embed_norm = _norm(weights, "embed_ln")
    embed_norm["bias"] = embed_norm["bias"] + weights.get("encoder.wpe.weight", np.zeros((1, 1)))[0]
    layers = itertools.takewhile(
        lambda layer: f"encoder.h.{layer}.ln_1.weight" in weights, itertools.count()
    )
    return {
        "embed_timestep": {"embedding": weights["embed_timestep.weight"]},
        "embed_return": _linear(weights, "embed_return"),
        "embed_observation": _linear(weights, "embed_state"),
        "embed_action": _linear(weights, "embed_action"),
        "embed_norm": embed_norm,
        **{f"block_{layer}": _block(weights, f"encoder.h.{layer}", width) for layer in layers},
        "output_norm": _norm(weights, "encoder.ln_f"),
        "action": _linear(weights, "predict_action.0"),
    }


def _block(weights: Weights, name: str, width: int) -> Params:
    kernel, bias = (weights[f"{name}.attn.c_attn.{each}"] for each in ("weight", "bias"))
    return {
        "attention_norm": _norm(weights, f"{name}.ln_1"),
        "query": {"kernel": kernel[:, :width], "bias": bias[:width]},
        "key_value": {"kernel": kernel[:, width:], "bias": bias[width:]},
        "attention_output": _conv1d(weights, f"{name}.attn.c_proj"),
        "mlp_norm": _norm(weights, f"{name}.ln_2"),
        "hidden": _conv1d(weights, f"{name}.mlp.c_fc"),
        "mlp_output": _conv1d(weights, f"{name}.mlp.c_proj"),
    }


def _norm(weights: Weights, name: str) -> Params:
    return {"scale": weights[f"{name}.weight"], "bias": weights[f"{name}.bias"]}


def _linear(weights: Weights, name: str) -> Params:
    return {"kernel": weights[f"{name}.weight"].T, "bias": weights[f"{name}.bias"]}


def _conv1d(weights: Weights, name: str) -> Params:
    return {"kernel": weights[f"{name}.weight"], "bias": weights[f"{name}.bias"]}


def _expected(params: Params) -> Params:
    """Returns the shapes of `rlp.algos.dt` for the sizes of these parameters."""
    embedding = params["embed_timestep"]["embedding"]
    layers = sum(name.startswith("block_") for name in params)
    config = dt.Config(context=1, embed_dim=embedding.shape[-1], num_layers=layers)
    observation_dim, action_dim = (
        len(params[f"embed_{name}"]["kernel"]) for name in ("observation", "action")
    )
    spec = vectors(observation_dim, action_dim, len(embedding))
    return jax.eval_shape(lambda: dt.init(config, jax.random.key(0), spec, UNKNOWN)).actor


def write(folder: Path, config: dt.Config, params: Params) -> None:
    """Writes a Decision Transformer as model.safetensors and config.json into a folder.

    Raises:
        InputError: if safetensors is not installed.
    """
    try:
        from safetensors.numpy import save_file
    except ModuleNotFoundError:
        raise InputError("install safetensors to write it (the extra `hf`)") from None
    num_positions = max(1024, 3 * config.context)  # tokens; 1024 is Hugging Face's default
    arrays = to_weights(params, num_positions)
    save_file(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    model = {
        "architectures": ["DecisionTransformerModel"],
        "model_type": "decision_transformer",
        "state_dim": arrays["embed_state.weight"].shape[1],
        "act_dim": arrays["embed_action.weight"].shape[1],
        "max_ep_len": len(arrays["embed_timestep.weight"]),
        "hidden_size": config.embed_dim,
        "n_layer": config.num_layers,
        "n_head": config.num_heads,
        "n_positions": num_positions,
        "activation_function": "relu",
        "action_tanh": config.head == "deterministic",
        "return_scale": float(config.return_scale),  # applied by the caller, not the model
    }
    write_json(folder / "config.json", model)


def to_weights(params: Params, num_positions: int) -> dict[str, np.ndarray]:
    """Returns the state dict of a model that computes the same function.

    Parts that rlp does not have are zeros: the embeddings of one word and of `num_positions`
    positions, and the heads for states and returns.
    """
    params = jax.device_get(params)
    observation_dim, width = params["embed_observation"]["kernel"].shape
    weights = {
        "encoder.wte.weight": np.zeros((1, width), np.float32),
        "encoder.wpe.weight": np.zeros((num_positions, width), np.float32),
        "embed_timestep.weight": params["embed_timestep"]["embedding"],
    }
    for name, size in (("predict_state", observation_dim), ("predict_return", 1)):
        zeros = {"kernel": np.zeros((width, size), np.float32), "bias": np.zeros(size, np.float32)}
        weights |= _to_linear(zeros, name)
    for name, theirs in (("return", "return"), ("observation", "state"), ("action", "action")):
        weights |= _to_linear(params[f"embed_{name}"], f"embed_{theirs}")
    weights |= _to_linear(params["action"], "predict_action.0")
    weights |= _to_norm(params["embed_norm"], "embed_ln")
    weights |= _to_norm(params["output_norm"], "encoder.ln_f")
    for layer in range(sum(name.startswith("block_") for name in params)):
        weights |= _to_block(params[f"block_{layer}"], f"encoder.h.{layer}")
    return weights


def _to_block(params: Params, name: str) -> dict[str, np.ndarray]:
    attention = {
        part: np.concatenate([params["query"][part], params["key_value"][part]], axis=-1)
        for part in ("kernel", "bias")
    }
    return {
        **_to_norm(params["attention_norm"], f"{name}.ln_1"),
        **_to_conv1d(attention, f"{name}.attn.c_attn"),
        **_to_conv1d(params["attention_output"], f"{name}.attn.c_proj"),
        **_to_norm(params["mlp_norm"], f"{name}.ln_2"),
        **_to_conv1d(params["hidden"], f"{name}.mlp.c_fc"),
        **_to_conv1d(params["mlp_output"], f"{name}.mlp.c_proj"),
    }


def _to_norm(params: Params, name: str) -> dict[str, np.ndarray]:
    return {f"{name}.weight": params["scale"], f"{name}.bias": params["bias"]}


def _to_linear(params: Params, name: str) -> dict[str, np.ndarray]:
    return {f"{name}.weight": params["kernel"].T, f"{name}.bias": params["bias"]}


def _to_conv1d(params: Params, name: str) -> dict[str, np.ndarray]:
    return {f"{name}.weight": params["kernel"], f"{name}.bias": params["bias"]}
