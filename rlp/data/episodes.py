"""Episodes: what every reader yields, whatever the format. Plain numpy, checked once."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from rlp import memory
from rlp.errors import InputError

MAX_CHOICES = 10_000  # discrete actions; more would be a mistake, and a large one-hot
LARGEST = np.finfo(np.float32).max  # what is larger is infinite in float32


class Episode(NamedTuple):
    """One episode of T steps; the action in row t was taken AT the observation in row t."""

    observation: np.ndarray  # [T + 1, O] float32; [T, O] where the last successor is not known
    action: np.ndarray  # [T, A] float32 in [-1, 1]
    reward: np.ndarray  # [T] float32
    terminated: bool  # the MDP ended here: no bootstrap. A time limit does not terminate


@dataclass(frozen=True)
class EpisodeSet:
    """Episodes, with the names they are known by.

    Several tasks are one environment, named `walker-walk+walker-run`: then the last numbers of an
    observation are the one-hot task.
    """

    name: str  # as given to `load`
    env: str  # the environment they came from, "" where the data does not say
    episodes: Sequence[Episode]
    metadata: Mapping[str, Any] = field(default_factory=dict)  # what the data says of itself (json)
    discrete: bool = False  # actions are choices: one-hots, as wide as there are choices

    @property
    def returns(self) -> np.ndarray:
        """Undiscounted return of every episode, [N] float64."""
        return np.array([episode.reward.sum(dtype=np.float64) for episode in self.episodes])

    @property
    def num_tasks(self) -> int:
        """How many tasks there are."""
        return len(self.env.split("+"))

    @property
    def tasks(self) -> np.ndarray:
        """The task of every episode, [N] int64: its place in `env`."""
        one_hots = [episode.observation[0, -self.num_tasks :] for episode in self.episodes]
        return np.array([np.argmax(one_hot) for one_hot in one_hots])

    @property
    def num_bytes(self) -> int:
        """Bytes of all its arrays."""
        return sum(e.observation.nbytes + e.action.nbytes + e.reward.nbytes for e in self.episodes)

    @property
    def lengths(self) -> np.ndarray:
        """Number of steps of every episode, [N] int64."""
        return np.array([len(episode.action) for episode in self.episodes])


def check(episode: Episode, where: str) -> Episode:
    """Returns the episode in float32.

    Raises:
        InputError: if anything in it cannot be right, naming `where` it is and all that is wrong.
    """
    if found := problems(episode):
        raise InputError(f"{where}: {'; '.join(found)}")
    return in_float32(episode)


def in_float32(episode: Episode) -> Episode:
    """Returns the episode in float32, not checked."""
    observation, action, reward = (x.astype(np.float32, copy=False) for x in episode[:3])
    return Episode(observation, action, reward, bool(episode.terminated))


def problems(episode: Episode) -> list[str]:
    """Returns all that cannot be right in an episode, in words."""
    arrays = dict(zip(Episode._fields, episode[:3], strict=False))
    if wrong := [
        f"{k} is not numbers but {v.dtype}" for k, v in arrays.items() if v.dtype.kind not in "biuf"
    ]:
        return wrong
    observation, action, reward = arrays.values()
    length = len(action)
    if observation.ndim != 2 or action.ndim != 2 or reward.ndim != 1:
        shapes = f"{observation.shape}, {action.shape}, {reward.shape}"
        return [f"observation, action and reward must be [T + 1, O], [T, A], [T], not {shapes}"]
    if length == 0:
        return ["the episode has no steps"]
    found = []
    if len(observation) not in (length, length + 1) or len(reward) != length:
        found.append(
            f"{length} actions do not fit {len(observation)} observations and {len(reward)} rewards"
        )
    for name, array in arrays.items():
        bad = ~(np.abs(array) <= LARGEST)
        if bad.any():
            row = np.argwhere(bad)[0][0]
            found.append(f"{name} has {bad.sum()} NaN or infinite values, first in row {row}")
    beyond = np.abs(action[np.isfinite(action)]).max(initial=0)
    if beyond > 1:
        found.append(
            f"actions reach {beyond:.3g}, outside [-1, 1]: "
            "scale them by the bounds of their environment"
        )
    return found


def one_hot(action: np.ndarray, num_choices: int | None, where: str) -> np.ndarray:
    """Returns discrete actions, numbered from 0, as one-hots [T, num_choices] float32.

    Args:
        action: [T] or [T, 1].
        num_choices: how many there are; None: as many as the largest number tells of.
        where: what messages call them.

    Raises:
        InputError: if they are no such numbers.
    """
    chosen = np.asarray(action)
    if chosen.size != len(chosen) or chosen.dtype.kind not in "biuf":
        raise InputError(f"{where}: discrete actions must be a number each, not {chosen.shape}")
    chosen = chosen.reshape(-1)
    limit = LARGEST if num_choices is None else num_choices
    if not (np.equal(np.mod(chosen, 1), 0) & (chosen >= 0) & (chosen < limit)).all():
        raise InputError(f"{where}: discrete actions must be 0, 1, ... below {limit:g}")
    count = num_choices or int(chosen.max(initial=0)) + 1
    if count > MAX_CHOICES:
        raise InputError(f"{where}: {count:,} discrete actions; {MAX_CHOICES:,} at most are read")
    needed, there = 4 * len(chosen) * count, memory.of_machine()
    if needed > there:
        raise InputError(
            f"{where}: {len(chosen):,} actions of {count:,} choices take {needed / 1e9:,.1f} GB as "
            f"one-hots, but this machine has {there / 1e9:,.1f} GB"
        )
    one_hots = np.zeros((len(chosen), count), np.float32)
    one_hots[np.arange(len(chosen)), chosen.astype(np.int64)] = 1
    return one_hots


def check_set(data: EpisodeSet) -> EpisodeSet:
    """Returns the set unchanged.

    Raises:
        InputError: if there is no episode, or if the widths differ between episodes.
    """
    if not data.episodes:
        raise InputError(f"{data.name}: no episodes")
    first = data.episodes[0]
    for number, episode in enumerate(data.episodes):
        widths = episode.observation.shape[1], episode.action.shape[1]
        expected = first.observation.shape[1], first.action.shape[1]
        if widths != expected:
            raise InputError(
                f"{data.name}: observations and actions are {widths} wide in episode {number}, "
                f"{expected} in episode 0"
            )
    return data


def join(parts: Sequence[EpisodeSet]) -> EpisodeSet:
    """Returns one set with the episodes of all parts.

    Those of different environments are different tasks: a one-hot task goes behind the observation.

    Raises:
        InputError: if the parts differ in width, or it is not known of which task one is.
    """
    if len(parts) == 1:
        return parts[0]
    envs = list(dict.fromkeys(part.env for part in parts if part.env))
    if len(envs) > 1:
        for part in parts:
            if not part.env or "+" in part.env:
                said = part.env or "no environment"
                raise InputError(f"{part.name} says {said}: it cannot be joined with other tasks")
        parts = [_with_task(part, envs) for part in parts]
    if len({part.discrete for part in parts}) > 1:
        raise InputError("discrete actions cannot be joined with others")
    name = "+".join(part.name for part in parts)
    episodes = [episode for part in parts for episode in part.episodes]
    metadata = {part.name: part.metadata for part in parts}
    return check_set(EpisodeSet(name, "+".join(envs), episodes, metadata, parts[0].discrete))


def _with_task(part: EpisodeSet, envs: Sequence[str]) -> EpisodeSet:
    task = np.eye(len(envs), dtype=np.float32)[envs.index(part.env)]
    episodes = [
        episode._replace(
            observation=np.hstack(
                [episode.observation, np.tile(task, (len(episode.observation), 1))]
            )
        )
        for episode in part.episodes
    ]
    return replace(part, episodes=episodes)


def has_successors(data: EpisodeSet) -> np.ndarray:
    """Returns of which episodes the observation after the last action is known, [N] bool."""
    return np.array([len(e.observation) > len(e.action) for e in data.episodes])


def check_successors(data: EpisodeSet, where: str) -> None:
    """Checks that the last successor of every episode is known.

    Raises:
        InputError: if it is not; `where` says what needs it.
    """
    if unknown := int((~has_successors(data)).sum()):
        raise InputError(
            f"{data.name}: the last successor of {unknown} episodes is not known; {where} needs it"
        )


def drop_last_successors(data: EpisodeSet) -> EpisodeSet:
    """Returns the set as if no observation after an episode's last action were known.

    The last step before a time limit then is no transition, as in `d4rl.qlearning_dataset`.
    """
    episodes = [e._replace(observation=e.observation[: len(e.action)]) for e in data.episodes]
    return replace(data, episodes=episodes)


def top_fraction(data: EpisodeSet, fraction: float) -> EpisodeSet:
    """Returns the best episodes of each task that fit `fraction` of its steps, the best last.

    The rule of the Decision Transformer's %BC: by undiscounted return, best first, until the first
    episode that does not fit; at least one.
    """
    if fraction >= 1:
        return data
    kept: list[int] = []
    for task in np.unique(data.tasks):
        episodes = np.flatnonzero(data.tasks == task)
        best_first = episodes[np.argsort(data.returns[episodes])[::-1]]
        budget = max(int(fraction * data.lengths[episodes].sum()), 1)
        fitting = np.sum(np.cumsum(data.lengths[best_first]) <= budget)
        kept += best_first[: max(1, fitting)][::-1].tolist()
    return replace(data, episodes=[data.episodes[i] for i in kept])


def reward_factors(data: EpisodeSet) -> np.ndarray:
    """Returns for each task the factor that gives its rewards the mean |r| of all tasks, [K].

    A critic of several tasks otherwise learns mostly that of the largest rewards. A task without
    rewards keeps them.
    """
    sizes = np.array([np.abs(episode.reward).sum(dtype=np.float64) for episode in data.episodes])
    means = np.bincount(data.tasks, sizes) / np.bincount(data.tasks, data.lengths)
    mean = sizes.sum() / data.lengths.sum()
    return np.divide(mean, means, out=np.ones_like(means), where=means > 0)


def fingerprint(data: EpisodeSet) -> str:
    """Returns a sha256 of all arrays: the same for the same data, wherever it is read from."""
    digest = hashlib.sha256()
    for observation, action, reward, terminated in data.episodes:
        for array in (observation, action, reward, np.array([terminated])):
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
