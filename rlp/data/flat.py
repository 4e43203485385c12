"""Data that stores all steps one after the other: columns with a row a step, cut into episodes."""

from collections.abc import Mapping

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


def split(
    observation: np.ndarray,
    action: np.ndarray,
    reward: np.ndarray,
    terminated: np.ndarray,
    last: np.ndarray,
    following: np.ndarray | None,
    where: str,
) -> list[Episode]:
    """Returns the episodes of flat columns [N, ...].

    Args:
        observation: [N, O].
        action: [N, A], taken at the observation of the same row.
        reward: [N].
        terminated: [N] bool, whether the MDP ended with that step.
        last: [N] bool, whether an episode ended there, for whatever reason; the last row does.
        following: [N, O] observations after the steps, where they are stored.
        where: what the columns were found in.
    """
    episodes = []
    ends = np.flatnonzero(np.append(last[:-1], True)) + 1
    for start, stop in zip([0, *ends[:-1]], ends, strict=True):
        states = observation[start:stop]
        if following is not None:
            states = np.concatenate([states, following[stop - 1 : stop]])
        episode = Episode(states, action[start:stop], reward[start:stop], terminated[stop - 1])
        episodes.append(check(episode, f"{where}, rows {start} to {stop - 1}"))
    return episodes
