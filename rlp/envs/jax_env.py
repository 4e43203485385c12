"""Environments that are pure functions in JAX, single and as a vector environment.

A whole rollout of such an environment can be part of one compiled program: see
`rlp.evaluation.device_rollout`. All other code uses them like simulators.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlp.envs import Bounds, Choices, Outcome
from rlp.types import Spec, State


class Timestep(NamedTuple):
    """The result of a step of one environment."""

    observation: jax.Array  # [O]
    reward: jax.Array  # []
    terminated: jax.Array  # [] bool: the MDP ended, nothing follows
    truncated: jax.Array  # [] bool: a time limit cut the episode, bootstrap


def _nothing(state: State) -> dict[str, jax.Array]:
    del state
    return {}


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("params", "bounds"),
    meta_fields=("reset", "step", "spec", "measures"),
)
@dataclass(frozen=True)
class JaxEnv:
    """An environment as two pure functions; a pytree, so compiled functions can take it.

    Two environments with the same module-level functions and equal specs share one compilation.
    """

    params: Any  # a tree of arrays that the functions use
    reset: Callable[[Any, jax.Array], tuple[State, jax.Array]]  # (params, key) -> ..., observation
    step: Callable[[Any, State, jax.Array, jax.Array], tuple[State, Timestep]]
    """(params, state, action, key) -> ...; an action is a choice's number, or [A] in own units."""
    spec: Spec
    bounds: Bounds | None = None  # of continuous actions; None: they are discrete
    measures: Callable[[State], dict[str, jax.Array]] = _nothing
    """Measures of an episode other than its return, from its last state: scalars like `success`."""


def begin(env: JaxEnv, seed: jax.Array) -> tuple[State, jax.Array]:
    """Returns the first state and observation of the episode with a seed []."""
    return env.reset(env.params, jax.random.fold_in(jax.random.key(seed), 0))


def advance(
    env: JaxEnv, state: State, action: jax.Array, seed: jax.Array, count: jax.Array
) -> tuple[State, Timestep]:
    """Returns the next state and timestep after an action.

    Args:
        env: the environment.
        state: before the action.
        action: [A] in [-1, 1], of a policy; if actions are discrete, the largest is the choice.
        seed: of the episode.
        count: number of earlier steps in the episode.
    """
    key = jax.random.fold_in(jax.random.key(seed), count + 1)
    if env.bounds is None:
        own = jnp.argmax(action)
    else:
        low, high = map(jnp.asarray, env.bounds)
        own = low + (action + 1) / 2 * (high - low)
    return env.step(env.params, state, own, key)


class JaxVector:
    """N copies of an environment in JAX, stepped in one compiled call."""

    def __init__(self, env: JaxEnv, num_envs: int) -> None:
        self.env, self.num_envs, spec = env, num_envs, env.spec
        self.observation_dim, self.action_dim = spec.observation_dim, spec.action_dim
        self.max_episode_steps = spec.max_episode_steps
        self.seeds = np.arange(num_envs, dtype=np.uint32)  # of the episodes
        self.counts = np.zeros(num_envs, np.int32)  # steps of the episodes so far
        self._running = np.zeros(num_envs, bool)
        shapes = jax.eval_shape(_begin, env, self.seeds)
        self.state, self._observation = jax.tree.map(
            lambda each: jnp.zeros(each.shape, each.dtype), shapes
        )

    @property
    def action_space(self) -> Bounds | Choices:
        """The action space."""
        if self.env.bounds is None:
            return Choices(self.env.spec.action.num_choices)
        return Bounds(*(np.asarray(bound, np.float64) for bound in self.env.bounds))

    def reset(
        self, seeds: Sequence[int] | None = None, which: Sequence[int] | None = None
    ) -> np.ndarray:
        """Starts new episodes, all or those of `which`, and returns the observations [N, O]."""
        numbers = np.arange(self.num_envs) if which is None else np.asarray(which, int)
        chosen = [_following(seed) for seed in self.seeds[numbers]] if seeds is None else seeds
        self.seeds, self.counts = self.seeds.copy(), self.counts.copy()
        self.seeds[numbers], self.counts[numbers] = chosen, 0
        self._running = self._running.copy()
        self._running[numbers] = True
        begins = np.zeros(self.num_envs, bool)
        begins[numbers] = True
        self.state, self._observation = _begin_some(
            self.env, self.seeds, begins, self.state, self._observation
        )
        return np.array(self._observation, np.float64)

    def go_to(
        self, state: State, observation: jax.Array, seeds: jax.Array, counts: jax.Array
    ) -> None:
        """Goes on in other states [N], with the seeds of their episodes and steps taken so far."""
        self.state, self._observation = state, observation
        self.seeds, self.counts = np.array(seeds), np.array(counts)
        self._running = np.ones(self.num_envs, bool)

    def measures(self) -> dict[str, np.ndarray]:
        """Returns measures of each episode other than its return, [N] each."""
        found = jax.vmap(self.env.measures)(self.state)
        return {name: np.asarray(values) for name, values in found.items()}

    def physics(self) -> np.ndarray:
        """Returns the numbers of the states [N, P]."""
        leaves = jax.tree.leaves(self.state)
        rows = [np.asarray(leaf, np.float64).reshape(self.num_envs, -1) for leaf in leaves]
        return np.concatenate(rows, axis=1)

    def step(self, action: np.ndarray) -> Outcome:
        """Applies actions [N, A] in [-1, 1], scaled to the bounds, or the largest as the choice."""
        self.state, found = _advance(
            self.env, self.state, jnp.asarray(action, float), self.seeds, self.counts,
            self._running,
        )  # fmt: skip
        self.counts = self.counts + 1
        self._observation = found.observation
        self._running = self._running & ~np.asarray(found.terminated | found.truncated)
        return Outcome(
            np.array(found.observation, np.float64),
            np.array(found.reward, np.float64),
            np.array(found.terminated),
            np.array(found.truncated),
        )


def _following(seed: int) -> int:
    """Returns the seed of the next episode in the same environment."""
    return int(np.random.SeedSequence([int(seed), 1]).generate_state(1)[0])


@jax.jit
def _begin(env: JaxEnv, seeds: jax.Array) -> tuple[State, jax.Array]:
    return jax.vmap(partial(begin, env))(seeds)


@jax.jit
def _begin_some(
    env: JaxEnv, seeds: jax.Array, begins: jax.Array, state: State, observation: jax.Array
) -> tuple[State, jax.Array]:
    """Returns the states and observations [N], new ones where an episode starts."""
    return where(begins, _begin(env, seeds), (state, observation))


@jax.jit
def _advance(
    env: JaxEnv,
    state: State,
    action: jax.Array,
    seeds: jax.Array,
    counts: jax.Array,
    running: jax.Array,
) -> tuple[State, Timestep]:
    """Returns the next states and timesteps; an episode that has ended keeps its last state."""
    new, found = jax.vmap(partial(advance, env))(state, action, seeds, counts)
    return where(running, new, state), found


def where(flags: jax.Array, new: Any, old: Any) -> Any:
    """Returns new leaves [N, ...] where a flag [N] is set, else old ones; also for [M, N]."""

    def choose(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(flags.reshape(*flags.shape, *[1] * (new.ndim - flags.ndim)), new, old)

    return jax.tree.map(choose, new, old)
