"""Transformers: GPT's blocks, and the networks built from them.

Features come first, as in `rlp.nn.layers`: L tokens are [W, ..., L].
"""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from rlp.nn.layers import Dense, LayerNorm, dropout, softmax
from rlp.nn.networks import Network, initializers, uniform
from rlp.types import Params, Segment


class KeyValue(NamedTuple):
    """Keys and values of L tokens per head, features last: fastest to multiply on a CPU."""

    key: jax.Array  # [..., H, L, D]
    value: jax.Array  # [..., H, L, D]


GELU = partial(nn.gelu, approximate=False)  # torch's
Seen = tuple[KeyValue, ...]  # keys and values of the same tokens in each layer


class Decoder(NamedTuple):
    """A network that can read tokens one after the other, as two pure functions."""

    init: Callable[[jax.Array], Params]  # key -> params
    apply: Callable[..., tuple[jax.Array, Seen]]  # (params, tokens, ...) -> logits, keys and values


class _Block(nn.Module):
    """A layer of GPT-2: attention and a perceptron, each on normalised tokens and added to them.

    Returns outputs for the tokens `asking` (all L tokens x can be attended to), and the keys and
    values of all L. Tokens also attend to P past tokens: `visible` is [..., L, P + L].
    """

    num_heads: int
    activation: Callable[[jax.Array], jax.Array] = nn.relu

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        visible: jax.Array,
        asking: slice,
        keys: jax.Array | None,
        rate: jax.Array,
        past: Seen = (),
    ) -> tuple[jax.Array, KeyValue]:
        width = len(x)
        of_weights, of_attended, of_hidden = (_folded(keys, place) for place in range(3))
        normalised = _layer_norm("attention_norm")(x)
        q = _dense(width, "query")(normalised[..., asking])
        k, v = jnp.split(_dense(2 * width, "key_value")(normalised), 2)
        q, k, v = (each.reshape(self.num_heads, -1, *each.shape[1:]) for each in (q, k, v))
        attended = self._attend(q, k, v, past, visible[..., asking, :], of_weights, rate)
        x = x[..., asking]
        x += _drop(of_attended, _dense(width, "attention_output")(attended), rate)
        hidden = self.activation(_dense(4 * width, "hidden")(_layer_norm("mlp_norm")(x)))
        return x + _drop(of_hidden, _dense(width, "mlp_output")(hidden), rate), KeyValue(
            _features_last(k), _features_last(v)
        )

    def _attend(
        self,
        q: jax.Array,
        k: jax.Array,
        v: jax.Array,
        past: Seen,
        visible: jax.Array,
        keys: jax.Array | None,
        rate: jax.Array,
    ) -> jax.Array:
        """Returns [W, ..., Q] for queries [H, D, ..., Q], with keys and values [H, D, ..., L]."""
        q_last = _features_last(q)
        scores = [jnp.einsum("...hqd,...hkd->...hqk", q_last, part.key) for part in past]
        scores.append(jnp.einsum("hd...q,hd...k->...hqk", q, k))
        ends = list(itertools.accumulate(part.shape[-1] for part in scores))
        score = jnp.concatenate(scores, axis=-1) / math.sqrt(q.shape[1])
        score = jnp.where(visible[..., None, :, :], score, jnp.finfo(score.dtype).min)
        weight = _drop(keys, softmax(score), rate, axis=0)
        *of_past, of_new = jnp.split(weight, ends[:-1], axis=-1)
        attended = jnp.einsum("...hqk,hd...k->hd...q", of_new, v)
        for share, part in zip(of_past, past, strict=True):
            of_part = jnp.einsum("...hqk,...hkd->...hqd", share, part.value)
            attended += jnp.moveaxis(of_part, (-3, -1), (0, 1))
        return attended.reshape(-1, *attended.shape[2:])


class _DecisionTransformer(nn.Module):
    action_dim: int
    embed_dim: int
    num_layers: int
    num_heads: int
    num_timesteps: int

    @nn.compact
    def __call__(self, segment: Segment, keys: jax.Array | None, rate: jax.Array) -> jax.Array:
        timestep = jnp.minimum(segment.timestep, self.num_timesteps - 1)
        embed_timestep = _embed(self.num_timesteps, self.embed_dim, 1.0, "embed_timestep")
        time = jnp.moveaxis(embed_timestep(timestep), -1, 0)
        tokens = [
            _linear(self.embed_dim, f"embed_{name}", jnp.moveaxis(x, -1, 0)) + time
            for name, x in (
                ("return", segment.return_to_go[..., None]),
                ("observation", segment.observation),
                ("action", segment.action),
            )
        ]
        x = jnp.stack(tokens, axis=-1)  # [W, ..., K, 3]
        x = x.reshape(*x.shape[:-2], -1)  # [W, ..., 3K]
        x = _drop(_folded(keys, self.num_layers), _layer_norm("embed_norm")(x), rate)
        real = jnp.repeat(segment.mask, len(tokens), axis=-1)
        length = real.shape[-1]
        before = jnp.broadcast_to(jnp.tri(length, dtype=bool), (*real.shape, length))
        visible = before & real[..., None, :]  # [..., 3K, 3K]
        for layer in range(self.num_layers):
            last = layer == self.num_layers - 1
            asking = slice(1, None, len(tokens)) if last else slice(None)  # the observations
            block = _Block(self.num_heads, name=f"block_{layer}")
            x, _ = block(x, visible, asking, _folded(keys, layer), rate)
        action = _linear(self.action_dim, "action", _layer_norm("output_norm")(x))
        return jnp.moveaxis(action, 0, -1)


