"""Episodes in lockstep: every environment of every member takes its next step together."""

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from rlp import policy as policies
from rlp.envs import VectorEnv
from rlp.policy import Policy
from rlp.types import Algo, Spec

EVALUATION_SEED = 1_000_000  # of the first episode's initial state, whatever the training seeds

OnStep = Callable[[int], None]  # told how many steps have been taken
Act = Callable[[np.ndarray, np.ndarray], np.ndarray]  # observation [N, O], reward [N] -> [N, A]


def evaluation_seeds(num_episodes: int) -> range:
    """Returns the seeds of the initial states that every evaluation uses."""
    return range(EVALUATION_SEED, EVALUATION_SEED + num_episodes)


def rollout(
    act: Act, env: VectorEnv, seeds: Sequence[int], on_step: OnStep = lambda _: None
) -> np.ndarray:
    """Returns the undiscounted returns [N] of one episode in each environment."""
    observation = env.reset(seeds)
    reward, returns = np.zeros(env.num_envs), np.zeros(env.num_envs)
    running = np.ones(env.num_envs, bool)
    for step in itertools.count(1):
        observation, reward, terminated, truncated = env.step(act(observation, reward))
        returns += reward * running
        running &= ~(terminated | truncated)
        on_step(step)
        if not running.any():
            break
    return returns


def evaluate(
    algo: Algo,
    spec: Spec,
    policy: Policy,
    env: VectorEnv,
    seeds: Sequence[int],
    on_step: OnStep = lambda _: None,
) -> np.ndarray:
    """Returns the returns [M, N] of the deterministic policies.

    Args:
        algo: the algorithm that acts.
        spec: the sizes it was built with.
        policy: the policies of M members.
        env: M * N environments.
        seeds: [N] initial states, the same for every member: differences are paired.
        on_step: called after every step of the environments, with the number of steps so far.
    """
    num_members = env.num_envs // len(seeds)
    shape = (num_members, len(seeds))
    memory = policies.start(algo, spec, policy, len(seeds))
    key, step = jax.random.key(0), itertools.count()  # of no effect at temperature 0

    def act(observation: np.ndarray, reward: np.ndarray) -> np.ndarray:
        nonlocal memory
        action, memory = policies.act(
            algo,
            policy,
            memory,
            jnp.asarray(observation.reshape(*shape, -1), jnp.float32),
            jnp.asarray(reward.reshape(shape), jnp.float32),
            jax.random.fold_in(key, next(step)),
        )
        return np.asarray(action).reshape(env.num_envs, -1)

    return rollout(act, env, list(seeds) * num_members, on_step).reshape(shape)


def evaluate_random(env: VectorEnv, seeds: Sequence[int]) -> np.ndarray:
    """Returns the returns [N] of uniformly random actions, the floor of every comparison."""
    rng = np.random.default_rng(seeds)
    size = (env.num_envs, env.action_dim)
    return rollout(lambda *_: rng.uniform(-1, 1, size), env, seeds)
