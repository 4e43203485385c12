"""Replay arrays that grow: environments stepped together, each with rows of its own.

Episodes have one length (a time limit), so a row number is a matter of counting.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlp.data.dataset import Dataset
from rlp.types import Spec, Transition


class Layout(NamedTuple):
    """Where a replay keeps what: each environment has its own rows, episode after episode."""

    num_envs: int
    num_episodes: int  # of each environment
    episode_length: int

    @property
    def rows_per_env(self) -> int:
        """Rows of one environment: an episode of T steps has T + 1."""
        return self.num_episodes * (self.episode_length + 1)

    def row(self, step: int) -> int:
        """Returns the row, within an environment's own, of its step number `step`."""
        episode, t = divmod(step, self.episode_length)
        return episode * (self.episode_length + 1) + t


def empty_replay(layout: Layout, spec: Spec, num_members: int) -> Dataset:
    """Returns replays [M] without transitions."""
    rows = layout.num_envs * layout.rows_per_env
    capacity = layout.num_envs * layout.num_episodes * layout.episode_length

    def zeros(*shape: int, dtype: Any = jnp.float32) -> jax.Array:
        return jnp.zeros((num_members, *shape), dtype)

    return Dataset(
        observation=zeros(rows, spec.observation_dim),
        action=zeros(rows, spec.action_dim),
        reward=zeros(rows),
        discount=zeros(rows),
        is_step=zeros(rows, dtype=jnp.bool_),
        timestep=zeros(rows, dtype=jnp.int32),
        return_to_go=zeros(rows),
        transition_rows=zeros(capacity, dtype=jnp.int32),
        step_rows=zeros(capacity, dtype=jnp.int32),
        num_transitions=zeros(dtype=jnp.int32),
        num_steps=zeros(dtype=jnp.int32),
        max_abs_reward=zeros(),
        sum_abs_reward=zeros(),
        lowest_reward=zeros() + jnp.inf,
        highest_reward=zeros() - jnp.inf,
        return_range=zeros(),
    )


def with_reward_range(replay: Dataset) -> Dataset:
    """Returns replays [M] with their lowest and highest reward, which older ones lack."""

    def over_rows(combine: Any, of_none: float) -> jax.Array:
        return combine(jnp.where(replay.is_step, replay.reward, of_none), axis=-1)

    return replay._replace(
        lowest_reward=over_rows(jnp.min, jnp.inf), highest_reward=over_rows(jnp.max, -jnp.inf)
    )


def insert(replay: Dataset, layout: Layout, row: jax.Array, new: Transition) -> Dataset:
    """Returns one member's replay with a new transition of each environment, [num_envs, ...]."""
    env = jnp.arange(layout.num_envs)
    rows = env * layout.rows_per_env + row
    places = replay.num_transitions + env
    size = replay.num_transitions + layout.num_envs
    return replay._replace(
        observation=replay.observation.at[rows]
        .set(new.observation)
        .at[rows + 1]
        .set(new.next_observation),
        action=replay.action.at[rows].set(new.action),
        reward=replay.reward.at[rows].set(new.reward),
        discount=replay.discount.at[rows].set(new.discount),
        is_step=replay.is_step.at[rows].set(True),
        timestep=replay.timestep.at[rows].set(row % (layout.episode_length + 1)),
        transition_rows=replay.transition_rows.at[places].set(rows),
        step_rows=replay.step_rows.at[places].set(rows),
        num_transitions=size,
        num_steps=size,
        max_abs_reward=jnp.maximum(replay.max_abs_reward, jnp.abs(new.reward).max()),
        sum_abs_reward=replay.sum_abs_reward + jnp.abs(new.reward).sum(),
        lowest_reward=jnp.minimum(replay.lowest_reward, new.reward.min()),
        highest_reward=jnp.maximum(replay.highest_reward, new.reward.max()),
    )