class _TrajectoryTransformer(nn.Module):
    transition_dim: int
    num_bins: int
    context: int
    embed_dim: int
    num_layers: int
    num_heads: int

    @nn.compact
    def __call__(
        self,
        token: jax.Array,
        position: jax.Array,
        visible: jax.Array,
        asking: slice,
        past: tuple[Seen, ...],
        keys: jax.Array | None,
        rate: jax.Array,
    ) -> tuple[jax.Array, Seen]:
        dimension = position % self.transition_dim  # [L]
        num_tokens = self.num_bins * self.transition_dim  # plus one for the end of an episode
        own = token + jnp.broadcast_to(self.num_bins * dimension, token.shape)
        embed_token = _embed(num_tokens + 1, self.embed_dim, 0.02, "embed_token")
        num_positions = self.context * self.transition_dim
        embed_position = _embed(num_positions, self.embed_dim, 0.0, "embed_position")
        place = embed_position(jnp.broadcast_to(position, token.shape))
        x = embed_token(jnp.where(token == self.num_bins, num_tokens, own)) + place
        x = _drop(_folded(keys, self.num_layers), jnp.moveaxis(x, -1, 0), rate)  # [W, ..., L]
        seen = []
        for layer in range(self.num_layers):
            last = layer == self.num_layers - 1
            block = _Block(self.num_heads, GELU, name=f"block_{layer}")
            x, new = block(
                x, visible, asking if last else slice(None), _folded(keys, layer), rate,
                tuple(part[layer] for part in past),
            )  # fmt: skip
            seen.append(new)
        return self._logits(_layer_norm("output_norm")(x), dimension[asking]), tuple(seen)

    def _logits(self, x: jax.Array, dimension: jax.Array) -> jax.Array:
        """Returns [..., L, num_bins + 1] for tokens [W, ..., L]; each dimension has its own layer.

        Tokens of whole transitions use the layers in the order of their dimensions.
        """
        shape = (self.transition_dim, self.embed_dim, self.num_bins + 1)
        kernel = self.param("output", uniform(self.embed_dim**-0.5), shape, x.dtype)
        if len(dimension) % self.transition_dim:
            kernel = kernel[dimension]
        x = x.reshape(*x.shape[:-1], -1, len(kernel))
        logits = jnp.einsum("w...kd,dwn->...kdn", x, kernel)
        return logits.reshape(*logits.shape[:-3], len(dimension), self.num_bins + 1)


class _SequenceModel(nn.Module):
    output_dim: int
    embed_dim: int
    num_layers: int
    num_heads: int

    @nn.compact
    def __call__(
        self,
        row: jax.Array,
        mask: jax.Array,
        asking: slice,
        keys: jax.Array | None,
        rate: jax.Array,
    ) -> jax.Array:
        length = mask.shape[-1]
        embed_position = _embed(length, self.embed_dim, 0.02, "embed_position")
        place = embed_position(jnp.broadcast_to(jnp.arange(length), mask.shape))
        x = _linear(self.embed_dim, "embed_row", jnp.moveaxis(row, -1, 0))
        x = _drop(_folded(keys, self.num_layers), x + jnp.moveaxis(place, -1, 0), rate)
        before = jnp.broadcast_to(jnp.tri(length, dtype=bool), (*mask.shape, length))
        visible = before & mask[..., None, :]  # [..., K, K]
        for layer in range(self.num_layers):
            last = layer == self.num_layers - 1
            block = _Block(self.num_heads, GELU, name=f"block_{layer}")
            x, _ = block(x, visible, asking if last else slice(None), _folded(keys, layer), rate)
        output = _linear(self.output_dim, "output", _layer_norm("output_norm")(x))
        return jnp.moveaxis(output, 0, -1)


def _features_last(x: jax.Array) -> jax.Array:
    """Returns [..., H, L, D] for queries, keys or values [H, D, ..., L]."""
    return jnp.moveaxis(x, (0, 1), (-3, -1))


def _layer_norm(name: str) -> LayerNorm:
    return LayerNorm(epsilon=1e-5, name=name)


def _linear(width: int, name: str, x: jax.Array) -> jax.Array:
    """Returns a linear layer of x [I, ...], initialised as in torch, which the authors use."""
    return Dense(width, *initializers("torch", len(x), width), name=name)(x)


