"""Episodes of environments in JAX as one compiled program, without Python between their steps.

Members and environments are batch axes. `evaluate` gives the same episodes as
`rlp.evaluation.rollout`, which steps a `JaxVector` with the same seeds.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlp.envs import jax_env
from rlp.envs.jax_env import JaxEnv, Timestep
from rlp.evaluation import policy as policies
from rlp.evaluation.policy import Actor, Policy
from rlp.types import Memory, Spec, State


class Steps(NamedTuple):
    """Steps of environments that start a new episode when one ends, [T, M, N, ...]."""

    observation: jax.Array  # [T, M, N, O], at which the actions were taken
    action: jax.Array  # [T, M, N, A]
    reward: jax.Array  # [T, M, N]
    terminated: jax.Array  # [T, M, N] bool
    truncated: jax.Array  # [T, M, N] bool
    next_observation: jax.Array  # [T, M, N, O], of the same episode


class At(NamedTuple):
    """The current state of episodes, [M, N, ...]."""

    state: State
    memory: Memory
    observation: jax.Array
    reward: jax.Array
    seed: jax.Array
    time: jax.Array  # steps of the episode so far


@partial(jax.jit, static_argnames=("algo", "spec"))
def evaluate(
    algo: Actor,
    spec: Spec,
    policy: Policy,
    env: JaxEnv,
    seeds: jax.Array,
    targets: jax.Array,
    keys: jax.Array,
    temperature: jax.Array | float = 0.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Returns returns [M, N] and the environment's measures, one episode per member and seed.

    Args:
        algo: the algorithm that acts.
        spec: the sizes it was built with.
        policy: the policies of M members.
        env: the environment.
        seeds: [N] uint32, of the episodes; the same for every member.
        targets: [N], returns to aim for; only some policies use them.
        keys: [M], one per member, for sampled actions.
        temperature: of sampling; 0: the mode.
    """

    def body(carry: Any) -> Any:
        at, running, total, time = carry
        action, memory = _act(algo, policy, at, keys, time, temperature)
        new, found = advance(env, at._replace(memory=memory), action)
        state = jax_env.where(running, new.state, at.state)
        total = total + jnp.where(running, found.reward, 0)
        running &= ~(found.terminated | found.truncated)
        return new._replace(state=state), running, total, time + 1

    at = begin(algo, spec, policy, env, _of_all(policy, seeds), targets)
    carry = (at, jnp.ones_like(at.reward, bool), jnp.zeros_like(at.reward), jnp.int32(0))
    at, _, total, _ = jax.lax.while_loop(lambda carry: carry[1].any(), body, carry)
    return total, jax.vmap(jax.vmap(env.measures))(at.state)


@partial(jax.jit, static_argnames=("algo", "spec", "num_steps"))
def collect(
    algo: Actor,
    spec: Spec,
    policy: Policy,
    env: JaxEnv,
    seeds: jax.Array,
    targets: jax.Array,
    keys: jax.Array,
    num_steps: int,
    temperature: jax.Array | float = 0.0,
    exploration: jax.Array | float = 0.0,
) -> Steps:
    """Returns `num_steps` steps of every environment, episode after episode.

    The seed of an environment's next episode is its last seed plus the number of environments.
    `exploration` is the scale of `rlp.evaluation.policy.explore`; for the others see `evaluate`.
    """
    discrete = env.spec.action.kind == "discrete"

    def body(at: At, time: jax.Array) -> tuple[At, Steps]:
        action, memory = _act(algo, policy, at, keys, time, temperature)
        action = policies.explore(action, keys, time, exploration, discrete)
        new, found = advance(env, at._replace(memory=memory), action)
        step = Steps(at.observation, action, *found[1:], found.observation)
        ended = found.terminated | found.truncated
        fresh = begin(algo, spec, policy, env, new.seed + jnp.uint32(len(seeds)), targets)
        return jax_env.where(ended, fresh, new), step

    at = begin(algo, spec, policy, env, _of_all(policy, seeds), targets)
    return jax.lax.scan(body, at, jnp.arange(num_steps))[1]


def begin(
    algo: Actor, spec: Spec, policy: Policy, env: JaxEnv, seeds: jax.Array, targets: jax.Array
) -> At:
    """Returns the start of the episodes with seeds [M, N]."""
    state, observation = jax.vmap(jax.vmap(partial(jax_env.begin, env)))(seeds)
    memory = policies.start(algo, spec, policy, targets)
    reward, time = jnp.zeros(seeds.shape), jnp.zeros(seeds.shape, jnp.int32)
    return At(state, memory, observation, reward, seeds, time)


def _of_all(policy: Policy, seeds: jax.Array) -> jax.Array:
    """Returns the seeds [N] of episodes for every member, [M, N]."""
    return jnp.broadcast_to(seeds, (policy.num_members, len(seeds)))


def _act(
    algo: Actor,
    policy: Policy,
    at: At,
    keys: jax.Array,
    time: jax.Array,
    temperature: jax.Array | float,
) -> tuple[jax.Array, Memory]:
    """Returns actions [M, N, A] and memories."""
    centered = at.observation - jnp.asarray(policy.origin, jnp.float32).reshape(1, 1, -1)
    return policies.act(algo, policy, at.memory, centered, at.reward, keys, time, temperature)


def advance(env: JaxEnv, at: At, action: jax.Array) -> tuple[At, Timestep]:
    """Returns the episodes after a step, and the step's result."""
    advance = jax.vmap(jax.vmap(partial(jax_env.advance, env)))
    state, found = advance(at.state, action, at.seed, at.time)
    new = at._replace(
        state=state, observation=found.observation, reward=found.reward, time=at.time + 1
    )
    return new, found
