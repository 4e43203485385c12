"""Replay arrays that grow: the latest steps of environments that are stepped together.

Each environment has rows of its own, which it fills episode after episode, whatever their lengths.
When they are full, it starts again at the first row and overwrites the oldest steps. The rows of an
episode are consecutive. All of it is part of the compiled program.

Batches are drawn from all steps, or only from steps that were chosen when they were stored. The
other steps are stored, too, but nothing is learned from them.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlp.data.dataset import NOT_KNOWN, Dataset
from rlp.types import Spec, Transition


class Layout(NamedTuple):
    """The arrangement of a replay's rows."""

    num_envs: int
    rows_per_env: int  # one per step, and one more per episode
    longest: int  # steps of the longest possible episode

    @property
    def num_rows(self) -> int:
        """The number of rows of all environments."""
        return self.num_envs * self.rows_per_env


def layout(num_envs: int, capacity: int, longest: int) -> Layout:
    """Returns the layout of a replay that holds `capacity` steps if all episodes are the longest.

    It holds fewer steps of shorter episodes, because each episode uses one row more than it has
    steps. Every environment has room for at least one episode.
    """
    steps = math.ceil(capacity / num_envs)
    num_episodes = max(1, math.ceil(steps / longest))
    return Layout(num_envs, max(steps, longest) + num_episodes, longest)


class Replay(NamedTuple):
    """The replay of a member, and where the next steps are stored."""

    data: Dataset
    round_of: jax.Array  # [N] int32: in which round each row's step was taken
    row: jax.Array  # [num_envs] int32: row of the next step, among the environment's own rows
    timestep: jax.Array  # [num_envs] int32: steps of the episode so far
    num_rounds: jax.Array  # [] int32: how often all environments took a step
    first_round: jax.Array  # [] int32: the oldest round whose steps are all still stored
    chosen_before: jax.Array | None = None  # [rows_per_env] int32: by round; None: all are chosen


def empty_replay(layout: Layout, spec: Spec, num_members: int, chooses: bool = False) -> Replay:
    """Returns replays [M] without transitions; with `chooses`, only chosen steps will be drawn."""

    def full(*shape: int, value: float = 0, dtype: Any = jnp.float32) -> jax.Array:
        return jnp.full((num_members, *shape), value, dtype)

    rows, envs, integer = layout.num_rows, layout.num_envs, jnp.int32
    return Replay(
        data=Dataset(
            observation=full(rows, spec.observation_dim),
            action=full(rows, spec.action_dim),
            reward=full(rows),
            discount=full(rows),
            is_step=full(rows, dtype=jnp.bool_),
            has_successor=full(rows, dtype=jnp.bool_),
            timestep=full(rows, dtype=integer),
            return_to_go=full(rows),
            episode_return=full(rows),
            value_floor=full(rows),
            transition_rows=full(rows, dtype=integer),
            step_rows=full(rows, dtype=integer),
            first=full(dtype=integer),
            num_transitions=full(dtype=integer),
            num_steps=full(dtype=integer),
            max_abs_reward=full(),
            sum_abs_reward=full(),
            lowest_reward=full(value=jnp.inf),
            highest_reward=full(value=-jnp.inf),
            return_range=full(),
        ),
        round_of=full(rows, dtype=integer),
        row=full(envs, dtype=integer),
        timestep=full(envs, dtype=integer),
        num_rounds=full(dtype=integer),
        first_round=full(dtype=integer),
        chosen_before=full(layout.rows_per_env, dtype=integer) if chooses else None,
    )


def insert(
    replay: Replay, layout: Layout, new: Transition, chosen: jax.Array | bool = True
) -> Replay:
    """Returns one member's replay with a new transition of each environment, [num_envs, ...].

    The return to go of a step is not known until its episode ends: see `end_episodes`. A replay
    that chooses draws batches only from transitions that are `chosen` [num_envs].
    """
    data, envs = replay.data, jnp.arange(layout.num_envs)
    rows = envs * layout.rows_per_env + replay.row
    written = jnp.concatenate([rows, rows + 1])  # rows of the states and of their successors
    lost = jnp.where(data.is_step[written], replay.round_of[written] + 1, 0)
    first_round = jnp.maximum(replay.first_round, jnp.max(lost))
    places, first, num_steps, chosen_before = _index(replay, layout, first_round, chosen)
    size = jnp.abs(new.reward)
    mean_size = data.sum_abs_reward / jnp.maximum(data.num_steps, 1)  # mean of all rewards so far
    mean_size += (jnp.mean(size) - mean_size) / (replay.num_rounds + 1)
    data = data._replace(
        observation=data.observation.at[rows]
        .set(new.observation)
        .at[rows + 1]
        .set(new.next_observation),
        action=data.action.at[rows].set(new.action),
        reward=data.reward.at[rows].set(new.reward),
        discount=data.discount.at[rows].set(new.discount),
        is_step=data.is_step.at[rows].set(True).at[rows + 1].set(False),
        has_successor=data.has_successor.at[rows].set(True).at[rows + 1].set(False),
        timestep=data.timestep.at[rows].set(replay.timestep),
        return_to_go=data.return_to_go.at[rows].set(NOT_KNOWN),
        episode_return=data.episode_return.at[rows].set(NOT_KNOWN),
        value_floor=data.value_floor.at[rows].set(NOT_KNOWN),
        transition_rows=data.transition_rows.at[places].set(rows, mode="drop"),
        step_rows=data.step_rows.at[places].set(rows, mode="drop"),
        first=first,
        num_transitions=num_steps,
        num_steps=num_steps,
        max_abs_reward=jnp.maximum(data.max_abs_reward, size.max()),
        sum_abs_reward=mean_size * num_steps,
        lowest_reward=jnp.minimum(data.lowest_reward, new.reward.min()),
        highest_reward=jnp.maximum(data.highest_reward, new.reward.max()),
    )
    return Replay(
        data=data,
        round_of=replay.round_of.at[rows].set(replay.num_rounds),
        row=replay.row + 1,
        timestep=replay.timestep + 1,
        num_rounds=replay.num_rounds + 1,
        first_round=first_round,
        chosen_before=chosen_before,
    )


