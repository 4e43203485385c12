"""Neural networks: the only file that imports flax.

A network is a pair of pure functions over its parameters, so that everything else is typed.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from rlp.types import Params

LayerNorm = Literal["none", "before", "after"]  # whether, and on which side of the activation


class Network(NamedTuple):
    """A network as two pure functions."""

    init: Callable[..., Params]  # (key, *inputs) -> params
    apply: Callable[..., jax.Array]  # (params, *inputs) -> output


class _MLP(nn.Module):
    hidden_dims: tuple[int, ...]
    output_dim: int
    layer_norm: LayerNorm
    output_bound: float | None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for dim in self.hidden_dims:
            x = nn.Dense(dim)(x)
            if self.layer_norm == "before":
                x = nn.LayerNorm()(x)
            x = nn.relu(x)
            if self.layer_norm == "after":
                x = nn.LayerNorm()(x)
        bound = self.output_bound
        kernel_init = _uniform(bound) if bound else nn.linear.default_kernel_init
        return nn.Dense(self.output_dim, kernel_init=kernel_init, name="output")(x)


def _uniform(bound: float) -> nn.initializers.Initializer:
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


def mlp(
    hidden_dims: tuple[int, ...],
    output_dim: int,
    layer_norm: LayerNorm = "none",
    output_bound: float | None = None,
) -> Network:
    """Returns a perceptron [..., I] -> [..., output_dim] with ReLU behind its hidden layers.

    Its parameters are `Dense_0`, `Dense_1`, ... and `output`, each with kernel [in, out] and bias.
    The last kernel is drawn from within +- `output_bound` where there is one.
    """
    module = _MLP(hidden_dims, output_dim, layer_norm, output_bound)

    def init(key: jax.Array, x: jax.Array) -> Params:
        return module.init(key, x)["params"]

    def apply(params: Params, x: jax.Array) -> jax.Array:
        output = module.apply({"params": params}, x)
        assert isinstance(output, jax.Array)
        return output

    return Network(init, apply)


def ensemble(network: Network, size: int) -> Network:
    """Returns `size` networks of independent parameters [E, ...] on one input: [E, ...] outputs."""

    def init(key: jax.Array, x: jax.Array) -> Params:
        return jax.vmap(lambda member_key: network.init(member_key, x))(jax.random.split(key, size))

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return jax.vmap(lambda member_params: network.apply(member_params, x))(params)

    return Network(init, apply)


def critics(
    hidden_dims: tuple[int, ...],
    size: int,
    layer_norm: LayerNorm = "none",
    output_bound: float | None = None,
) -> Network:
    """Returns an ensemble Q(observation [..., O], action [..., A]) -> [E, ...]."""
    network = ensemble(mlp(hidden_dims, 1, layer_norm, output_bound), size)

    def init(key: jax.Array, observation: jax.Array, action: jax.Array) -> Params:
        return network.init(key, jnp.concatenate([observation, action], axis=-1))

    def apply(params: Params, observation: jax.Array, action: jax.Array) -> jax.Array:
        return network.apply(params, jnp.concatenate([observation, action], axis=-1))[..., 0]

    return Network(init, apply)


def output_dim(params: Params) -> int:
    """Returns the width of the last layer of an `mlp`, read off its parameters."""
    return params["output"]["bias"].shape[-1]
