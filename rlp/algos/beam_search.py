"""Planning by beam search in a sequence model: 2106.02039, section 3.2.

As in `beam_plan` of jannerm/trajectory-transformer: each sequence is expanded several times with
different actions, and the sequences with the largest rewards plus final value are kept. Actions are
sampled, all other tokens are the likeliest; rewards and values are scored by their expectations.

The model reads each token once: the keys and values of its layers are cached, and those of the
prefix are shared by all sequences. Within a plan the context does not slide, so the cache stays
valid.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlp.nn.transformers import Seen

Read = Callable[..., tuple[jax.Array, Seen]]  # tokens, positions, ... -> logits, keys and values


class Search(NamedTuple):
    """The settings of a search."""

    horizon: int  # transitions in a plan (H), including the current one
    beam_width: int  # sequences kept after each transition (S)
    num_expansions: int  # copies of each sequence before its next action
    action_cut: jax.Array | float  # share of probability cut from an action token's tail
    discount: jax.Array | float  # of rewards


class Prefix(NamedTuple):
    """The start of a plan: past transitions and the current observation, padded on the left."""

    token: jax.Array  # [P] int32
    padding: jax.Array  # [] int32, number of padding tokens


class Plan(NamedTuple):
    """The best sequence found."""

    token: jax.Array  # [L] int32, tokens after the prefix: L = H D - O
    value: jax.Array  # [], expected discounted rewards of the plan and after it


class _Beams(NamedTuple):
    """Sequences that continue the prefix by up to L tokens."""

    token: jax.Array  # [S, L] int32
    seen: Seen  # keys and values of these tokens, [S, H, L, W / H] in each layer
    logits: jax.Array  # [S, num_bins + 1] of the next token
    collected: jax.Array  # [S], expected discounted rewards so far


class _Model(NamedTuple):
    """What all sequences share."""

    read: Read
    centers: jax.Array  # [D, num_bins] of the tokens' values
    observation_dim: int
    past: Seen  # keys and values of the prefix, [H, P, W / H] in each layer
    position: jax.Array  # [P + L] of all tokens
    shown: jax.Array  # [P + L] bool: later tokens may attend to it

    @property
    def num_past(self) -> int:
        return self.past[0].key.shape[-2]

    @property
    def transition_dim(self) -> int:
        return len(self.centers)


def visible(num_tokens: int, transition_dim: int) -> jax.Array:
    """Returns which tokens each token of whole transitions may attend to, [L, L] bool.

    A token attends to all tokens up to itself, except values, which reveal the future. A value does
    not attend even to itself.
    """
    place = jnp.arange(num_tokens)
    return (place[None] <= place[:, None]) & (place % transition_dim < transition_dim - 1)[None]


def plan(
    search: Search, read: Read, centers: jax.Array, observation_dim: int, prefix: Prefix,
    key: jax.Array,
) -> Plan:  # fmt: skip
    """Returns the best sequence.

    Args:
        search: the settings.
        read: the model, `rlp.nn.transformers.trajectory_transformer` with its parameters bound.
        centers: of the bins, [D, num_bins].
        observation_dim: O, the first of the D dimensions; action, reward and value follow.
        prefix: the start of the plan.
        key: for sampling actions.
    """
    dim = len(centers)
    model, logits = _begin(search, read, centers, observation_dim, prefix)
    num_new = search.horizon * dim - observation_dim

    def room(seen: jax.Array) -> jax.Array:
        return jnp.zeros((search.beam_width, len(seen), num_new, seen.shape[-1]))

    beams = _Beams(
        token=jnp.zeros((search.beam_width, num_new), jnp.int32),
        seen=jax.tree.map(room, model.past),
        logits=jnp.broadcast_to(logits, (search.beam_width, logits.shape[-1])),
        collected=jnp.zeros(search.beam_width),
    )

    def step(beams: _Beams, time: jax.Array) -> tuple[_Beams, jax.Array]:
        beams, value = _decide(search, model, beams, time, key)
        is_last = time + 1 == search.horizon
        beams = jax.lax.cond(
            is_last, lambda beams: beams, lambda b: _observe(model, b, time), beams
        )
        return beams, value

    beams, values = jax.lax.scan(step, beams, jnp.arange(search.horizon))
    return Plan(beams.token[0], values[-1])


def _begin(
    search: Search, read: Read, centers: jax.Array, observation_dim: int, prefix: Prefix
) -> tuple[_Model, jax.Array]:
    """Returns what all sequences share, and the logits [num_bins + 1] of the first token."""
    dim, num_past = len(centers), len(prefix.token)
    place = jnp.arange(num_past + search.horizon * dim - observation_dim)
    position = jnp.maximum(place - prefix.padding, 0)
    shown = (place >= prefix.padding) & (place % dim < dim - 1)
    before = visible(num_past, dim) & shown[None, :num_past]
    logits, past = read(prefix.token, position[:num_past], before, slice(-1, None))
    return _Model(read, centers, observation_dim, past, position, shown), logits


def _decide(
    search: Search, model: _Model, beams: _Beams, time: jax.Array, key: jax.Array
) -> tuple[_Beams, jax.Array]:
    """Returns the best sequences after one more action, reward and value, and the best score."""
    dim, first = model.transition_dim, time * model.transition_dim
    num_tokens = dim - model.observation_dim
    beams = _chosen(beams, jnp.tile(jnp.arange(search.beam_width), search.num_expansions))

    def choose(beams: _Beams, now: tuple[jax.Array, jax.Array]) -> tuple[_Beams, jax.Array]:
        number, center = now
        expected = jax.nn.softmax(beams.logits)[:, :-1] @ center
        likely = _without_tail(beams.logits, search.action_cut)
        drawn = jax.random.categorical(jax.random.fold_in(key, number), likely)
        is_action = number - first < num_tokens - 2
        token = jnp.where(is_action, drawn, jnp.argmax(beams.logits, axis=-1))
        return _append(model, beams, token, number), expected

    numbers, centers = first + jnp.arange(num_tokens), model.centers[model.observation_dim :]
    beams, expected = jax.lax.scan(choose, beams, (numbers, centers))
    reward, value = expected[-2:]
    collected = beams.collected + search.discount**time * reward
    score = collected + search.discount ** (time + 1) * value
    scores, best = jax.lax.top_k(score, search.beam_width)
    return _chosen(beams._replace(collected=collected), best), scores[0]


def _observe(model: _Model, beams: _Beams, time: jax.Array) -> _Beams:
    """Returns the sequences with the likeliest next observation."""

    def most_likely(beams: _Beams, number: jax.Array) -> tuple[_Beams, None]:
        return _append(model, beams, jnp.argmax(beams.logits, axis=-1), number), None

    first = (time + 1) * model.transition_dim - model.observation_dim
    return jax.lax.scan(most_likely, beams, first + jnp.arange(model.observation_dim))[0]


def _append(model: _Model, beams: _Beams, token: jax.Array, number: jax.Array) -> _Beams:
    """Returns the sequences with one more token [S], at place `number` after the prefix."""
    now = model.num_past + number
    before = model.shown & (jnp.arange(len(model.shown)) < now)
    looks_at = jnp.append(before, model.shown[now])
    logits, new = model.read(
        token[:, None],
        model.position[now][None],
        jnp.broadcast_to(looks_at, (len(token), 1, len(looks_at))),
        past=(model.past, beams.seen),
    )

    def write(buffer: jax.Array, last: jax.Array) -> jax.Array:
        return buffer.at[..., number, :].set(last[..., 0, :])

    return _Beams(
        token=beams.token.at[:, number].set(token),
        seen=jax.tree.map(write, beams.seen, new),
        logits=logits[:, 0],
        collected=beams.collected,
    )


def _chosen(beams: _Beams, which: jax.Array) -> _Beams:
    """Returns the sequences with these numbers."""
    return jax.tree.map(lambda each: each[which], beams)


def _without_tail(logits: jax.Array, mass: jax.Array | float) -> jax.Array:
    """Returns logits [S, N] without the least likely tokens, whose probabilities sum to `mass`."""
    probability = jax.nn.softmax(logits)
    ordered = jnp.sort(probability, axis=-1)
    is_tail = jnp.cumsum(ordered, axis=-1) < mass
    most = jnp.max(jnp.where(is_tail, ordered, 0), axis=-1, keepdims=True)
    return jnp.where(probability > most, logits, -1000)
