"""A policy: everything that acting needs, without the rest of the training state."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rlp.data.dataset import Normalizer, normalize
from rlp.types import Acting, Algo, Memory, Params, Spec, State

ZERO = np.zeros(())  # the origin of observations for which float32 is precise enough


class Actor(Protocol):
    """An algorithm, or a player without learning, that can act."""

    @property
    def policy(self) -> Acting:
        """The functions with which it acts."""
        ...


class Policy(NamedTuple):
    """The policies of M members; leaves of config and params have a leading axis [M]."""

    config: Any
    params: Params
    normalizer: Normalizer  # shared by all members
    origin: Any = ZERO  # [O], subtracted from observations before they become float32

    @property
    def num_members(self) -> int:
        """The number of policies, M."""
        return len(jax.tree.leaves(self.params)[0])

    def members(self, which: Sequence[int] | np.ndarray) -> "Policy":
        """Returns the policies of the members with these numbers."""
        numbers = np.asarray(which)
        config, params = jax.tree.map(lambda leaf: leaf[numbers], (self.config, self.params))
        return self._replace(config=config, params=params)


def from_states(
    algo: Algo, configs: Any, states: State, normalizer: Normalizer, origin: Any = ZERO
) -> Policy:
    """Returns the policies of training states [M]."""
    return Policy(configs, jax.vmap(algo.actor)(configs, states), normalizer, origin)


@partial(jax.jit, static_argnames=("algo", "spec"))
def start(algo: Actor, spec: Spec, policy: Policy, targets: jax.Array) -> Memory:
    """Returns the memories [M, N] for the start of episodes with these returns to aim for."""

    def one_member(config: Any) -> Memory:
        return jax.vmap(lambda target: algo.policy.init_memory(config, spec, target))(targets)

    return jax.vmap(one_member, axis_size=policy.num_members)(policy.config)


@partial(jax.jit, static_argnames=("algo", "spec"))
def restart(
    algo: Actor, spec: Spec, policy: Policy, targets: jax.Array, memory: Memory, begins: jax.Array
) -> Memory:
    """Returns memories [M, N], new ones where an episode starts: `begins` [M, N]."""

    def choose(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(begins.reshape(*begins.shape, *[1] * (new.ndim - 2)), new, old)

    return jax.tree.map(choose, start(algo, spec, policy, targets), memory)


@partial(jax.jit, static_argnames="algo")
def act(
    algo: Actor,
    policy: Policy,
    memory: Memory,
    observation: jax.Array,
    reward: jax.Array,
    keys: jax.Array,
    step: jax.Array | int,
    temperature: jax.Array | float = 0.0,
) -> tuple[jax.Array, Memory]:
    """Returns actions [M, N, A] and memories for observations [M, N, O] and rewards [M, N].

    Observations are not normalised, but the policy's origin was subtracted from them in float64.
    A member's random draws depend only on its key in `keys` [M] and on the number of the step.
    """

    def one_episode(config: Any, params: Params, *episode: Any) -> tuple[jax.Array, Memory]:
        memory, observation, reward, key = episode
        observation = normalize(policy.normalizer, observation)
        return algo.policy.act(
            config, params, memory, observation, reward, key, jnp.float32(temperature)
        )

    def one_member(
        config: Any, params: Params, memory: Memory, observation: Any, reward: Any, key: jax.Array
    ) -> tuple[jax.Array, Memory]:
        keys = jax.random.split(jax.random.fold_in(key, step), len(reward))
        in_axes = (None, None, 0, 0, 0, 0)
        return jax.vmap(one_episode, in_axes)(config, params, memory, observation, reward, keys)

    return jax.vmap(one_member)(policy.config, policy.params, memory, observation, reward, keys)


@partial(jax.jit, static_argnames="discrete")
def explore(
    action: jax.Array, keys: jax.Array, number: jax.Array | int, scale: Any, discrete: bool
) -> jax.Array:
    """Returns actions [M, N, A] with the exploration of round `number`.

    Continuous actions get Gaussian noise of standard deviation `scale`. With probability `scale`, a
    discrete action is replaced by a random one.
    """

    def one_member(action: jax.Array, key: jax.Array) -> jax.Array:
        first, second = jax.random.split(jax.random.fold_in(key, number))
        if not discrete:
            return jnp.clip(action + scale * jax.random.normal(first, action.shape), -1, 1)
        others = jax.nn.one_hot(
            jax.random.randint(first, action.shape[:1], 0, action.shape[1]), action.shape[1]
        )
        return jnp.where(jax.random.uniform(second, (*action.shape[:1], 1)) < scale, others, action)

    return jax.vmap(one_member)(action, keys)
