"""Data that stores all steps one after the other: columns with a row a step, cut into episodes.

A column is an array, or an HDF5 data set that is read by slices: so what is in memory beside the
episodes is one slice.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlp.data.episodes import Episode, check
from rlp.data.reading import announced
from rlp.errors import InputError

SLICE = 100_000  # rows that are read at once


def vector(column: Any) -> np.ndarray:
    """Returns a column of one number a row as [N], also where it is stored as [N, 1]."""
    values = column[:]
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def is_choice(action: Any) -> bool:
    """Returns whether a column of actions has discrete ones: a whole number a row."""
    return len(action.shape) == 1 and action.dtype.kind in "iu"


def slices(num_rows: int) -> list[slice]:
    """Returns slices that cover all rows."""
    return [slice(start, min(start + SLICE, num_rows)) for start in range(0, num_rows, SLICE)]


def check_rows(columns: Mapping[str, Any], where: str) -> None:
    """Checks that every column has numbers, a row for each of at least one step.

    Raises:
        InputError: if they differ, or the next observations are not as wide as the observations.
    """
    rows = {column.shape[0] if column.shape else None for column in columns.values()}
    if len(rows) != 1 or rows & {None, 0}:
        shapes = ", ".join(f"{name} {column.shape}" for name, column in columns.items())
        raise InputError(f"{where}: the arrays need a row for each step, but have {shapes}")
    for name, column in columns.items():
        if column.dtype.kind not in "biuf":
            raise InputError(f"{where}: {name} is not numbers but {column.dtype}")
    widths = [column.shape[1:] for name, column in columns.items() if "observation" in name]
    if len(set(widths)) > 1:
        raise InputError(f"{where}: observations of {widths[0]}, next observations of {widths[1]}")


def jumps(observation: Any, following: Any) -> np.ndarray:
    """Returns after which rows the next one is not what followed, [N] bool; the last row is none.

    Args:
        observation: [N, O].
        following: [N, O] observations after the steps.
    """
    found = np.zeros(len(observation), bool)
    for rows in slices(len(found) - 1):
        next_row = observation[rows.start + 1 : rows.stop + 1]
        found[rows] = np.any(following[rows] != next_row, axis=1)
    return found


def cut(
    observation: Any,
    action: Any,
    reward: np.ndarray,
    terminated: np.ndarray,
    last: np.ndarray,
    following: Any = None,
    where: str = "arrays",
) -> list[Episode]:
    """Returns the episodes of flat columns [N, ...], float32 but for rewards, not checked.

    Args:
        observation: [N, O].
        action: [N, A], taken at the observation of the same row.
        reward: [N].
        terminated: [N] bool, whether the MDP ended with that step.
        last: [N] bool, whether an episode ended there, for whatever reason; the last row does.
        following: [N, O] observations after the steps, where they are stored.
        where: what messages call the columns.
    """
    ends = np.flatnonzero(np.append(last[:-1], True)) + 1
    more = 0 if following is None else 1  # rows of an episode beyond its steps
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and refused as such
        if following is None and isinstance(observation, np.ndarray):
            states = observation.astype(np.float32, copy=False)
        else:
            states = _read_states(observation, following, ends, where)
        actions = np.asarray(action, np.float32)
    episodes = []
    for number, (start, stop) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        rows = slice(start + more * number, stop + more * (number + 1))
        ended = bool(terminated[stop - 1])
        episodes.append(Episode(states[rows], actions[start:stop], reward[start:stop], ended))
    return episodes


def _read_states(observation: Any, following: Any, ends: np.ndarray, where: str) -> np.ndarray:
    """Returns the observations with, behind each end of an episode, the one that followed it."""
    num_rows = len(observation) + (0 if following is None else len(ends))
    states = np.empty((num_rows, *observation.shape[1:]), np.float32)
    parts = slices(len(observation))
    is_read = isinstance(observation, np.ndarray)
    for rows in parts if is_read else announced(parts, where, states.nbytes):
        row = np.arange(rows.start, rows.stop)
        place = row if following is None else row + np.searchsorted(ends, row, side="right")
        states[place] = observation[rows]
        if following is not None:
            is_end = np.isin(row + 1, ends)
            states[place[is_end] + 1] = following[rows][is_end]
    return states


def checked(episodes: Sequence[Episode], where: str) -> list[Episode]:
    """Returns episodes that were cut from flat columns, each checked and named by its rows."""
    ends = np.cumsum([len(episode.action) for episode in episodes])
    return [
        check(episode, f"{where}, rows {end - len(episode.action)} to {end - 1}")
        for episode, end in zip(episodes, ends, strict=True)
    ]
