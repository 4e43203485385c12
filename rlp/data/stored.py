"""What readers return, and its conversion to a data set, which all formats share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rlp.data.actions import ActionFormat, standardize
from rlp.data.episodes import Episode, EpisodeSet, check_set, in_float32, problems, unify_precision
from rlp.data.options import ReadOptions
from rlp.errors import InputError

MOST = 30  # problems listed in a message


@dataclass
class Stored:
    """The episodes of a file or folder, with actions as stored."""

    episodes: Sequence[Episode]
    place: Callable[[int], str]  # names the place of an episode in messages
    actions: ActionFormat = ActionFormat()  # noqa: RUF009 - it is immutable
    env: str = ""  # "" if the data does not say
    metadata: Mapping[str, Any] = field(default_factory=dict)
    has_rewards: bool = True
    takes_length: bool = False  # the data does not mark time limits, so --episode_length may
    notes: list[str] = field(default_factory=list)


def as_set(stored: Stored, options: ReadOptions, name: str, every: bool = False) -> EpisodeSet:
    """Returns a checked data set; with `every`, an error lists all problems, not only the first.

    Raises:
        InputError: if a value is invalid or ambiguous; the message names the episode.
    """
    if options.episode_length and not stored.takes_length:
        raise InputError(f"--episode_length: {name} says itself where its episodes end")
    if not stored.episodes:
        raise InputError(f"{name}: no episodes")
    actions = standardize(
        [episode.action for episode in stored.episodes],
        stored.actions,
        options,
        options.env or stored.env,
        name,
    )
    episodes, wrong = [], []
    for number, (episode, action) in enumerate(zip(stored.episodes, actions.action, strict=True)):
        made = episode._replace(action=action)
        if found := problems(made, actions.bounds):
            wrong += [f"{stored.place(number)}: {problem}" for problem in found]
            if not every:
                raise InputError(f"{stored.place(number)}: {'; '.join(found)}")
        else:
            episodes.append(in_float32(made))
    if wrong:
        more = [f"and {len(wrong) - MOST:,} more"] if len(wrong) > MOST else []
        raise InputError("\n".join([*wrong[:MOST], *more]))
    data = EpisodeSet(
        name=name,
        env=stored.env,
        episodes=episodes,
        metadata=stored.metadata,
        discrete=actions.discrete,
        bounds=actions.bounds,
        has_rewards=stored.has_rewards,
        notes=[*stored.notes, *actions.notes],
    )
    check_set(data)
    return replace(data, episodes=unify_precision(data.episodes))


def rows_of(episodes: Sequence[Episode], where: str) -> Callable[[int], str]:
    """Returns a function that names episodes of flat columns by their rows."""
    ends: list[int] = []

    def place(number: int) -> str:
        if not ends:  # computed only for a message
            ends.extend(np.cumsum([len(episode.action) for episode in episodes]).tolist())
        start = ends[number] - len(episodes[number].action)
        return f"{where}, rows {start} to {ends[number] - 1}"

    return place


def numbered(where: str, what: str = "episode") -> Callable[[int], str]:
    """Returns a function that names episodes by their numbers."""
    return lambda number: f"{where}, {what} {number}"
