"""Neural networks: perceptrons here, transformers in `rlp.nn.transformers`.

A network is a pair of pure functions of its parameters, so that all other code is typed. Only the
files of `rlp.nn` import flax.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from rlp.nn.layers import Dense, LayerNorm
from rlp.types import Params

NormSide = Literal["none", "before", "after"]  # where, relative to the activation
Init = Literal["flax", "torch", "rlkit", "edac", "orthogonal", "glorot"]  # see `initializers`
Activation = Literal[
    "relu", "gelu", "silu"
]  # after hidden layers; gelu is flax's tanh approximation
ACTOR_BOUND, CRITIC_BOUND = 1e-3, 3e-3  # of the last layers' weights, in rlkit's and EDAC's code


class Network(NamedTuple):
    """A network as two pure functions."""

    init: Callable[..., Params]  # (key, *inputs) -> params
    apply: Callable[..., jax.Array]  # (params, *inputs) -> output


class _MLP(nn.Module):
    hidden_dims: tuple[int, ...]
    output_dim: int
    layer_norm: NormSide
    weights: Init
    output_bound: float
    activation: Activation

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        batch = x.shape[:-1]
        x = x.reshape(-1, x.shape[-1]).T  # [I, rows]
        for layer, dim in enumerate(self.hidden_dims):
            x = Dense(dim, *initializers(self.weights, len(x), dim), name=f"Dense_{layer}")(x)
            if self.layer_norm == "before":
                x = LayerNorm()(x)
            x = getattr(nn, self.activation)(x)
            if self.layer_norm == "after":
                x = LayerNorm()(x)
        last = initializers(self.weights, len(x), self.output_dim, self.output_bound)
        x = Dense(self.output_dim, *last, name="output")(x)
        return x.T.reshape(*batch, self.output_dim)


def initializers(
    init: Init, num_inputs: int, num_outputs: int, last_bound: float | None = None
) -> tuple[nn.initializers.Initializer, nn.initializers.Initializer]:
    """Returns the initialisers of a layer's kernel and bias.

    Args:
        init: `flax` is Linen's default (LeCun normal, zero bias); `torch` is torch.nn.Linear's;
            `rlkit` is rlkit's, which uses the number of outputs as fan-in, as its kernels are
            transposed; `edac` is the EDAC authors', also used by ReBRAC; `orthogonal` is the IQL
            authors'; `glorot` is the FQL authors', Glorot uniform.
        num_inputs: of the layer.
        num_outputs: of the layer.
        last_bound: the largest weight of a last layer in rlkit's and EDAC's code.
    """
    zeros, small = nn.initializers.zeros, nn.initializers.constant(0.1)
    if init in ("rlkit", "edac"):
        if last_bound:
            return uniform(last_bound), uniform(last_bound)
        fan_in = num_outputs if init == "rlkit" else num_inputs
        return uniform(fan_in**-0.5), small
    if init == "torch":
        return uniform(num_inputs**-0.5), uniform(num_inputs**-0.5)
    if init == "orthogonal":
        return _orthogonal(math.sqrt(2)), zeros
    if init == "glorot":
        return nn.initializers.glorot_uniform(), zeros
    return nn.linear.default_kernel_init, zeros


def uniform(bound: float) -> nn.initializers.Initializer:
    """Returns an initialiser that draws weights uniformly from +- `bound`."""
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


def _orthogonal(scale: float) -> nn.initializers.Initializer:
    """Returns the equivalent of flax's orthogonal initialiser, without LAPACK.

    On a CPU, jaxlib's QR factorisations wait for threads of the pool in which they run. Several in
    one program, for example for several layers, can deadlock.
    """

    def init(key: jax.Array, shape: tuple[int, int], dtype: Any) -> jax.Array:
        num_inputs, num_outputs = shape
        tall = jax.random.normal(key, (max(shape), min(shape)), dtype)
        columns = _orthonormal(tall)
        return scale * (columns if num_inputs >= num_outputs else columns.T)

    return init


def _orthonormal(x: jax.Array) -> jax.Array:
    """Returns the columns of x [N, K], N >= K, orthonormalised by Gram-Schmidt.

    The result is the Q of x = QR in which R has a positive diagonal. Each column is projected
    twice, which is as exact as float32 allows.
    """

    def add(columns: jax.Array, number: jax.Array) -> tuple[jax.Array, None]:
        column = x[:, number]
        for _ in range(2):
            column -= columns @ (column @ columns)
        return columns.at[:, number].set(column / jnp.linalg.norm(column)), None

    columns, _ = jax.lax.scan(add, jnp.zeros_like(x), jnp.arange(x.shape[1]))
    return columns


def mlp(
    hidden_dims: tuple[int, ...],
    output_dim: int,
    init: Init = "flax",
    layer_norm: NormSide = "none",
    output_bound: float = ACTOR_BOUND,
    activation: Activation = "relu",
) -> Network:
    """Returns a perceptron [..., I] -> [..., output_dim] with activations after hidden layers.

    Its parameters are `Dense_0`, `Dense_1`, ... and `output`, each with kernel [in, out] and bias.
    If `init` is rlkit's or EDAC's, those of `output` are drawn uniformly from +- `output_bound`.
    """
    module = _MLP(hidden_dims, output_dim, layer_norm, init, output_bound, activation)

    def start(key: jax.Array, x: jax.Array) -> Params:
        return module.init(key, x)["params"]

    def apply(params: Params, x: jax.Array) -> jax.Array:
        output = module.apply({"params": params}, x)
        assert isinstance(output, jax.Array)
        return output

    return Network(start, apply)


def ensemble(network: Network, size: int) -> Network:
    """Returns `size` networks with their own parameters [E, ...] on one input: outputs [E, ...]."""

    def init(key: jax.Array, x: jax.Array) -> Params:
        return jax.vmap(lambda member_key: network.init(member_key, x))(jax.random.split(key, size))

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return jax.vmap(lambda member_params: network.apply(member_params, x))(params)

    return Network(init, apply)


def critics(
    hidden_dims: tuple[int, ...],
    size: int,
    init: Init = "flax",
    layer_norm: NormSide = "none",
    activation: Activation = "relu",
) -> Network:
    """Returns an ensemble Q(observation [..., O], action [..., A]) -> [E, ...]."""
    network = ensemble(mlp(hidden_dims, 1, init, layer_norm, CRITIC_BOUND, activation), size)

    def start(key: jax.Array, observation: jax.Array, action: jax.Array) -> Params:
        return network.init(key, jnp.concatenate([observation, action], axis=-1))

    def apply(params: Params, observation: jax.Array, action: jax.Array) -> jax.Array:
        return network.apply(params, jnp.concatenate([observation, action], axis=-1))[..., 0]

    return Network(start, apply)


def output_dim(params: Params) -> int:
    """Returns the width of an `mlp`'s last layer, read from its parameters."""
    return params["output"]["bias"].shape[-1]
