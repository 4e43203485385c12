"""Data that stores all steps one after the other: columns with a row a step, cut into episodes."""

from collections.abc import Mapping, Sequence

import numpy as np

from rlp.data.episodes import Episode, check
from rlp.errors import InputError


def vector(column: np.ndarray) -> np.ndarray:
    """Returns a column of one number a row as [N], also where it is stored as [N, 1]."""
    return column[:, 0] if column.ndim == 2 and column.shape[1] == 1 else column


def check_rows(columns: Mapping[str, np.ndarray], where: str) -> None:
    """Checks that every column has a row for each of at least one step.

    Raises:
        InputError: if they differ.
    """
    rows = {array.shape[0] if array.ndim else None for array in columns.values()}
    if len(rows) != 1 or rows & {None, 0}:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in columns.items())
        raise InputError(f"{where}: the arrays need a row for each step, but have {shapes}")


def cut(
    observation: np.ndarray,
    action: np.ndarray,
    reward: np.ndarray,
    terminated: np.ndarray,
    last: np.ndarray,
    following: np.ndarray | None = None,
) -> list[Episode]:
    """Returns the episodes of flat columns [N, ...], not checked.

    Args:
        observation: [N, O].
        action: [N, A], taken at the observation of the same row.
        reward: [N].
        terminated: [N] bool, whether the MDP ended with that step.
        last: [N] bool, whether an episode ended there, for whatever reason; the last row does.
        following: [N, O] observations after the steps, where they are stored.
    """
    episodes = []
    ends = np.flatnonzero(np.append(last[:-1], True)) + 1
    for start, stop in zip([0, *ends[:-1]], ends, strict=True):
        states = observation[start:stop]
        if following is not None:
            states = np.concatenate([states, following[stop - 1 : stop]])
        ended = bool(terminated[stop - 1])
        episodes.append(Episode(states, action[start:stop], reward[start:stop], ended))
    return episodes


def checked(episodes: Sequence[Episode], where: str) -> list[Episode]:
    """Returns episodes that were cut from flat columns, each checked and named by its rows."""
    ends = np.cumsum([len(episode.action) for episode in episodes])
    return [
        check(episode, f"{where}, rows {end - len(episode.action)} to {end - 1}")
        for episode, end in zip(episodes, ends, strict=True)
    ]
