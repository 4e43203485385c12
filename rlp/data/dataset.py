"""The replay arrays on the device, and functions that draw batches inside the compiled program."""

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import scipy.signal
from jax.typing import DTypeLike

from rlp.data.episodes import EpisodeSet
from rlp.errors import InputError
from rlp.types import Sarsa, Segment, Sources, Statistics, Step, Transition

T = TypeVar("T")
STD_FLOOR = 1e-3  # a constant feature must not explode
NOT_KNOWN = -np.inf  # stands for the return of an episode that has not ended


class Normalizer(NamedTuple):
    """Statistics of the observations, [O] each; they travel with the policy."""

    mean: jax.Array
    std: jax.Array


def normalize(normalizer: Normalizer, observation: jax.Array) -> jax.Array:
    """Returns (observation - mean) / max(std, 1e-3) of one observation [O]."""
    return (observation - normalizer.mean) / jnp.maximum(normalizer.std, STD_FLOOR)


def unnormalize(normalizer: Normalizer, observation: jax.Array) -> jax.Array:
    """Returns the observation [O] that `normalize` made this one of."""
    return observation * jnp.maximum(normalizer.std, STD_FLOOR) + normalizer.mean


def hide_task(normalizer: Normalizer, num_tasks: int) -> Normalizer:
    """Returns statistics that turn the one-hot task at the end of observations into zeros."""
    return normalizer._replace(std=normalizer.std.at[-num_tasks:].set(jnp.inf))


class Dataset(NamedTuple):
    """All episodes in flat columns, T + 1 rows each.

    One row number serves every column, and the next observation is the next row, so observations
    are stored once. An episode's last row has no action: the row lists say which rows to draw from.
    """

    observation: jax.Array  # [N, O], normalised; float16 where memory is short
    action: jax.Array  # [N, A]
    reward: jax.Array  # [N]
    discount: jax.Array  # [N], 0 where the MDP terminated
    is_step: jax.Array  # [N] bool: an action was taken
    has_successor: jax.Array  # [N] bool: and the next state is known
    timestep: jax.Array  # [N] int32, 0 at the start of an episode and where no state is known
    return_to_go: jax.Array  # [N], rewards from here to the end, or NOT_KNOWN
    episode_return: jax.Array  # [N], rewards of the whole episode, or NOT_KNOWN
    value_floor: jax.Array  # [N], lower bound of the discounted return from here, or NOT_KNOWN
    transition_rows: jax.Array  # [N] int32: rows with a known successor, padded at the end
    step_rows: jax.Array  # [N] int32: rows with an action, padded at the end
    first: jax.Array  # [] int32: first valid entry of the row lists, which are rings in a replay
    num_transitions: jax.Array  # [] int32
    num_steps: jax.Array  # [] int32
    max_abs_reward: jax.Array  # [], bounds every |Q|
    sum_abs_reward: jax.Array  # []
    lowest_reward: jax.Array  # [], bounds Q from below
    highest_reward: jax.Array  # [], and from above
    return_range: jax.Array  # [], best minus worst return of whole episodes; 0: not known
    normalizer: Normalizer | None = None  # of the environment's observations; None in a replay

    @property
    def statistics(self) -> Statistics:
        """The statistics of the rewards, and the arrays themselves."""
        return Statistics(
            mean_abs_reward=self.sum_abs_reward / self.num_steps,
            max_abs_reward=self.max_abs_reward,
            lowest_reward=self.lowest_reward,
            highest_reward=self.highest_reward,
            return_range=self.return_range,
            data=self,
        )


def fit_normalizer(data: EpisodeSet) -> Normalizer:
    """Returns mean and standard deviation of the observations at which an action was taken.

    The data's `origin` is subtracted from the observations first.
    """
    count = data.lengths.sum()
    mean = _sum(data, lambda rows: rows) / count
    std = np.sqrt(_sum(data, lambda rows: np.square(rows - mean)) / count)
    return Normalizer(jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32))


