"""The replay arrays on the device, and how batches are drawn from them inside the program."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlp.data.episodes import Episode, EpisodeSet
from rlp.errors import InputError
from rlp.types import Sarsa, Segment, Step, Transition

STD_FLOOR = 1e-3  # a constant feature must not explode


class Normalizer(NamedTuple):
    """Statistics of the observations, [O] each; they travel with the policy."""

    mean: jax.Array
    std: jax.Array


def normalize(normalizer: Normalizer, observation: jax.Array) -> jax.Array:
    """Returns (observation - mean) / max(std, 1e-3) of one observation [O]."""
    return (observation - normalizer.mean) / jnp.maximum(normalizer.std, STD_FLOOR)


def hide_task(normalizer: Normalizer, num_tasks: int) -> Normalizer:
    """Returns the statistics that make the one-hot task behind the observations zeros."""
    return normalizer._replace(std=normalizer.std.at[-num_tasks:].set(jnp.inf))


class Dataset(NamedTuple):
    """All episodes in flat columns, T + 1 rows each.

    One row number serves every column, and the next observation is the next row, so observations
    are stored once. An episode's last row has no action: the row lists name the rows that count.
    """

    observation: jax.Array  # [N, O], normalised
    action: jax.Array  # [N, A]
    reward: jax.Array  # [N]
    discount: jax.Array  # [N], 0 where the MDP terminated
    is_step: jax.Array  # [N] bool: an action was taken
    timestep: jax.Array  # [N] int32, 0 at the start of an episode
    return_to_go: jax.Array  # [N], rewards from here to the end; not known in a replay that grows
    transition_rows: jax.Array  # [N] int32: rows with a known successor, padded at the end
    step_rows: jax.Array  # [N] int32: rows with an action, padded at the end
    num_transitions: jax.Array  # [] int32
    num_steps: jax.Array  # [] int32
    max_abs_reward: jax.Array  # [], bounds every Q


def fit_normalizer(data: EpisodeSet) -> Normalizer:
    """Returns mean and standard deviation of the observations in which an action was taken."""
    rows = np.concatenate([e.observation[: len(e.action)] for e in data.episodes])
    mean, std = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    return Normalizer(jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32))


def unit_normalizer(observation_dim: int) -> Normalizer:
    """Returns the statistics that leave observations as they are."""
    return Normalizer(jnp.zeros(observation_dim), jnp.ones(observation_dim))


def make_dataset(data: EpisodeSet, normalizer: Normalizer) -> Dataset:
    """Returns the episodes as replay arrays on the default device, observations normalised."""
    columns = [_rows(episode) for episode in data.episodes]
    observation, action, reward, discount, has_successor = map(
        np.concatenate, zip(*columns, strict=True)
    )
    timestep = np.concatenate([np.arange(n + 1) for n in data.lengths])
    is_step = np.concatenate([np.arange(n + 1) < n for n in data.lengths])
    return_to_go = np.concatenate([_return_to_go(episode.reward) for episode in data.episodes])
    transition_rows, step_rows = np.flatnonzero(has_successor), np.flatnonzero(is_step)
    return Dataset(
        observation=jax.vmap(normalize, (None, 0))(normalizer, jnp.asarray(observation)),
        action=jnp.asarray(action),
        reward=jnp.asarray(reward),
        discount=jnp.asarray(discount),
        is_step=jnp.asarray(is_step),
        timestep=jnp.asarray(timestep, jnp.int32),
        return_to_go=jnp.asarray(return_to_go, jnp.float32),
        transition_rows=jnp.asarray(transition_rows, jnp.int32),
        step_rows=jnp.asarray(step_rows, jnp.int32),
        num_transitions=jnp.int32(len(transition_rows)),
        num_steps=jnp.int32(len(step_rows)),
        max_abs_reward=jnp.float32(np.abs(reward).max()),
    )


def _rows(episode: Episode) -> tuple[np.ndarray, ...]:
    """Returns the columns of one episode, T + 1 rows each, and which rows have a successor.

    Where the last successor is not known, its row is zeros; the last step then is a transition only
    if the MDP terminated, as a discount of 0 masks whatever follows.
    """
    length = len(episode.action)
    missing = length + 1 - len(episode.observation)
    discount = np.ones(length, np.float32)
    discount[-1] = 0 if episode.terminated else 1
    has_successor = np.arange(length + 1) < length
    has_successor[length - 1] = not missing or episode.terminated
    return (
        np.pad(episode.observation, ((0, missing), (0, 0))),
        np.pad(episode.action, ((0, 1), (0, 0))),
        np.pad(episode.reward, (0, 1)),
        np.pad(discount, (0, 1)),
        has_successor,
    )


def _return_to_go(reward: np.ndarray) -> np.ndarray:
    """Returns the undiscounted sum of rewards from every row on, [T + 1] for [T]."""
    return np.append(np.cumsum(reward[::-1], dtype=np.float64)[::-1], 0)


def sample_steps(dataset: Dataset, key: jax.Array, batch_size: int) -> Step:
    """Returns states and actions drawn uniformly with replacement, [B, ...]."""
    index = jax.random.randint(key, (batch_size,), 0, dataset.num_steps)
    row = dataset.step_rows[index]
    return Step(dataset.observation[row], dataset.action[row])


def sample_transitions(dataset: Dataset, key: jax.Array, batch_size: int) -> Transition:
    """Returns transitions drawn uniformly with replacement, [B, ...]."""
    return _transitions(dataset, _transition_rows(dataset, key, batch_size))


def sample_sarsa(dataset: Dataset, key: jax.Array, batch_size: int) -> Sarsa:
    """Returns transitions and the actions after them, drawn uniformly with replacement."""
    row = _transition_rows(dataset, key, batch_size)
    return Sarsa(_transitions(dataset, row), dataset.action[row + 1], dataset.is_step[row + 1])


def sample_segments(
    dataset: Dataset, key: jax.Array, batch_size: int, length: int, delayed: bool = False
) -> Segment:
    """Returns segments of at most `length` steps, [B, K, ...].

    They begin at steps drawn uniformly, so that episodes weigh by their length, and stop where
    their episode stops. `delayed` moves every reward to the last step of its episode.
    """
    index = jax.random.randint(key, (batch_size,), 0, dataset.num_steps)
    cut = jax.vmap(lambda row: _segment(dataset, row, length, delayed))
    return cut(dataset.step_rows[index])


def _segment(dataset: Dataset, start: jax.Array, length: int, delayed: bool) -> Segment:
    place = jnp.arange(length)
    is_step = dataset.is_step.at[start + place].get(mode="fill", fill_value=False)
    padding = length - jnp.sum(jnp.cumprod(is_step))
    row = jnp.maximum(start + place - padding, start)
    timestep = dataset.timestep[row]
    return Segment(
        observation=dataset.observation[row],
        action=dataset.action[row],
        return_to_go=dataset.return_to_go[row - timestep if delayed else row],
        timestep=timestep,
        mask=place >= padding,
    )


def _transition_rows(dataset: Dataset, key: jax.Array, batch_size: int) -> jax.Array:
    if not len(dataset.transition_rows):
        raise InputError("the data has no transition: of no step is the next observation known")
    index = jax.random.randint(key, (batch_size,), 0, dataset.num_transitions)
    return dataset.transition_rows[index]


def _transitions(dataset: Dataset, row: jax.Array) -> Transition:
    return Transition(
        observation=dataset.observation[row],
        action=dataset.action[row],
        reward=dataset.reward[row],
        discount=dataset.discount[row],
        next_observation=dataset.observation[row + 1],
    )
