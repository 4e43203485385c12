"""Reading networks and batches from the golden vectors, where weights are [in, out]."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlp.types import Params, Transition


def layer_name(index: int, layers: int) -> str:
    return "output" if index == layers - 1 else f"Dense_{index}"


def read_mlp(vectors: Any, prefix: str) -> Params:
    """Returns the parameters `<prefix>_w0, _b0, ...` as `networks.mlp` keeps them."""
    layers = sum(name.startswith(f"{prefix}_w") for name in vectors)
    return {
        layer_name(i, layers): {
            "kernel": jnp.asarray(vectors[f"{prefix}_w{i}"], jnp.float32),
            "bias": jnp.asarray(vectors[f"{prefix}_b{i}"], jnp.float32),
        }
        for i in range(layers)
    }


def assert_mlp_close(
    actual: Params, vectors: Any, prefix: str, rtol: float = 0.0, atol: float = 0.0
) -> None:
    """Checks parameters (or their gradients) against those stored."""
    for i in range(len(actual)):
        layer = actual[layer_name(i, len(actual))]
        for name, letter in (("kernel", "w"), ("bias", "b")):
            expected = vectors[f"{prefix}_{letter}{i}"]
            np.testing.assert_allclose(layer[name], expected, rtol, atol, err_msg=f"{prefix} {i}")


def read_hidden_dims(vectors: Any, prefix: str) -> tuple[int, ...]:
    """Returns the widths of the hidden layers of the network `<prefix>_w0, ...`."""
    layers = sum(name.startswith(f"{prefix}_w") for name in vectors)
    return tuple(vectors[f"{prefix}_w{i}"].shape[1] for i in range(layers - 1))


def read_transition(vectors: Any, prefix: str) -> Transition:
    """Returns a stored batch."""
    observation, action, reward, done, next_observation = (
        jnp.asarray(vectors[prefix + name], jnp.float32)
        for name in ("observations", "actions", "rewards", "dones", "next_observations")
    )
    return Transition(observation, action, reward[:, 0], 1 - done[:, 0], next_observation)


def read_critics(vectors: Any, prefix: str, suffix: str = "") -> Params:
    """Returns the parameters of q1 and q2 (q1t and q2t) as an ensemble [2, ...]."""
    critics = [read_mlp(vectors, f"{prefix}q{i}{suffix}") for i in (1, 2)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *critics)


def assert_critics_close(
    actual: Params, vectors: Any, prefix: str, suffix: str = "", rtol: float = 0, atol: float = 0
) -> None:
    """Checks the parameters of both critics (or their gradients) against those stored."""
    for i in (1, 2):
        critic = jax.tree.map(lambda leaf, i=i: leaf[i - 1], actual)
        assert_mlp_close(critic, vectors, f"{prefix}q{i}{suffix}", rtol, atol)


def num_steps(vectors: Any, name: str) -> int:
    """Returns how many of `name`, with a `{}` for the step, there are: at least 1."""
    missing = (step for step in range(len(vectors.files) + 1) if name.format(step) not in vectors)
    found = next(missing)
    assert found > 0
    return found
