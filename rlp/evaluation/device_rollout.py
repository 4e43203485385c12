"""Episodes of environments in JAX as one compiled program, with no Python between their steps.

Members and environments are batch axes, steps are one scan. The episodes are those that
`rlp.evaluation.rollout` plays step by step in a `JaxVector` with the same seeds.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlp.envs import jax_env
from rlp.envs.jax_env import JaxEnv
from rlp.evaluation import policy as policies
from rlp.evaluation.policy import Policy
from rlp.types import Algo, Spec


class Steps(NamedTuple):
    """The steps of episodes, [T, M, N, ...]; those behind an episode's end have no meaning."""

    observation: jax.Array  # [T, M, N, O], in which the actions were taken
    action: jax.Array  # [T, M, N, A]
    reward: jax.Array  # [T, M, N]
    terminated: jax.Array  # [T, M, N] bool
    truncated: jax.Array  # [T, M, N] bool
    running: jax.Array  # [T, M, N] bool: the episode had not ended before
    next_observation: jax.Array  # [T, M, N, O]


@partial(jax.jit, static_argnames=("algo", "spec"))
def returns(
    algo: Algo,
    spec: Spec,
    policy: Policy,
    env: JaxEnv,
    seeds: jax.Array,
    targets: jax.Array,
    keys: jax.Array,
    temperature: jax.Array | float = 0.0,
) -> jax.Array:
    """Returns the undiscounted returns [M, N] of episodes; see `episodes`."""
    return _play(algo, spec, policy, env, seeds, targets, keys, temperature)[0]


@partial(jax.jit, static_argnames=("algo", "spec"))
def episodes(
    algo: Algo,
    spec: Spec,
    policy: Policy,
    env: JaxEnv,
    seeds: jax.Array,
    targets: jax.Array,
    keys: jax.Array,
    temperature: jax.Array | float = 0.0,
) -> Steps:
    """Returns all steps of one episode for each member and seed.

    Args:
        algo: the algorithm that acts.
        spec: the sizes it was built with.
        policy: the policies of M members.
        env: the environment.
        seeds: [N] uint32, of the episodes; the same for every member.
        targets: [N], returns to aim for; of effect on policies that take one.
        keys: [M], of the members, for actions that are drawn.
        temperature: of the actions, 0 for the mode.
    """
    return _play(algo, spec, policy, env, seeds, targets, keys, temperature)[1]


def _play(
    algo: Algo,
    spec: Spec,
    policy: Policy,
    env: JaxEnv,
    seeds: jax.Array,
    targets: jax.Array,
    keys: jax.Array,
    temperature: jax.Array | float,
) -> tuple[jax.Array, Steps]:
    """Returns the returns [M, N] of episodes, and their steps."""
    shape = (policy.num_members, len(seeds))
    origin = jnp.asarray(policy.origin, jnp.float32)
    advance = jax.vmap(jax.vmap(partial(jax_env.advance, env), (0, 0, 0, None)), (0, 0, None, None))

    def body(carry: Any, count: jax.Array) -> tuple[Any, Steps]:
        state, memory, observation, reward, running, total = carry
        centered = observation - origin.reshape(1, 1, -1)
        action, memory = policies.act(
            algo, policy, memory, centered, reward, keys, count, temperature
        )
        action = jnp.where(running[..., None], action, 0)
        state, found = advance(state, action, seeds, count)
        step = Steps(
            observation, action, found.reward, found.terminated, found.truncated, running,
            found.observation,
        )  # fmt: skip
        total = total + jnp.where(running, found.reward, 0)
        running &= ~(found.terminated | found.truncated)
        return (state, memory, found.observation, found.reward, running, total), step

    starts = jax.vmap(partial(jax_env.begin, env))(seeds)
    state, observation = jax.tree.map(lambda x: jnp.broadcast_to(x, shape[:1] + x.shape), starts)
    memory, zeros = policies.start(algo, spec, policy, targets), jnp.zeros(shape)
    carry = (state, memory, observation, zeros, jnp.ones(shape, bool), zeros)
    carry, steps = jax.lax.scan(body, carry, jnp.arange(env.spec.max_episode_steps))
    return carry[-1], steps