def _embed(count: int, width: int, std: float, name: str) -> nn.Embed:
    """Returns an embedding of numbers below `count`, initially normal, or zeros if `std` is 0."""
    init = nn.initializers.normal(std) if std else nn.initializers.zeros
    return nn.Embed(count, width, embedding_init=init, name=name)


def _dense(width: int, name: str) -> Dense:
    return Dense(width, kernel_init=nn.initializers.normal(0.02), name=name)


def _drop(keys: jax.Array | None, x: jax.Array, rate: jax.Array, axis: int = 1) -> jax.Array:
    """Returns x with dropout if there are keys [B], one for each item along an axis of x."""
    return x if keys is None else dropout(keys, x, rate, axis)


def _folded(keys: jax.Array | None, number: int) -> jax.Array | None:
    """Returns different keys [B] for each number, or None without keys."""
    return None if keys is None else jax.vmap(jax.random.fold_in, (0, None))(keys, number)


def decision_transformer(
    action_dim: int, embed_dim: int, num_layers: int, num_heads: int, num_timesteps: int
) -> Network:
    """Returns a causal GPT from a Segment [..., K] to unbounded action outputs [..., K, A].

    A step is three tokens: return to go, observation, action. The embedding of the timestep is
    added to all three; there are `num_timesteps`, and later ones use the last. The action is
    predicted from the observation's token. `apply` takes the parameters, the segments, and the keys
    [B] and rate of dropout; without keys there is no dropout. Each segment has its own key, so its
    dropout does not depend on the others.
    """
    module = _DecisionTransformer(action_dim, embed_dim, num_layers, num_heads, num_timesteps)

    def init(key: jax.Array, segment: Segment) -> Params:
        return module.init(key, segment, None, jnp.zeros(()))["params"]

    def apply(
        params: Params, segment: Segment, keys: jax.Array | None = None, dropout: Any = 0.0
    ) -> jax.Array:
        output = module.apply({"params": params}, segment, keys, jnp.asarray(dropout))
        assert isinstance(output, jax.Array)
        return output

    return Network(init, apply)


def trajectory_transformer(
    transition_dim: int,
    num_bins: int,
    context: int,
    embed_dim: int,
    num_layers: int,
    num_heads: int,
) -> Decoder:
    """Returns a GPT from tokens [..., L] to logits [..., Q, num_bins + 1] of the next tokens.

    A transition has one token per dimension, the number of a bin; `num_bins` is the token after the
    end of an episode. `apply` takes the parameters; the tokens; their positions [L], counted from
    the first token of the context; and which tokens each may attend to [..., L, P + L]. Optional
    arguments are:

        asking: the tokens whose logits are returned, Q of L.
        past: the keys and values that `apply` returned for P earlier tokens, in parts.
        keys: [B] for dropout, one per item; without keys there is no dropout.
        dropout: its rate.
    """
    module = _TrajectoryTransformer(
        transition_dim, num_bins, context, embed_dim, num_layers, num_heads
    )

    def init(key: jax.Array) -> Params:
        token, visible = jnp.zeros(transition_dim, jnp.int32), jnp.ones([transition_dim] * 2, bool)
        position = jnp.arange(transition_dim)
        return module.init(key, token, position, visible, slice(None), (), None, jnp.zeros(()))[
            "params"
        ]

    def apply(
        params: Params,
        token: jax.Array,
        position: jax.Array,
        visible: jax.Array,
        asking: slice = slice(None),
        past: tuple[Seen, ...] = (),
        keys: jax.Array | None = None,
        dropout: Any = 0.0,
    ) -> tuple[jax.Array, Seen]:
        output: Any = module.apply(
            {"params": params}, token, position, visible, asking, past, keys, jnp.asarray(dropout)
        )
        return output

    return Decoder(init, apply)


def sequence_model(output_dim: int, embed_dim: int, num_layers: int, num_heads: int) -> Network:
    """Returns a causal GPT from rows [..., K, F] to outputs [..., Q, output_dim] of rows `asking`.

    A row is one token. It attends to itself and earlier rows where `mask` [..., K] is true. `apply`
    takes the parameters, the rows and their mask. Optional arguments are:

        asking: the rows whose outputs are returned, Q of K.
        keys: [B] for dropout, one per item; without keys there is no dropout.
        dropout: its rate.
    """
    module = _SequenceModel(output_dim, embed_dim, num_layers, num_heads)

    def init(key: jax.Array, row: jax.Array, mask: jax.Array) -> Params:
        return module.init(key, row, mask, slice(None), None, jnp.zeros(()))["params"]

    def apply(
        params: Params,
        row: jax.Array,
        mask: jax.Array,
        asking: slice = slice(None),
        keys: jax.Array | None = None,
        dropout: Any = 0.0,
    ) -> jax.Array:
        output = module.apply({"params": params}, row, mask, asking, keys, jnp.asarray(dropout))
        assert isinstance(output, jax.Array)
        return output

    return Network(init, apply)
