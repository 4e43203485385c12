"""Policies from other libraries as npz files of plain arrays: perceptrons with normal actions.

    h = clip((o - obs_mean) / sqrt(obs_var + obs_epsilon), +-obs_clip), if those are present
    h = activation(h @ w0 + b0), then w1, b1, ...
    mean = h @ w_mean + b_mean
    log std = log_std, or clip(h @ w_log_std + b_log_std, -20, 2), if present
    action = squash(mean + std * noise), tanh or clip to [-1, 1]

`activation` is relu or tanh, `squash` is tanh or clip. No file runs code.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlp.data.npz import read_npz
from rlp.errors import InputError

ACTIVATIONS = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}
SQUASHES = {"tanh": np.tanh, "clip": lambda x: np.clip(x, -1, 1)}
LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0
OPTIONAL = ("log_std", "w_log_std", "b_log_std", "obs_mean", "obs_var", "obs_clip", "obs_epsilon")


class PolicyFile(NamedTuple):
    """A policy read from a file."""

    name: str
    layers: list[tuple[np.ndarray, np.ndarray]]  # kernels [in, out] and biases
    arrays: dict[str, np.ndarray]
    activation: str
    squash: str

    @property
    def widths(self) -> tuple[int, int]:
        """The sizes of an observation and of an action."""
        return len(self.layers[0][0]), len(self.arrays["b_mean"])

    def __call__(
        self, observation: np.ndarray, rng: np.random.Generator, temperature: float = 1.0
    ) -> np.ndarray:
        """Returns actions [N, A] in [-1, 1] for observations [N, O]; temperature 0 is the mode."""
        arrays, hidden = self.arrays, observation
        if "obs_mean" in arrays:
            std = np.sqrt(arrays["obs_var"] + arrays.get("obs_epsilon", 0.0))
            hidden = (observation - arrays["obs_mean"]) / std
            hidden = np.clip(hidden, -(limit := arrays.get("obs_clip", np.inf)), limit)
        for kernel, bias in self.layers:
            hidden = ACTIVATIONS[self.activation](hidden @ kernel + bias)
        action = hidden @ arrays["w_mean"] + arrays["b_mean"]
        if temperature:
            log_std = arrays.get("log_std")
            if log_std is None:
                raw = hidden @ arrays["w_log_std"] + arrays["b_log_std"]
                log_std = np.clip(raw, LOG_STD_MIN, LOG_STD_MAX)
            action = action + temperature * np.exp(log_std) * rng.standard_normal(action.shape)
        return SQUASHES[self.squash](action)


def read_policy(path: Path) -> PolicyFile:
    """Returns the policy in an npz file.

    Raises:
        InputError: if the file is damaged, or its arrays do not fit each other.
    """
    arrays = read_npz(path)
    numbers = sorted(int(name[1:]) for name in arrays if name[:1] == "w" and name[1:].isdecimal())
    known = {"w_mean", "b_mean", "activation", "squash", *OPTIONAL}
    known |= {f"{kind}{number}" for kind in "wb" for number in numbers}
    missing = [
        name for name in ("w0", "w_mean", "b_mean", "activation", "squash") if name not in arrays
    ]
    missing += [f"b{number}" for number in numbers if f"b{number}" not in arrays]
    if missing or numbers != list(range(len(numbers))):
        raise InputError(f"{path}: no policy, it has no {', '.join(missing) or 'layers in a row'}")
    if unknown := sorted(arrays.keys() - known):
        raise InputError(f"{path}: {', '.join(unknown)} is no part of a policy that rlp knows")
    activation, squash = (str(arrays.pop(name)) for name in ("activation", "squash"))
    for name, value, there in (
        ("activation", activation, ACTIVATIONS), ("squash", squash, SQUASHES),
    ):  # fmt: skip
        if value not in there:
            raise InputError(f"{path}: {name} is {value}, not one of {', '.join(there)}")
    for name, array in arrays.items():
        if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise InputError(f"{path}: {name} has other than finite numbers")
    if "log_std" not in arrays and not {"w_log_std", "b_log_std"} <= arrays.keys():
        arrays["log_std"] = np.full(arrays["b_mean"].shape, -np.inf)  # no sampling
    layers = [(arrays.pop(f"w{number}"), arrays.pop(f"b{number}")) for number in numbers]
    policy = PolicyFile(str(path), layers, arrays, activation, squash)
    _check_shapes(policy, path)
    return policy


def _check_shapes(policy: PolicyFile, path: Path) -> None:
    arrays, num_inputs = policy.arrays, policy.layers[0][0].shape[:1]
    last = policy.layers[-1][1].shape
    expected = {"w_mean": (*last, *arrays["b_mean"].shape), "log_std": arrays["b_mean"].shape}
    expected |= {"w_log_std": expected["w_mean"], "b_log_std": expected["log_std"]}
    expected |= {"obs_mean": num_inputs, "obs_var": num_inputs, "obs_clip": (), "obs_epsilon": ()}
    wrong = [name for name in expected if name in arrays and arrays[name].shape != expected[name]]
    width = num_inputs
    for number, (kernel, bias) in enumerate(policy.layers):
        if kernel.shape != (*width, *bias.shape) or bias.ndim != 1:
            wrong.append(f"w{number}")
        width = bias.shape
    if wrong or arrays["b_mean"].ndim != 1:
        raise InputError(f"{path}: {', '.join(wrong or ['b_mean'])} does not fit the other arrays")
