"""Rounds of online learning in an environment in JAX: as many as are asked for in one program.

Nothing of a round is Python: acting, storing, the updates, the environments' steps and their next
episodes are the body of one loop, with members and environments as batch axes. A round does what
`rlp.training.learner.Learner.take_round` does one by one, in the same order.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlp.data.dataset import Dataset, Normalizer
from rlp.data.replay import Layout, Replay
from rlp.envs import jax_env
from rlp.envs.jax_env import JaxEnv
from rlp.evaluation import device_rollout, policy
from rlp.evaluation.device_rollout import At
from rlp.evaluation.policy import Actor, Policy
from rlp.training.guide import guided
from rlp.training.online_updates import end, learn
from rlp.training.population import Alarms
from rlp.types import Algo, Memory, Metrics, Spec, State, Transition


class Kind(NamedTuple):
    """What makes two calls the same program."""

    algo: Algo
    spec: Spec
    layout: Layout
    num_updates: int  # behind every round
    discount: float | None  # of the least values that are learned from
    offline_share: float
    guide: Actor | None
    most: int  # rounds in one call


class Guiding(NamedTuple):
    """A guide of all members."""

    policy: Policy  # [M]
    keys: jax.Array  # [M], of its actions
    turn_keys: jax.Array  # [M], of when it acts
    targets: jax.Array  # [num_envs], returns to aim for


class Fixed(NamedTuple):
    """What does not change from round to round."""

    env: JaxEnv
    configs: Any  # [M]
    keys: jax.Array  # [M], of the updates
    acting_keys: jax.Array  # [M]
    exploring_keys: jax.Array  # [M]
    seeding_keys: jax.Array  # [M], of the episodes
    normalizer: Normalizer
    offline: Dataset | None
    exploration: jax.Array | float
    targets: jax.Array  # [num_envs], returns to aim for
    guide: Guiding | None


class Given(NamedTuple):
    """What is known of the rounds of a call before it."""

    first: jax.Array | int  # number of the first round
    num_rounds: jax.Array | int  # at most `Kind.most`
    first_step: jax.Array | int  # updates before the first round
    num_random_rounds: jax.Array | int  # of the learning
    actions: jax.Array | None  # [most, M, num_envs, A], of random rounds; None: there are none
    rates: jax.Array | None  # [most, M], how likely the guide is to act, where there is one
    chosen: jax.Array | bool  # whether steps of others than the guide are to be learned from


class Between(NamedTuple):
    """What members and environments are between two rounds."""

    states: State  # [M]
    replays: Replay  # [M]
    last: Transition  # [M, num_envs], of the last round, from which nothing was learned yet
    chosen: jax.Array  # [M, num_envs] bool: it is to be learned from
    has_ended: jax.Array  # [M, num_envs] bool: the episode, with it
    at: At  # [M, num_envs]
    total: jax.Array  # [M, num_envs], the return so far
    collected: jax.Array  # [M, num_envs], that of the episode before, or NaN
    episode: jax.Array  # [M, num_envs] int32, its number
    guide_memory: Memory


def take(
    kind: Kind, fixed: Fixed, given: Given, between: Between
) -> tuple[Between, Metrics, Alarms]:
    """Returns what is after the rounds, and metrics and alarms [most, M] of each."""
    found = jax.eval_shape(partial(_round, kind, fixed, given), between, jnp.int32(0))[1]
    blank = jax.tree.map(lambda leaf: jnp.zeros((kind.most, *leaf.shape), leaf.dtype), found)

    def body(index: jax.Array, carry: Any) -> Any:
        between, kept = carry
        between, found = _round(kind, fixed, given, between, index)
        return between, jax.tree.map(lambda all, one: all.at[index].set(one), kept, found)

    between, (metrics, alarms) = jax.lax.fori_loop(0, given.num_rounds, body, (between, blank))
    return between, metrics, alarms


def _round(
    kind: Kind, fixed: Fixed, given: Given, between: Between, index: jax.Array
) -> tuple[Between, tuple[Metrics, Alarms]]:
    """Returns what is after one round, and what was found in its updates."""
    number, at = given.first + index, between.at
    acting = policy.from_states(kind.algo, fixed.configs, between.states, fixed.normalizer)
    action, memory = _choose(kind, fixed, given, acting, at, index)
    states, replays, *found = learn(
        kind.algo, kind.spec, kind.layout, kind.num_updates, fixed.configs, fixed.keys,
        between.states, between.replays, fixed.offline, fixed.normalizer, between.last,
        between.chosen, given.first_step + index * kind.num_updates, kind.offline_share,
    )  # fmt: skip
    replays = jax.lax.cond(
        between.has_ended.any(),
        lambda replays: end(replays, kind.layout, between.has_ended, kind.discount),
        lambda replays: replays,
        replays,
    )
    is_chosen = given.chosen | (number < given.num_random_rounds)
    chosen, guide_memory = jnp.broadcast_to(is_chosen, between.chosen.shape), between.guide_memory
    if kind.guide and fixed.guide and given.rates is not None:
        action, guide_memory, acts = guided(
            kind.guide, fixed.guide.policy, guide_memory, action, at.observation, at.reward,
            fixed.guide.keys, fixed.guide.turn_keys, number, given.rates[index],
        )  # fmt: skip
        chosen |= acts
    new, step = device_rollout.advance(fixed.env, at._replace(memory=memory), action)
    ended, total = step.terminated | step.truncated, between.total + step.reward
    episode = between.episode + ended
    fresh = device_rollout.begin(
        kind.algo, kind.spec, acting, fixed.env, seeds(fixed.seeding_keys, episode), fixed.targets
    )
    if kind.guide and fixed.guide:
        again = policy.start(kind.guide, kind.spec, fixed.guide.policy, fixed.guide.targets)
        guide_memory = jax_env.where(ended, again, guide_memory)
    last = Transition(at.observation, action, step.reward, 1.0 - step.terminated, step.observation)
    after = Between(
        states, replays, last, chosen, ended, jax_env.where(ended, fresh, new),
        jnp.where(ended, 0, total), jnp.where(ended, total, between.collected), episode,
        guide_memory,
    )  # fmt: skip
    return after, tuple(found)


def _choose(
    kind: Kind, fixed: Fixed, given: Given, acting: Policy, at: At, index: jax.Array
) -> tuple[jax.Array, Memory]:
    """Returns the learners' actions [M, num_envs, A], and their memories."""
    number = given.first + index
    action, memory = policy.act(
        kind.algo, acting, at.memory, at.observation, at.reward, fixed.acting_keys, number, 1.0
    )
    if not kind.algo.policy.samples:
        discrete = kind.spec.action.kind == "discrete"
        action = policy.explore(action, fixed.exploring_keys, number, fixed.exploration, discrete)
    action = jnp.nan_to_num(action)
    if given.actions is None:
        return action, memory
    is_random = number < given.num_random_rounds
    return jax.tree.map(
        partial(jnp.where, is_random), (given.actions[index], at.memory), (action, memory)
    )


def seeds(keys: jax.Array, episode: jax.Array) -> jax.Array:
    """Returns the seeds of the episodes of these numbers, [M, num_envs] uint32."""

    def one(key: jax.Array, env: jax.Array, number: jax.Array) -> jax.Array:
        return jax.random.bits(jax.random.fold_in(jax.random.fold_in(key, env), number))

    envs = jnp.arange(episode.shape[1])
    return jax.vmap(jax.vmap(one, (None, 0, 0)), (0, None, 0))(keys, envs, episode)


program = jax.jit(take, static_argnames="kind", donate_argnames="between")
