"""Weights of Hugging Face's `DecisionTransformerModel`, for `rlp.algos.dt`.

    weights = read_weights("model.safetensors")     # or an npz with the same names
    params = decision_transformer(weights)
    action = dt.act(config, params, ...)             # num_heads is in the model's config.json

Its observations are normalised with statistics that its model card gives, and its returns are
divided by 1000, as here.
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
    """Returns the parameters of `rlp.algos.dt`: the same function of a segment.

    The model adds row 0 of its position embedding to every token behind the first normalisation, so
    that row goes into the normalisation's bias. The heads for states and returns are left out.

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
    """Returns the shapes that `rlp.algos.dt` has for the sizes of these parameters."""
    embedding = params["embed_timestep"]["embedding"]
    layers = sum(name.startswith("block_") for name in params)
    config = dt.Config(context=1, embed_dim=embedding.shape[-1], num_layers=layers)
    observation_dim, action_dim = (
        len(params[f"embed_{name}"]["kernel"]) for name in ("observation", "action")
    )
    spec = vectors(observation_dim, action_dim, len(embedding))
    return jax.eval_shape(lambda: dt.init(config, jax.random.key(0), spec, UNKNOWN)).actor
