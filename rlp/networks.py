"""Neural networks: with `rlp.layers` the only file that imports flax.

A network is a pair of pure functions over its parameters, so that everything else is typed.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from rlp.layers import Dense, LayerNorm, dropout, softmax
from rlp.types import Params, Segment

NormSide = Literal["none", "before", "after"]  # whether, and on which side of the activation


class Network(NamedTuple):
    """A network as two pure functions."""

    init: Callable[..., Params]  # (key, *inputs) -> params
    apply: Callable[..., jax.Array]  # (params, *inputs) -> output


class _MLP(nn.Module):
    hidden_dims: tuple[int, ...]
    output_dim: int
    layer_norm: NormSide
    output_bound: float | None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        batch = x.shape[:-1]
        x = x.reshape(-1, x.shape[-1]).T  # [I, rows]
        for layer, dim in enumerate(self.hidden_dims):
            x = Dense(dim, name=f"Dense_{layer}")(x)
            if self.layer_norm == "before":
                x = LayerNorm()(x)
            x = nn.relu(x)
            if self.layer_norm == "after":
                x = LayerNorm()(x)
        bound = self.output_bound
        kernel_init = _uniform(bound) if bound else nn.linear.default_kernel_init
        x = Dense(self.output_dim, kernel_init, name="output")(x)
        return x.T.reshape(*batch, self.output_dim)


def _uniform(bound: float) -> nn.initializers.Initializer:
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


def mlp(
    hidden_dims: tuple[int, ...],
    output_dim: int,
    layer_norm: NormSide = "none",
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
    layer_norm: NormSide = "none",
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
        self, x: jax.Array, visible: jax.Array, asking: slice, rate: jax.Array
    ) -> jax.Array:
        width = len(x)
        normalised = _layer_norm("attention_norm")(x)
        q = _dense(width, "query")(normalised[..., asking])
        k, v = jnp.split(_dense(2 * width, "key_value")(normalised), 2)
        attended = self._attend(q, k, v, visible[..., asking, :], rate)
        x = x[..., asking]
        x += _drop(self, _dense(width, "attention_output")(attended), rate)
        hidden = nn.relu(_dense(4 * width, "hidden")(_layer_norm("mlp_norm")(x)))
        return x + _drop(self, _dense(width, "mlp_output")(hidden), rate)

    def _attend(
        self, q: jax.Array, k: jax.Array, v: jax.Array, visible: jax.Array, rate: jax.Array
    ) -> jax.Array:
        """Returns [W, ..., Q] for queries [W, ..., Q], keys and values [W, ..., L]."""
        q, k, v = (x.reshape(self.num_heads, -1, *x.shape[1:]) for x in (q, k, v))
        scores = jnp.einsum("hd...q,hd...k->...hqk", q, k) / math.sqrt(q.shape[1])
        scores = jnp.where(visible[..., None, :, :], scores, jnp.finfo(scores.dtype).min)
        weights = _drop(self, softmax(scores), rate)
        attended = jnp.einsum("...hqk,hd...k->hd...q", weights, v)
        return attended.reshape(-1, *attended.shape[2:])


class _DecisionTransformer(nn.Module):
    action_dim: int
    embed_dim: int
    num_layers: int
    num_heads: int
    num_timesteps: int

    @nn.compact
    def __call__(self, segment: Segment, rate: jax.Array) -> jax.Array:
        timestep = jnp.minimum(segment.timestep, self.num_timesteps - 1)
        embed_timestep = nn.Embed(self.num_timesteps, self.embed_dim, name="embed_timestep")
        time = jnp.moveaxis(embed_timestep(timestep), -1, 0)
        tokens = [
            Dense(self.embed_dim, name=f"embed_{name}")(jnp.moveaxis(x, -1, 0)) + time
            for name, x in (
                ("return", segment.return_to_go[..., None]),
                ("observation", segment.observation),
                ("action", segment.action),
            )
        ]
        x = jnp.stack(tokens, axis=-1)  # [W, ..., K, 3]
        x = x.reshape(*x.shape[:-2], -1)  # [W, ..., 3K]
        x = _drop(self, _layer_norm("embed_norm")(x), rate)
        real = jnp.repeat(segment.mask, len(tokens), axis=-1)
        length = real.shape[-1]
        before = jnp.broadcast_to(jnp.tri(length, dtype=bool), (*real.shape, length))
        visible = before & real[..., None, :]  # [..., 3K, 3K]
        for layer in range(self.num_layers):
            last = layer == self.num_layers - 1
            asking = slice(1, None, len(tokens)) if last else slice(None)  # the observations
            x = _Block(self.num_heads, name=f"block_{layer}")(x, visible, asking, rate)
        action = Dense(self.action_dim, name="action")(_layer_norm("output_norm")(x))
        return jnp.tanh(jnp.moveaxis(action, 0, -1))


def _layer_norm(name: str) -> LayerNorm:
    return LayerNorm(epsilon=1e-5, name=name)


def _dense(width: int, name: str) -> Dense:
    return Dense(width, kernel_init=nn.initializers.normal(0.02), name=name)


def _drop(module: nn.Module, x: jax.Array, rate: jax.Array) -> jax.Array:
    """Returns x with dropout where the module has a key for it."""
    return dropout(module.make_rng("dropout"), x, rate) if module.has_rng("dropout") else x


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
