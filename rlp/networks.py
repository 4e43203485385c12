"""Neural networks: the only file that imports flax.

A network is a pair of pure functions over its parameters, so that everything else is typed.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from rlp.types import Params, Segment

LayerNorm = Literal["none", "before", "after"]  # whether, and on which side of the activation


class Network(NamedTuple):
    """A network as two pure functions."""

    init: Callable[..., Params]  # (key, *inputs) -> params
    apply: Callable[..., jax.Array]  # (params, *inputs) -> output


@jax.custom_vjp
def _product(kernel: jax.Array, x: jax.Array) -> jax.Array:
    """Returns kernel^T x [O, rows] of a kernel [I, O] and inputs [I, rows].

    On a CPU, XLA is fast where the left side is contracted along its last axis. Of the products
    here and in the gradients only this one is not so, and the kernel is smaller than the inputs
    that would be in its place with the rows first. XLA folds a transpose that nothing holds.
    """
    transposed = kernel.T
    if jax.default_backend() == "cpu":
        transposed = jax.lax.optimization_barrier(transposed)
    return transposed @ x


def _product_and_inputs(kernel: jax.Array, x: jax.Array) -> tuple[jax.Array, Any]:
    return _product(kernel, x), (kernel, x)


def _gradients(inputs: Any, output: jax.Array) -> tuple[jax.Array, jax.Array]:
    kernel, x = inputs
    return x @ output.T, kernel @ output


_product.defvjp(_product_and_inputs, _gradients)


class _DenseOnFirstAxis(nn.Module):
    """nn.Dense with the features first: [I, rows] -> [dim, rows]."""

    dim: int
    kernel_init: nn.initializers.Initializer = nn.linear.default_kernel_init

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", self.kernel_init, (len(x), self.dim), x.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.dim,), x.dtype)
        return _product(kernel, x) + bias[:, None]


class _MLP(nn.Module):
    hidden_dims: tuple[int, ...]
    output_dim: int
    layer_norm: LayerNorm
    output_bound: float | None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        batch = x.shape[:-1]
        x = x.reshape(-1, x.shape[-1]).T  # [I, rows]: see _product
        for layer, dim in enumerate(self.hidden_dims):
            x = _DenseOnFirstAxis(dim, name=f"Dense_{layer}")(x)
            if self.layer_norm == "before":
                x = nn.LayerNorm(reduction_axes=0, feature_axes=0)(x)
            x = nn.relu(x)
            if self.layer_norm == "after":
                x = nn.LayerNorm(reduction_axes=0, feature_axes=0)(x)
        bound = self.output_bound
        kernel_init = _uniform(bound) if bound else nn.linear.default_kernel_init
        x = _DenseOnFirstAxis(self.output_dim, kernel_init, name="output")(x)
        return x.T.reshape(*batch, self.output_dim)


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


class _Block(nn.Module):
    """A layer of GPT-2: attention and a perceptron, each on normalised tokens and added to them.

    Returns those tokens that ask; the others are only looked at.
    """

    num_heads: int

    @nn.compact
    def __call__(
        self, x: jax.Array, visible: jax.Array, asking: slice, dropout: jax.Array
    ) -> jax.Array:
        width = x.shape[-1]
        normalised = _layer_norm("attention_norm")(x)
        q = _dense(width, "query")(normalised[..., asking, :])
        k, v = jnp.split(_dense(2 * width, "key_value")(normalised), 2, axis=-1)
        attended = self._attend(q, k, v, visible[..., asking, :], dropout)
        x = x[..., asking, :]
        x += _drop(self, _dense(width, "attention_output")(attended), dropout)
        hidden = nn.relu(_dense(4 * width, "hidden")(_layer_norm("mlp_norm")(x)))
        return x + _drop(self, _dense(width, "mlp_output")(hidden), dropout)

    def _attend(
        self, q: jax.Array, k: jax.Array, v: jax.Array, visible: jax.Array, dropout: jax.Array
    ) -> jax.Array:
        """Returns [..., Q, W] for queries [..., Q, W], keys and values [..., L, W]."""
        q, k, v = (x.reshape(*x.shape[:-1], self.num_heads, -1) for x in (q, k, v))
        scores = jnp.einsum("...qhd,...khd->...hqk", q, k) / math.sqrt(q.shape[-1])
        scores = jnp.where(visible[..., None, :, :], scores, jnp.finfo(scores.dtype).min)
        weights = _drop(self, nn.softmax(scores), dropout)
        attended = jnp.einsum("...hqk,...khd->...qhd", weights, v)
        return attended.reshape(*attended.shape[:-2], -1)


class _DecisionTransformer(nn.Module):
    action_dim: int
    embed_dim: int
    num_layers: int
    num_heads: int
    num_timesteps: int

    @nn.compact
    def __call__(self, segment: Segment, dropout: jax.Array) -> jax.Array:
        timestep = jnp.minimum(segment.timestep, self.num_timesteps - 1)
        time = nn.Embed(self.num_timesteps, self.embed_dim, name="embed_timestep")(timestep)
        tokens = [
            nn.Dense(self.embed_dim, name=f"embed_{name}")(x) + time
            for name, x in (
                ("return", segment.return_to_go[..., None]),
                ("observation", segment.observation),
                ("action", segment.action),
            )
        ]
        x = jnp.stack(tokens, axis=-2)  # [..., K, 3, W]
        x = x.reshape(*x.shape[:-3], -1, self.embed_dim)  # [..., 3K, W]
        x = _drop(self, _layer_norm("embed_norm")(x), dropout)
        real = jnp.repeat(segment.mask, len(tokens), axis=-1)
        visible = real[..., None, :] & jnp.tri(real.shape[-1], dtype=bool)  # [..., 3K, 3K]
        for layer in range(self.num_layers):
            last = layer == self.num_layers - 1
            asking = slice(1, None, len(tokens)) if last else slice(None)  # the observations
            x = _Block(self.num_heads, name=f"block_{layer}")(x, visible, asking, dropout)
        return jnp.tanh(nn.Dense(self.action_dim, name="action")(_layer_norm("output_norm")(x)))


def _layer_norm(name: str) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=1e-5, name=name)


def _dense(width: int, name: str) -> nn.Dense:
    return nn.Dense(width, kernel_init=nn.initializers.normal(0.02), name=name)


def _drop(module: nn.Module, x: jax.Array, rate: jax.Array) -> jax.Array:
    """Returns x with dropout where the module has a key for it."""
    return dropout(module.make_rng("dropout"), x, rate) if module.has_rng("dropout") else x


def dropout(key: jax.Array, x: jax.Array, rate: jax.Array | float) -> jax.Array:
    """Returns x with entries set to 0 with probability `rate`, the others scaled up by it.

    flax's Dropout takes no traced rate, and draws 32 bits an entry: a fifth of the time of an
    update on a CPU. Here it is a byte, so the rate is rounded to k / 256.
    """
    bits = jax.random.bits(key, (math.ceil(x.size / 4),))
    numbers = jax.lax.bitcast_convert_type(bits, jnp.uint8).reshape(-1)[: x.size].reshape(x.shape)
    dropped = jnp.round(256 * rate)
    return jnp.where(numbers >= dropped, x * 256 / (256 - dropped), 0)


def decision_transformer(
    action_dim: int, embed_dim: int, num_layers: int, num_heads: int, num_timesteps: int
) -> Network:
    """Returns a causal GPT from a Segment [..., K] to the action of each of its steps, [..., K, A].

    A step is three tokens: return to go, observation, action; all three have the embedding of the
    timestep added, of which there are `num_timesteps` (later ones are the last). The action is
    predicted from the observation's token. `apply` takes the parameters, the segment, and a key and
    rate of dropout; without a key there is none.
    """
    module = _DecisionTransformer(action_dim, embed_dim, num_layers, num_heads, num_timesteps)

    def init(key: jax.Array, segment: Segment) -> Params:
        return module.init(key, segment, jnp.zeros(()))["params"]

    def apply(
        params: Params, segment: Segment, key: jax.Array | None = None, dropout: Any = 0.0
    ) -> jax.Array:
        rngs = {} if key is None else {"dropout": key}
        output = module.apply({"params": params}, segment, jnp.asarray(dropout), rngs=rngs)
        assert isinstance(output, jax.Array)
        return output

    return Network(init, apply)


def output_dim(params: Params) -> int:
    """Returns the width of the last layer of an `mlp`, read off its parameters."""
    return params["output"]["bias"].shape[-1]
