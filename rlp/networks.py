"""Neural networks: the only file that imports flax.

A network is a pair of pure functions over its parameters, so that everything else is typed.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from flax import linen as nn

from rlp.types import Params


class Network(NamedTuple):
    """A network as two pure functions."""

    init: Callable[..., Params]  # (key, *inputs) -> params
    apply: Callable[..., jax.Array]  # (params, *inputs) -> output


class _MLP(nn.Module):
    dims: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for dim in self.dims[:-1]:
            x = nn.relu(nn.Dense(dim)(x))
        return nn.Dense(self.dims[-1])(x)


def mlp(hidden_dims: tuple[int, ...], output_dim: int) -> Network:
    """Returns a perceptron [..., I] -> [..., output_dim] with ReLU between its layers."""
    module = _MLP((*hidden_dims, output_dim))

    def init(key: jax.Array, x: jax.Array) -> Params:
        return module.init(key, x)["params"]

    def apply(params: Params, x: jax.Array) -> jax.Array:
        output = module.apply({"params": params}, x)
        assert isinstance(output, jax.Array)
        return output

    return Network(init, apply)


def output_dim(params: Params) -> int:
    """Returns the width of the last layer of an `mlp`, read off its parameters."""
    return params[f"Dense_{len(params) - 1}"]["bias"].shape[-1]