def _sum(data: EpisodeSet, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Returns the sum of a function of observations, episode by episode to save memory."""
    origin = data.origin
    rows = (e.observation[: len(e.action)].astype(np.float64) - origin for e in data.episodes)
    return sum((function(each).sum(axis=0) for each in rows), start=np.zeros(()))


def unit_normalizer(observation_dim: int) -> Normalizer:
    """Returns the statistics that leave observations as they are."""
    return Normalizer(jnp.zeros(observation_dim), jnp.ones(observation_dim))


def make_dataset(
    data: EpisodeSet,
    normalizer: Normalizer,
    dtype: DTypeLike = jnp.float32,
    factors: np.ndarray | None = None,
    discount: float | None = None,
) -> Dataset:
    """Returns the episodes as replay arrays on the default device, observations normalised.

    Args:
        data: the episodes.
        normalizer: statistics of the observations after the data's `origin` is subtracted.
        dtype: type in which observations are stored.
        factors: multiply the rewards of each task, [K]; returns to go are not multiplied.
        discount: for `value_floor`; None: it is not computed.

    Raises:
        InputError: if an observation is too large for `dtype`.
    """
    factors = np.ones(data.num_tasks) if factors is None else factors
    rows = _rows(data, factors, discount)
    observation = _normalized(normalizer, rows.pop("observation"), dtype)
    if not jnp.isfinite(observation).all():
        raise InputError(f"{data.name}: an observation is too large for {observation.dtype}")
    transition_rows = np.flatnonzero(rows["has_successor"])
    step_rows = np.flatnonzero(rows["is_step"])
    return Dataset(
        observation=observation,
        **{name: jnp.asarray(column) for name, column in rows.items()},
        transition_rows=jnp.asarray(transition_rows, jnp.int32),
        step_rows=jnp.asarray(step_rows, jnp.int32),
        first=jnp.int32(0),
        num_transitions=jnp.int32(len(transition_rows)),
        num_steps=jnp.int32(len(step_rows)),
        max_abs_reward=jnp.float32(np.abs(rows["reward"]).max()),
        sum_abs_reward=jnp.float32(np.abs(rows["reward"]).sum(dtype=np.float64)),
        lowest_reward=jnp.float32(rows["reward"][rows["is_step"]].min()),
        highest_reward=jnp.float32(rows["reward"][rows["is_step"]].max()),
        return_range=jnp.float32(return_range(data, factors)),
        normalizer=normalizer._replace(mean=normalizer.mean + data.origin.astype(np.float32)),
    )


def return_range(data: EpisodeSet, factors: np.ndarray) -> float:
    """Returns the best minus the worst return of whole episodes; 0 if there are none.

    Args:
        data: the episodes.
        factors: multiply the rewards of each task, [K].
    """
    returns = (factors[data.tasks] * data.returns)[data.is_whole]
    return float(np.ptp(returns)) if len(returns) else 0.0


@functools.partial(jax.jit, static_argnames="dtype")
def _normalized(normalizer: Normalizer, observation: jax.Array, dtype: DTypeLike) -> jax.Array:
    return jax.vmap(normalize, (None, 0))(normalizer, observation).astype(dtype)


def _rows(data: EpisodeSet, factors: np.ndarray, discount: float | None) -> dict[str, np.ndarray]:
    """Returns the columns, T + 1 rows per episode, and which rows have a successor.

    Where the last successor is not known, its row is zeros. The last step is then a transition only
    if the MDP terminated: a discount of 0 masks whatever follows.
    """
    num_rows, first, origin = int((data.lengths + 1).sum()), data.episodes[0], data.origin
    rows = {
        "observation": np.zeros((num_rows, first.observation.shape[1]), np.float32),
        "action": np.zeros((num_rows, first.action.shape[1]), np.float32),
        "reward": np.zeros(num_rows, np.float32),
        "discount": np.zeros(num_rows, np.float32),
        "is_step": np.zeros(num_rows, bool),
        "timestep": np.zeros(num_rows, np.int32),
        "return_to_go": np.zeros(num_rows, np.float32),
        "episode_return": np.zeros(num_rows, np.float32),
        "value_floor": np.full(num_rows, NOT_KNOWN, np.float32),
        "has_successor": np.zeros(num_rows, bool),
    }
    lowest = min(
        (factors[task] * e.reward).min() for task, e in zip(data.tasks, data.episodes, strict=True)
    )
    start = 0
    for task, episode in zip(data.tasks, data.episodes, strict=True):
        length = len(episode.action)
        steps, end = slice(start, start + length), start + length
        observation = episode.observation
        if observation.dtype == np.float64:  # subtract before float32 merges different values
            observation = observation - origin
        rows["observation"][start : start + len(observation)] = observation
        rows["action"][steps] = episode.action
        rows["reward"][steps] = factors[task] * episode.reward
        rows["discount"][steps] = 1
        rows["discount"][end - 1] = 0 if episode.terminated else 1
        rows["is_step"][steps] = True
        rows["timestep"][start : start + len(observation)] = np.arange(len(observation))
        to_go = rows["return_to_go"][start : end + 1] = _return_to_go(episode.reward)
        rows["episode_return"][start : end + 1] = to_go[0]
        if discount is not None:
            rows["value_floor"][start : end + 1] = value_floor(
                factors[task] * episode.reward, episode.terminated, discount, lowest
            )
        rows["has_successor"][steps] = True
        rows["has_successor"][end - 1] = episode.terminated or len(episode.observation) > length
        start = end + 1
    return rows


def value_floor(reward: np.ndarray, terminated: bool, discount: float, lowest: float) -> np.ndarray:
    """Returns a lower bound of every row's value for the policy that made the episode, [T + 1].

    It is the discounted sum of the rewards [T]. After a time limit the lowest reward is assumed for
    ever, or 0 if the lowest reward is positive.
    """
    tail = 0.0 if terminated else min(lowest, 0.0) / (1 - discount)
    backwards = np.append(tail, reward[::-1])
    return np.asarray(scipy.signal.lfilter([1.0], [1.0, -discount], backwards))[::-1]


def _return_to_go(reward: np.ndarray) -> np.ndarray:
    """Returns the undiscounted sum of rewards from each row to the end, [T + 1] for [T]."""
    return np.append(np.cumsum(reward[::-1], dtype=np.float64)[::-1], 0)


def statistics_of(sources: Sources) -> Statistics:
    """Returns the statistics of the logged data, or of the replay if there is no logged data."""
    return (sources.replay if sources.offline is None else sources.offline).statistics


def from_each(
    sources: Sources, key: jax.Array, batch_size: int, draw: Callable[[Dataset, jax.Array, int], T]
) -> T:
    """Returns a batch drawn from all available sources, each with its share.

    The rows are mixed, so that every part of a batch contains rows of each source.
    """
    if sources.replay is None:
        return draw(sources.offline, key, batch_size)
    if sources.offline is None:
        return draw(sources.replay, key, batch_size)
    num_offline = round(sources.offline_share * batch_size)
    first, second = jax.random.split(key)
    parts = (
        draw(sources.offline, first, num_offline),
        draw(sources.replay, second, batch_size - num_offline),
    )
    order = np.random.default_rng(0).permutation(batch_size)
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[order], *parts)


def sample_steps(sources: Sources, key: jax.Array, batch_size: int) -> Step:
    """Returns states and actions drawn uniformly with replacement, [B, ...]."""

    def draw(dataset: Dataset, key: jax.Array, size: int) -> Step:
        row = draw_rows(key, size, dataset.step_rows, dataset.first, dataset.num_steps)
        return Step(_observation(dataset, row), dataset.action[row])

    return from_each(sources, key, batch_size, draw)


def sample_transitions(sources: Sources, key: jax.Array, batch_size: int) -> Transition:
    """Returns transitions drawn uniformly with replacement, [B, ...]."""

    def draw(dataset: Dataset, key: jax.Array, size: int) -> Transition:
        return transitions_at(dataset, _transition_rows(dataset, key, size))

    return from_each(sources, key, batch_size, draw)


def sample_n_steps(
    sources: Sources, key: jax.Array, batch_size: int, num_steps: int, discount: jax.Array | float
) -> Transition:
    """Returns transitions over `num_steps` steps each, drawn uniformly with replacement.

    The reward is the sum of their rewards, discounted by `discount` (gamma). The transition's
    discount includes gamma^(n - 1). Near the end of an episode it spans the steps that remain.
    """
    if num_steps == 1:
        return sample_transitions(sources, key, batch_size)

    def over_steps(dataset: Dataset, start: jax.Array) -> Transition:
        place = jnp.arange(num_steps)
        row = jnp.minimum(start + place, len(dataset.reward) - 1)
        goes_on = jnp.append(True, dataset.discount[row[:-1]] > 0)
        counts = jnp.cumprod(dataset.has_successor[row] & goes_on)
        last = start + jnp.sum(counts) - 1
        of_step = counts * discount**place
        return Transition(
            observation=_observation(dataset, start),
            action=dataset.action[start],
            reward=jnp.sum(of_step * dataset.reward[row]),
            discount=dataset.discount[last] * discount ** (last - start),
            next_observation=_observation(dataset, last + 1),
        )

    def draw(dataset: Dataset, key: jax.Array, size: int) -> Transition:
        rows = _transition_rows(dataset, key, size)
        return jax.vmap(lambda row: over_steps(dataset, row))(rows)

    return from_each(sources, key, batch_size, draw)


def sample_floored(
    sources: Sources, key: jax.Array, batch_size: int
) -> tuple[Transition, jax.Array]:
    """Returns transitions as `sample_transitions` does, and `value_floor` of their states, [B]."""

    def draw(dataset: Dataset, key: jax.Array, size: int) -> tuple[Transition, jax.Array]:
        row = _transition_rows(dataset, key, size)
        return transitions_at(dataset, row), dataset.value_floor[row]

    return from_each(sources, key, batch_size, draw)


def sample_sarsa(sources: Sources, key: jax.Array, batch_size: int) -> Sarsa:
    """Returns transitions and the actions after them, drawn uniformly with replacement."""

    def draw(dataset: Dataset, key: jax.Array, size: int) -> Sarsa:
        row = _transition_rows(dataset, key, size)
        return Sarsa(
            transitions_at(dataset, row), dataset.action[row + 1], dataset.is_step[row + 1]
        )

    return from_each(sources, key, batch_size, draw)


def sample_policy_sarsa(sources: Sources, key: jax.Array, batch_size: int) -> Sarsa:
    """Returns transitions of the logged data and the given policy's actions after them."""
    dataset = sources.offline
    row = _transition_rows(dataset, key, batch_size)
    return Sarsa(transitions_at(dataset, row), sources.policy_action[row + 1], jnp.ones(batch_size))


def sample_segments(
    sources: Sources, key: jax.Array, batch_size: int, length: int, delayed: bool = False
) -> Segment:
    """Returns segments of at most `length` steps, [B, K, ...].

    They begin at steps drawn uniformly, so episodes are weighted by their length. They end where
    their episode ends. `delayed` moves every reward to the last step of its episode. Segments of an
    unfinished episode are all padding, because its return is not known yet.
    """

    def draw(dataset: Dataset, key: jax.Array, size: int) -> Segment:
        start = draw_rows(key, size, dataset.step_rows, dataset.first, dataset.num_steps)
        return jax.vmap(lambda row: _segment(dataset, row, length, delayed))(start)

    return from_each(sources, key, batch_size, draw)


def _segment(dataset: Dataset, start: jax.Array, length: int, delayed: bool) -> Segment:
    place = jnp.arange(length)
    is_step = dataset.is_step.at[start + place].get(mode="fill", fill_value=False)
    padding = length - jnp.sum(jnp.cumprod(is_step))
    row = jnp.maximum(start + place - padding, start)
    to_go = (dataset.episode_return if delayed else dataset.return_to_go)[row]
    is_known = to_go != NOT_KNOWN
    return Segment(
        observation=_observation(dataset, row),
        action=dataset.action[row],
        return_to_go=jnp.where(is_known, to_go, 0),
        timestep=dataset.timestep[row],
        mask=(place >= padding) & is_known,
    )


def _transition_rows(dataset: Dataset, key: jax.Array, batch_size: int) -> jax.Array:
    if not len(dataset.transition_rows):
        raise InputError("the data has no transitions: no step has a known next observation")
    rows = dataset.transition_rows
    return draw_rows(key, batch_size, rows, dataset.first, dataset.num_transitions)


def draw_rows(
    key: jax.Array, size: int, rows: jax.Array, first: jax.Array, number: jax.Array
) -> jax.Array:
    """Returns rows [size] drawn uniformly from the `number` entries that start at `first`.

    The probabilities differ by at most a share of number / 2^32. jax's randint avoids even that
    bias, but draws more random bits for it.
    """
    bits = jax.random.bits(key, (size,))
    index = (bits % number.astype(bits.dtype)).astype(jnp.int32)
    return rows[(first + index) % len(rows)]


def _observation(dataset: Dataset, row: jax.Array) -> jax.Array:
    return dataset.observation[row].astype(jnp.float32)


def transitions_at(dataset: Dataset, row: jax.Array) -> Transition:
    """Returns the transitions of these rows; where none is, what comes of it means nothing."""
    return Transition(
        observation=_observation(dataset, row),
        action=dataset.action[row],
        reward=dataset.reward[row],
        discount=dataset.discount[row],
        next_observation=_observation(dataset, row + 1),
    )
