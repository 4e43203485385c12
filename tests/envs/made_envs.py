"""Environments of others in the style of gymnax, both versions, small enough to know by heart."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Params(NamedTuple):
    max_steps_in_episode: int = 6
    end: float = 3.0


class Discrete(NamedTuple):
    n: int


class Box(NamedTuple):
    low: float
    high: float
    shape: tuple[int, ...]


class Place(NamedTuple):
    x: jax.Array
    time: jax.Array


class Walk:
    """Steps of size 1 to the right or left from a drawn place in [0, 1); beyond `end` it ends."""

    default_params = Params()

    def observation_space(self, params: Params) -> Box:
        del params
        return Box(-10, 10, (2, 1))

    def action_space(self, params: Params) -> Discrete | Box:
        del params
        return Discrete(2)

    def reset(self, key: jax.Array, params: Params) -> tuple[jax.Array, Place]:
        del params
        state = Place(jax.random.uniform(key), jnp.int32(0))
        return self._observe(state), state

    def step_env(self, key: jax.Array, state: Place, action: jax.Array, params: Params):
        del key
        state = Place(state.x + self._move(action), state.time + 1)
        done = (state.x >= params.end) | (state.time >= params.max_steps_in_episode)
        return self._observe(state), state, state.x, done, {}

    def _move(self, action: jax.Array) -> jax.Array:
        return 2.0 * action - 1

    def _observe(self, state: Place) -> jax.Array:
        return jnp.stack([state.x, state.time.astype(float)])[:, None]


class NewWalk(Walk):
    """As gymnax 1.0 has it: whether the time is over is another question; moves are numbers."""

    def action_space(self, params: Params) -> Box:
        del params
        return Box(-2.0, 2.0, (1,))

    def step_env(self, key: jax.Array, state: Place, action: jax.Array, params: Params):
        observation, state, reward, _, info = super().step_env(key, state, action[0], params)
        return observation, state, reward, state.x >= params.end, info

    def is_truncated(self, state: Place, params: Params) -> jax.Array:
        return state.time >= params.max_steps_in_episode

    def _move(self, action: jax.Array) -> jax.Array:
        return action
