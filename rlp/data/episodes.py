"""Episodes in plain numpy, checked once. Every reader yields them, whatever the format."""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from rlp.data.options import ReadOptions
from rlp.envs import Bounds
from rlp.errors import DataWarning, InputError

LARGEST = np.finfo(np.float32).max  # larger values become infinite in float32
MIN_RESOLUTION = 1e-5  # share of a feature's range that float32 must be able to resolve


class Episode(NamedTuple):
    """One episode of T steps; the action in row t was taken AT the observation in row t.

    Observations are float32, or float64 where float32 would merge different values.
    """

    observation: np.ndarray  # [T + 1, O]; [T, O] where the last successor is not known
    action: np.ndarray  # [T, A] float32 in [-1, 1]
    reward: np.ndarray  # [T] float32
    terminated: bool  # the MDP ended here: no bootstrap. A time limit does not terminate
    is_fragment: bool = False  # only part of an episode, so the rewards do not sum to its return


@dataclass(frozen=True)
class EpisodeSet:
    """Episodes, and what is known about all of them.

    Several tasks form one environment, named for example `walker-walk+walker-run`. The last numbers
    of each observation are then the one-hot task.
    """

    name: str  # as given to `load`
    env: str  # the environment they came from, "" if the data does not say
    episodes: Sequence[Episode]
    metadata: Mapping[str, Any] = field(default_factory=dict)  # stored with the data (json)
    discrete: bool = False  # actions are one-hots, as wide as there are choices
    bounds: Bounds | None = None  # of the actions; None: the environment's own, or discrete
    has_rewards: bool = True  # False: all rewards are 0, because the data has none
    notes: Sequence[str] = ()  # what reading had to assume, cut or leave out, a sentence each
    read_with: ReadOptions | None = None  # None: made in Python, so `name` is not a path

    def __repr__(self) -> str:
        """Returns a summary in one line."""
        count, steps = len(self.episodes), int(self.lengths.sum())
        return f"<EpisodeSet {self.name}: {count:,} episodes, {steps:,} steps, env {self.env!r}>"

    @property
    def returns(self) -> np.ndarray:
        """The sum of rewards of every episode, [N] float64; its return only where `is_whole`."""
        return np.array([episode.reward.sum(dtype=np.float64) for episode in self.episodes])

    @property
    def is_whole(self) -> np.ndarray:
        """Whether each episode is complete, not a fragment, [N] bool."""
        return np.array([not episode.is_fragment for episode in self.episodes])

    @property
    def first_rows(self) -> np.ndarray:
        """The first row of each episode in the replay arrays, T + 1 rows per episode, [N]."""
        return np.cumsum([0, *self.lengths[:-1] + 1])

    @property
    def origin(self) -> np.ndarray:
        """The value to subtract from observations before they become float32, [O] float64.

        It is the first observation if observations are float64, else zeros.
        """
        first = self.episodes[0].observation[0]
        if first.dtype == np.float64:
            return first.astype(np.float32).astype(np.float64)
        return np.zeros(len(first))

    @property
    def num_tasks(self) -> int:
        """The number of tasks."""
        return len(self.env.split("+"))

    @property
    def tasks(self) -> np.ndarray:
        """The task of every episode, [N] int64: its position in `env`."""
        one_hots = [episode.observation[0, -self.num_tasks :] for episode in self.episodes]
        return np.array([np.argmax(one_hot) for one_hot in one_hots])

    @property
    def num_bytes(self) -> int:
        """The number of bytes of all arrays."""
        return sum(e.observation.nbytes + e.action.nbytes + e.reward.nbytes for e in self.episodes)

    @property
    def lengths(self) -> np.ndarray:
        """The number of steps of every episode, [N] int64."""
        return np.array([len(episode.action) for episode in self.episodes])


def in_float32(episode: Episode) -> Episode:
    """Returns the episode in float32, not checked; observations stay float64 if they need it."""
    observation, action, reward = episode[:3]
    with np.errstate(all="ignore"):  # overflow in float32 gives infinity, which the check refuses
        return episode._replace(
            observation=observation if needs_float64(observation) else to_float32(observation),
            action=to_float32(action),
            reward=to_float32(reward),
            terminated=bool(episode.terminated),
        )


def to_float32(values: np.ndarray) -> np.ndarray:
    """Returns the values in float32, without a copy if they are float32 already."""
    return values.astype(np.float32, copy=False)


def needs_float64(observation: np.ndarray) -> bool:
    """Returns whether float32 would merge observations [N, O] that differ."""
    if observation.dtype.kind not in "iuf" or observation.dtype.itemsize < 4:
        return False
    if observation.dtype == np.float32 or not observation.size:
        return False
    return merges_in_float32(observation.min(axis=0), observation.max(axis=0))