def _index(
    replay: Replay, layout: Layout, first_round: jax.Array, chosen: jax.Array | bool
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]:
    """Returns where the index stores the new rows [num_envs], its first entry and its length.

    Also returns how many steps were chosen before each round, in the order of the index.
    """
    envs, number = jnp.arange(layout.num_envs), replay.num_rounds
    if replay.chosen_before is None:
        places = number % layout.rows_per_env * layout.num_envs + envs
        first = first_round % layout.rows_per_env * layout.num_envs
        return places, first, (number + 1 - first_round) * layout.num_envs, None
    before = replay.chosen_before[replay.first_round % layout.rows_per_env] + replay.data.num_steps
    chosen_before = replay.chosen_before.at[number % layout.rows_per_env].set(before)
    flags = jnp.broadcast_to(chosen, envs.shape)
    order = before + jnp.cumsum(flags) - 1
    places = jnp.where(flags, order % layout.num_rows, layout.num_rows)  # others: dropped
    oldest = chosen_before[first_round % layout.rows_per_env]
    return places, oldest % layout.num_rows, before + flags.sum() - oldest, chosen_before


def end_episodes(
    replay: Replay, layout: Layout, ended: jax.Array, discount: float | None = None
) -> Replay:
    """Returns one member's replay after episodes ended in environments `ended` [num_envs] bool.

    It fills in the returns of those episodes, and with a `discount` their `value_floor`. The next
    episodes start where there is room.
    """
    data, back = replay.data, jnp.arange(layout.longest)

    def of_env(last: jax.Array, length: jax.Array, ended: jax.Array) -> tuple[jax.Array, ...]:
        """Returns an episode's rows, last one first, and the values now known for each."""
        rows = jnp.maximum(last - back, 0)
        to_go = jnp.cumsum(data.reward[rows])
        whole = jnp.full_like(to_go, to_go[jnp.maximum(length - 1, 0)])
        floor = jnp.full_like(to_go, NOT_KNOWN)
        if discount is not None:
            floor = _value_floor(data, rows, discount)
        is_written = ended & (back < length)
        return jnp.where(is_written, rows, layout.num_rows), to_go, whole, floor  # others: dropped

    last = jnp.arange(layout.num_envs) * layout.rows_per_env + replay.row - 1
    rows, to_go, whole, floor = jax.vmap(of_env)(last, replay.timestep, ended)
    data = data._replace(
        return_to_go=data.return_to_go.at[rows].set(to_go, mode="drop"),
        episode_return=data.episode_return.at[rows].set(whole, mode="drop"),
        value_floor=data.value_floor.at[rows].set(floor, mode="drop"),
    )
    after = replay.row + 1  # after the row of the last observation
    after = jnp.where(after + layout.longest < layout.rows_per_env, after, 0)
    return replay._replace(
        data=data,
        row=jnp.where(ended, after, replay.row),
        timestep=jnp.where(ended, 0, replay.timestep),
    )


def _value_floor(data: Dataset, rows: jax.Array, discount: float) -> jax.Array:
    """Returns `rlp.data.dataset.value_floor` of an episode's rows [T], last row first."""
    tail = jnp.minimum(data.lowest_reward, 0) / (1 - discount)
    reward = data.reward[rows]
    reward = reward.at[0].add(discount * data.discount[rows[0]] * tail)

    def join(first: tuple[jax.Array, ...], then: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        return first[0] * then[0], then[0] * first[1] + then[1]

    return jax.lax.associative_scan(join, (jnp.full_like(reward, discount), reward))[1]
