"""Episodes in lockstep: all environments of all members take each step together."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlp.data.episodes import Episode
from rlp.envs import Outcome, VectorEnv, measures_of
from rlp.envs.jax_env import JaxEnv, JaxVector
from rlp.evaluation import device_rollout, players
from rlp.evaluation import policy as policies
from rlp.evaluation.policy import Actor, Policy
from rlp.types import Algo, Spec

EVALUATION_SEED = 1_000_000  # of the first initial state, independent of training seeds
MOST_SIMULATORS = 256  # at once; each of dm_control's takes 13 MB

OnStep = Callable[[int], None]  # gets the number of steps so far
Act = Callable[[np.ndarray, np.ndarray], np.ndarray]  # observation [N, O], reward [N] -> [N, A]


class Taken(NamedTuple):
    """One step of N environments."""

    observation: np.ndarray  # [N, O], at which the actions were taken
    action: np.ndarray  # [N, A]
    outcome: Outcome
    running: np.ndarray  # [N] bool: the episode had not ended before


class Returns(NamedTuple):
    """The outcomes of episodes, [N] or [M, N]."""

    values: np.ndarray  # undiscounted returns; NaN for members that did not act
    invalid: np.ndarray  # bool: the simulation became invalid; the return is that until then
    measures: dict[str, np.ndarray]  # other measures of the environment, such as `success`


class Recorded(NamedTuple):
    """An episode and its simulator states [T + 1, P]."""

    episode: Episode
    physics: np.ndarray


def evaluation_seeds(
    num_episodes: int, num_tasks: int = 1, first: int = EVALUATION_SEED
) -> list[int]:
    """Returns the seeds of initial states for every evaluation, each repeated for every task."""
    return [seed for seed in range(first, first + num_episodes) for _ in range(num_tasks)]


def steps(
    act: Act, env: VectorEnv, seeds: Sequence[int], takes_part: np.ndarray | bool = True
) -> Iterator[Taken]:
    """Yields the steps of one episode in each environment, until the last one ends.

    Environments that have ended, or do not take part [N], get actions of 0.
    """
    observation = env.reset(seeds)
    reward, running = np.zeros(env.num_envs), np.ones(env.num_envs, bool) & takes_part
    while running.any():
        action = np.where(running[:, None], act(observation, reward), 0)
        outcome = env.step(action)
        yield Taken(observation, action, outcome, running)
        observation, reward = outcome.observation, outcome.reward
        running = running & ~(outcome.terminated | outcome.truncated)


def rollout(
    act: Act,
    env: VectorEnv,
    seeds: Sequence[int],
    on_step: OnStep = lambda _: None,
    takes_part: np.ndarray | bool = True,
) -> Returns:
    """Returns the outcomes of one episode in each environment [N] that takes part."""
    values = np.where(takes_part, np.zeros(env.num_envs), np.nan)
    invalid = np.zeros(env.num_envs, bool)
    for count, taken in enumerate(steps(act, env, seeds, takes_part), start=1):
        values += np.where(taken.running, taken.outcome.reward, 0)
        invalid |= taken.running & taken.outcome.invalid
        on_step(count)
    return Returns(values, invalid, measures_of(env))


def record(
    act: Act, env: VectorEnv, seeds: Sequence[int], on_step: OnStep = lambda _: None
) -> list[Recorded]:
    """Returns one episode from each environment, with the simulator's states."""
    physics: list[np.ndarray] = []

    def watched(observation: np.ndarray, reward: np.ndarray) -> np.ndarray:
        physics.append(env.physics())
        return act(observation, reward)

    taken = []
    for count, each in enumerate(steps(watched, env, seeds), start=1):
        taken.append(each)
        on_step(count)
    physics.append(env.physics())
    return split(taken, physics)


def split(taken: Sequence[Taken], physics: Sequence[np.ndarray]) -> list[Recorded]:
    """Returns the episodes of N environments that were stepped T times together.

    Args:
        taken: their T steps.
        physics: T + 1 states [N, P], before the first step and after each.
    """
    last = taken[-1].outcome.observation
    observation = np.stack([*(each.observation for each in taken), last])  # [T + 1, N, O]
    action = np.stack([each.action for each in taken])
    reward = np.stack([each.outcome.reward for each in taken])
    terminated = np.stack([each.outcome.terminated for each in taken])
    lengths = np.sum([each.running for each in taken], axis=0)
    return [
        Recorded(
            Episode(
                observation[: length + 1, i].astype(np.float32),
                action[:length, i].astype(np.float32),
                reward[:length, i].astype(np.float32),
                bool(terminated[length - 1, i]),
            ),
            np.stack(physics)[: length + 1, i],
        )
        for i, length in enumerate(lengths)
    ]


def actor(
    algo: Algo,
    spec: Spec,
    policy: Policy,
    targets: np.ndarray,
    keys: jax.Array,
    temperature: float = 0.0,
) -> Act:
    """Returns a function that acts for members [M] in new episodes [N] with `targets` [N]."""
    origin = np.asarray(policy.origin, np.float64)
    policy = jax.device_put(policy)  # once, not in every step
    memory = policies.start(algo, spec, policy, jnp.asarray(targets, jnp.float32))
    count = itertools.count()

    def act(observation: np.ndarray, reward: np.ndarray) -> np.ndarray:
        nonlocal memory
        action, memory = policies.act(
            algo,
            policy,
            memory,
            by_member(observation - origin, len(keys)),
            by_member(reward, len(keys)),
            keys,
            next(count),
            temperature,
        )
        return np.asarray(action).reshape(len(observation), -1)

    return act