def merges_in_float32(low: np.ndarray, high: np.ndarray) -> bool:
    """Returns whether float32 is too coarse for a feature between these values, [O] each.

    For example, seconds since 1970 are 128 apart in float32. A feature that never changes needs no
    precision.
    """
    largest = np.maximum(np.abs(low), np.abs(high)).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        spacing = np.spacing(largest.astype(np.float32))
        return bool(np.any(spacing * (high != low) > MIN_RESOLUTION * (high - low)))


def unify_precision(episodes: Sequence[Episode]) -> list[Episode]:
    """Returns the episodes with observations of one type: float64 if their joint range needs it.

    A single episode may seem to need float64 where the range of all episodes does not.
    """
    if all(episode.observation.dtype == np.float32 for episode in episodes):
        return list(episodes)
    low = np.min([episode.observation.min(axis=0) for episode in episodes], axis=0)
    high = np.max([episode.observation.max(axis=0) for episode in episodes], axis=0)
    dtype = np.float64 if merges_in_float32(low, high) else np.float32
    return [e._replace(observation=e.observation.astype(dtype, copy=False)) for e in episodes]


def problems(episode: Episode, bounds: Bounds | None = None) -> list[str]:
    """Returns every problem of an episode in words; `bounds` are those that scaled its actions."""
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
    if not observation.shape[1] or not action.shape[1]:
        return [f"no numbers in observations {observation.shape} or actions {action.shape}"]
    found = []
    if len(observation) not in (length, length + 1) or len(reward) != length:
        found.append(
            f"{length} actions do not fit {len(observation)} observations and {len(reward)} rewards"
        )
    for name, array in arrays.items():
        bad = ~(np.abs(array) <= LARGEST)
        if bad.any():
            row = np.argwhere(bad)[0][0]
            found.append(f"{name} has {bad.sum()} NaN or infinite values, first in its row {row}")
    beyond = np.abs(action[np.isfinite(action)]).max(initial=0)
    if beyond > 1:
        hint = "give their environment (--env), their bounds (--action_low, --action_high)"
        if bounds:
            low, high = bounds.low.min(), bounds.high.max()
            hint = (
                f"they were scaled by bounds from {low:.4g} to {high:.4g}; give others, -1 and 1 "
                "if they are scaled already (--action_low, --action_high)"
            )
        found.append(f"actions reach {beyond:.6g}, outside [-1, 1]: {hint}, or --clip_actions=True")
    return found


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

    Different environments become different tasks: a one-hot task is appended to each observation.

    Raises:
        InputError: if the parts differ in width, or the task of one is not known.
    """
    if len(parts) == 1:
        return parts[0]
    envs = list(dict.fromkeys(part.env for part in parts if part.env))
    if len(envs) > 1:
        for part in parts:
            if not part.env or "+" in part.env:
                stated = part.env or "no environment"
                raise InputError(f"{part.name} says {stated}: it cannot be joined with other tasks")
        parts = [_with_task(part, envs) for part in parts]
    if len({part.discrete for part in parts}) > 1:
        raise InputError("discrete actions cannot be joined with others")
    bounds = next((part.bounds for part in parts if part.bounds), None)
    is_unit = bounds is None or np.array_equal(np.abs(bounds), np.ones_like(bounds))
    for part in parts:
        if part.bounds is None and not is_unit:
            raise InputError(
                f"{part.name}: the bounds of its actions are not known, others' are not -1 and 1: "
                "give them for all, as --env or --action_low and --action_high"
            )
        if part.bounds and bounds and not np.array_equal(part.bounds, bounds):
            raise InputError(f"{part.name}: its actions have other bounds than {parts[0].name}'s")
    name = "+".join(part.name for part in parts)
    episodes = [episode for part in parts for episode in part.episodes]
    joined = EpisodeSet(
        name=name,
        env="+".join(envs),
        episodes=unify_precision(episodes),
        metadata={part.name: part.metadata for part in parts},
        discrete=parts[0].discrete,
        bounds=bounds,
        has_rewards=all(part.has_rewards for part in parts),
        notes=[f"{part.name}: {note}" for part in parts for note in part.notes],
    )
    if not joined.has_rewards and any(part.has_rewards for part in parts):
        lacking = ", ".join(part.name for part in parts if not part.has_rewards)
        raise InputError(
            f"{lacking}: data without rewards cannot be joined with data that has them"
        )
    return check_set(joined)


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
    """Returns whether the observation after the last action of each episode is known, [N] bool."""
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
    """Returns the set without the observations after each episode's last action.

    The last step before a time limit is then not a transition, as in `d4rl.qlearning_dataset`.
    """
    episodes = [e._replace(observation=e.observation[: len(e.action)]) for e in data.episodes]
    return replace(data, episodes=episodes)


def hold_out(data: EpisodeSet, share: float) -> tuple[EpisodeSet, EpisodeSet]:
    """Returns the set without a random share of its episodes, and a set of that share.

    The same episodes are drawn each time.

    Raises:
        InputError: if the share is less than one episode.
    """
    count = round(share * len(data.episodes))
    if not count:
        raise InputError(
            f"--validation={share:g}: of the {len(data.episodes)} episodes of {data.name} that is "
            "none; give a larger share, or 0"
        )
    held = np.isin(
        np.arange(len(data.episodes)),
        np.random.default_rng(0).permutation(len(data.episodes))[:count],
    )
    parts = (
        [e for e, is_held in zip(data.episodes, held, strict=True) if is_held == wanted]
        for wanted in (False, True)
    )
    rest, held_out = (replace(data, episodes=part) for part in parts)
    return rest, held_out


def top_fraction(data: EpisodeSet, fraction: float) -> EpisodeSet:
    """Returns the best episodes of each task, up to `fraction` of its steps, the best last.

    This is the rule of the Decision Transformer's %BC: take episodes by undiscounted return, best
    first, until one does not fit; at least one.
    """
    if fraction >= 1:
        return data
    data = whole_episodes(data, "the best episodes")
    kept: list[int] = []
    for task in np.unique(data.tasks):
        episodes = np.flatnonzero(data.tasks == task)
        best_first = episodes[np.argsort(data.returns[episodes])[::-1]]
        budget = max(int(fraction * data.lengths[episodes].sum()), 1)
        fitting = np.sum(np.cumsum(data.lengths[best_first]) <= budget)
        kept += best_first[: max(1, fitting)][::-1].tolist()
    return replace(data, episodes=[data.episodes[i] for i in kept])


def evenly_spaced(data: EpisodeSet, fraction: float) -> EpisodeSet:
    """Returns a fraction of the episodes, evenly spaced in their order; at least one."""
    total = len(data.episodes)
    count = max(1, round(fraction * total))
    return replace(data, episodes=[data.episodes[i * total // count] for i in range(count)])


def delayed(data: EpisodeSet) -> EpisodeSet:
    """Returns the whole episodes with all reward moved to the last step (2106.01345, section 5.3).

    Warns if that step is not a transition: what learns from transitions never sees its reward.
    """
    data = whole_episodes(data, "the returns that come at the end")
    lost = ~has_successors(data) & ~np.array([each.terminated for each in data.episodes])
    if lost.any():
        warnings.warn(
            f"{data.name}: of {lost.sum()} episodes no observation follows the last action, so "
            "critics never see their delayed reward",
            DataWarning,
            stacklevel=2,
        )
    late = [np.append(np.zeros(len(e.reward) - 1), e.reward.sum()) for e in data.episodes]
    pairs = zip(data.episodes, late, strict=True)
    return replace(data, episodes=[e._replace(reward=to_float32(reward)) for e, reward in pairs])


def whole_episodes(data: EpisodeSet, needed_by: str) -> EpisodeSet:
    """Returns the set without fragments, whose returns are not known; warns of their number.

    Raises:
        InputError: if no episode is whole, or there are no rewards; `needed_by` names what needs
            them.
    """
    if not data.has_rewards:
        raise InputError(f"{data.name}: {needed_by} cannot be known without rewards")
    is_whole = data.is_whole
    if is_whole.all():
        return data
    if not is_whole.any():
        raise InputError(
            f"{data.name}: {needed_by} cannot be known, as no episode is whole from start to end"
        )
    warnings.warn(
        f"{data.name}: {np.sum(~is_whole)} fragments are left out, as they do not tell {needed_by}",
        DataWarning,
        stacklevel=2,
    )
    episodes = [e for e, whole in zip(data.episodes, is_whole, strict=True) if whole]
    return replace(data, episodes=episodes)


def reward_factors(data: EpisodeSet) -> np.ndarray:
    """Returns for each task the factor that gives its rewards the mean |r| of all tasks, [K].

    Otherwise a critic of several tasks learns mostly the one with the largest rewards. The factor
    is 1 for a task whose rewards are all 0.
    """
    sizes = np.array([np.abs(episode.reward).sum(dtype=np.float64) for episode in data.episodes])
    means = np.bincount(data.tasks, sizes) / np.bincount(data.tasks, data.lengths)
    mean = sizes.sum() / data.lengths.sum()
    return np.divide(mean, means, out=np.ones_like(means), where=means > 0)


def fingerprint(data: EpisodeSet) -> str:
    """Returns a sha256 of all arrays: the same for the same data, whatever the format."""
    digest = hashlib.sha256()
    for episode in data.episodes:
        for array in (*episode[:3], np.array([episode.terminated])):
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
