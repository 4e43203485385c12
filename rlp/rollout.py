"""Episodes in lockstep: every environment of every member takes its next step together."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlp import policy as policies
from rlp.data.episodes import Episode
from rlp.envs import Outcome, VectorEnv
from rlp.policy import Policy
from rlp.types import Algo, Spec

EVALUATION_SEED = 1_000_000  # of the first episode's initial state, whatever the training seeds

OnStep = Callable[[int], None]  # told how many steps have been taken
Act = Callable[[np.ndarray, np.ndarray], np.ndarray]  # observation [N, O], reward [N] -> [N, A]


class Taken(NamedTuple):
    """One step of N environments."""

    observation: np.ndarray  # [N, O], in which the actions were taken
    action: np.ndarray  # [N, A]
    outcome: Outcome
    running: np.ndarray  # [N] bool: the episode had not ended before


class Returns(NamedTuple):
    """The outcomes of episodes, [N] or [M, N]."""

    values: np.ndarray  # undiscounted returns; NaN of members that did not act
    invalid: np.ndarray  # bool: the simulation became invalid, and that was the return until then


class Recorded(NamedTuple):
    """An episode and the simulator's states [T + 1, P] in it."""

    episode: Episode
    physics: np.ndarray


def evaluation_seeds(
    num_episodes: int, num_tasks: int = 1, first: int = EVALUATION_SEED
) -> list[int]:
    """Returns the seeds of the initial states that every evaluation uses, each for every task."""
    return [seed for seed in range(first, first + num_episodes) for _ in range(num_tasks)]


def steps(
    act: Act, env: VectorEnv, seeds: Sequence[int], takes_part: np.ndarray | bool = True
) -> Iterator[Taken]:
    """Yields the steps of one episode in each environment, until the last has ended.

    Those that have ended, or take no part [N], stand still: their actions are 0.
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
    return Returns(values, invalid)


def record(
    act: Act, env: VectorEnv, seeds: Sequence[int], on_step: OnStep = lambda _: None
) -> list[Recorded]:
    """Returns one episode of each environment with the simulator's states."""
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
    """Returns how the members [M] act in new episodes [N], each with a target, member by member."""
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
    """Returns [M * N, ...] as [M, N, ...] in float32."""
    return array.reshape(num_members, -1, *array.shape[1:]).astype(np.float32)


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

    Args:
        algo: the algorithm that acts.
        spec: the sizes it was built with.
        policy: the policies of M members.
        env: M * N environments.
        seeds: [N] initial states, the same for every member: differences are paired.
        on_step: called after every step of the environments, with the number of steps so far.
        target: return to aim for, or [N]; of effect on policies that take one.
        acts: which members do, [M]; the others have no return.
    """
    num_members = env.num_envs // len(seeds)
    keys = jax.random.split(jax.random.key(0), num_members)  # of no effect at temperature 0
    act = actor(algo, spec, policy, np.broadcast_to(target, len(seeds)), keys)
    takes_part = np.repeat(np.broadcast_to(acts, num_members), len(seeds))
    found = rollout(act, env, list(seeds) * num_members, on_step, takes_part)
    return Returns(*(each.reshape(num_members, len(seeds)) for each in found))


def evaluate_random(env: VectorEnv, seeds: Sequence[int]) -> Returns:
    """Returns the outcomes [N] of uniformly random actions, the floor of every comparison."""
    rng = np.random.default_rng(seeds)
    size = (env.num_envs, env.action_dim)
    return rollout(lambda *_: rng.uniform(-1, 1, size), env, seeds)