def by_member(array: np.ndarray, num_members: int) -> np.ndarray:
    """Returns an array [M * N, ...] as [M, N, ...] in float32."""
    return array.reshape(num_members, -1, *array.shape[1:]).astype(np.float32)


def num_simulators(num_members: int, num_episodes: int, num_tasks: int = 1) -> int:
    """Returns how many environments evaluate so many episodes of each member and task at once.

    Returns fewer if that would be too many; the episodes then run in rounds.
    """
    at_once = MOST_SIMULATORS // (num_members * num_tasks)
    return num_members * num_tasks * min(num_episodes, max(1, at_once))


def most_steps(env: VectorEnv, num_members: int, num_episodes: int) -> int:
    """Returns the largest number of steps that `evaluate` may take for so many episodes."""
    return math.ceil(num_episodes * num_members / env.num_envs) * env.max_episode_steps


def evaluate(
    algo: Algo,
    spec: Spec,
    policy: Policy,
    env: VectorEnv,
    seeds: Sequence[int],
    on_step: OnStep = lambda _: None,
    target: float | np.ndarray = 0.0,
    acts: np.ndarray | bool = True,
) -> Returns:
    """Returns the outcomes [M, N] of the deterministic policies.

    Episodes of environments in JAX run as one program; `on_step` is then not called.

    Args:
        algo: the algorithm that acts.
        spec: the sizes it was built with.
        policy: the policies of M members.
        env: the same number of environments for each member; they play the episodes in rounds.
        seeds: [N] initial states, the same for every member, so differences are paired.
        on_step: called after every step of the environments, with the number of steps so far.
        target: return to aim for, or [N]; only some policies use it.
        acts: which members act, [M]; the others have no return.
    """
    num_members = policy.num_members
    keys = jax.random.split(jax.random.key(0), num_members)  # without effect at temperature 0
    targets, acting = np.broadcast_to(target, len(seeds)), np.broadcast_to(acts, num_members)
    if isinstance(env, JaxVector):
        return _on_device(algo, spec, policy, env.env, seeds, targets, keys, acting)

    def play(which: np.ndarray, counts: np.ndarray, on_step: OnStep) -> Returns:
        act = actor(algo, spec, policy, targets[which], keys)
        starts = [seeds[i] for i in which] * num_members
        return rollout(act, env, starts, on_step, (acting[:, None] & counts[None]).ravel())

    return _in_rounds(play, env, num_members, len(seeds), on_step)


def _on_device(
    algo: Actor,
    spec: Spec,
    policy: Policy,
    env: JaxEnv,
    seeds: Sequence[int],
    targets: np.ndarray,
    keys: jax.Array,
    acting: np.ndarray,
) -> Returns:
    """Returns the outcomes [M, N] of episodes in one program, NaN for members that do not act."""
    found, measures = device_rollout.evaluate(
        algo, spec, policy, env, jnp.asarray(seeds, jnp.uint32), jnp.asarray(targets, jnp.float32),
        keys,
    )  # fmt: skip
    values = np.where(acting[:, None], np.asarray(found, np.float64), np.nan)
    measured = {name: np.asarray(each) for name, each in measures.items()}
    return Returns(values, np.zeros(values.shape, bool), measured)


def evaluate_random(
    env: VectorEnv, seeds: Sequence[int], on_step: OnStep = lambda _: None
) -> Returns:
    """Returns the outcomes [N] of uniformly random actions, a baseline for comparisons."""
    if isinstance(env, JaxVector):
        return _random_on_device(env.env, seeds)
    rng = np.random.default_rng(seeds)
    size = (env.num_envs, env.action_dim)

    def play(which: np.ndarray, counts: np.ndarray, on_step: OnStep) -> Returns:
        starts = [seeds[i] for i in which]
        return rollout(lambda *_: rng.uniform(-1, 1, size), env, starts, on_step, counts)

    found = _in_rounds(play, env, 1, len(seeds), on_step)
    return jax.tree.map(lambda each: each[0], found)


def _random_on_device(env: JaxEnv, seeds: Sequence[int]) -> Returns:
    player, policy = players.read("random", env, "")
    keys = jax.random.split(jax.random.key(0), 1)
    zeros, one = np.zeros(len(seeds)), np.ones(1, bool)
    found = _on_device(player, env.spec, policy, env, seeds, zeros, keys, one)
    return jax.tree.map(lambda each: each[0], found)


def _in_rounds(
    play: Callable[[np.ndarray, np.ndarray, OnStep], Returns],
    env: VectorEnv,
    num_members: int,
    num_episodes: int,
    on_step: OnStep,
) -> Returns:
    """Returns the outcomes [M, N] of episodes that the environments play in rounds.

    `play` gets the numbers of a round's episodes, and which of them count: the last round may have
    fewer episodes than environments.
    """
    at_once, rounds = env.num_envs // num_members, []
    for first in range(0, num_episodes, at_once):
        before = len(rounds) * env.max_episode_steps
        numbers = np.arange(first, first + at_once)
        counts = numbers < num_episodes
        which = np.minimum(numbers, num_episodes - 1)
        found = play(which, counts, lambda count, before=before: on_step(before + count))
        rounds.append(
            jax.tree.map(lambda x, counts=counts: x.reshape(num_members, -1)[:, counts], found)
        )
    return jax.tree.map(lambda *each: np.concatenate(each, axis=1), *rounds)
