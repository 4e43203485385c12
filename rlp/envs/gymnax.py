"""Environments in the style of gymnax: `reset(key, params)`, `step(key, state, action, params)`.

`make` returns the package's own by name (`gymnax:CartPole-v1`); `from_gymnax` accepts any of that
style. Both versions are supported: up to 0.0.9 `done` includes time limits, since 1.0 it only marks
terminations. This module calls `step_env`, because `step` starts the next episode at once and loses
the observation at which a time limit cut the episode.
"""

import importlib
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlp.envs import Bounds
from rlp.envs.jax_env import JaxEnv, Timestep
from rlp.errors import InputError, nearest
from rlp.types import Space, Spec


class Counted(NamedTuple):
    """A state of such an environment, and the number of steps that led to it."""

    state: Any
    num_steps: jax.Array  # [] int32


def make(name: str, bounds: Bounds | None = None) -> JaxEnv:
    """Returns an environment of the package by name.

    Raises:
        InputError: if there is no such environment.
    """
    gymnax: Any = importlib.import_module("gymnax")  # the user's own, if there is one
    if name not in gymnax.registered_envs:
        raise InputError(f"no environment gymnax:{name}{nearest(name, gymnax.registered_envs)}")
    return from_gymnax(*gymnax.make(name), bounds=bounds)


def from_gymnax(env: Any, params: Any = None, bounds: Bounds | None = None) -> JaxEnv:
    """Returns rlp's form of an environment in gymnax's style; observations become vectors.

    Args:
        env: the environment.
        params: the params of its functions (None: its default ones).
        bounds: the actions that -1 and 1 stand for (None: the lowest and highest).

    Raises:
        InputError: if it has no time limit, because an evaluation might never end.
    """
    params = env.default_params if params is None else params
    limit = getattr(params, "max_steps_in_episode", None)
    if limit is None:
        raise InputError(f"{type(env).__name__}: its params have no max_steps_in_episode")
    seen, taken = env.observation_space(params), env.action_space(params)
    num_choices = int(getattr(taken, "n", 0))
    if num_choices:
        action, bounds = Space((num_choices,), num_choices), None
    else:
        action = Space(tuple(taken.shape))
        bounds = bounds or Bounds(
            *(
                np.broadcast_to(np.asarray(end, float), taken.shape)
                for end in (taken.low, taken.high)
            )
        )
    spec = Spec(Space((int(np.prod(seen.shape)),)), action, int(limit))
    return JaxEnv(params, partial(_reset, env), partial(_step, env), spec, bounds)


def _reset(env: Any, params: Any, key: jax.Array) -> tuple[Counted, jax.Array]:
    observation, state = env.reset(key, params)
    return Counted(state, jnp.int32(0)), _vector(observation)


def _step(
    env: Any, params: Any, counted: Counted, action: jax.Array, key: jax.Array
) -> tuple[Counted, Timestep]:
    observation, state, reward, done, _ = env.step_env(key, counted.state, action, params)
    num_steps = counted.num_steps + 1
    is_last = num_steps >= params.max_steps_in_episode
    terminated = done if hasattr(env, "is_truncated") else done & ~is_last
    found = Timestep(
        _vector(observation), jnp.asarray(reward, float), terminated, is_last & ~terminated
    )
    return Counted(state, num_steps), found


def _vector(observation: jax.Array) -> jax.Array:
    return jnp.ravel(observation).astype(float)
