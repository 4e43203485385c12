"""Stable-Baselines3's replay buffers, as `model.save_replay_buffer` pickles them.

Arrays [rows, environments, ...] in a ring that begins at `pos` once it is full; actions are scaled
to [-1, 1] already. Nothing of Stable-Baselines3 or torch is imported or run. With
`optimize_memory_usage` the next observation is that of the next row, and time limits are not told
from terminations.
"""

from pathlib import Path
from typing import Any

import numpy as np

from rlp.data.episodes import Episode, EpisodeSet, check_set, one_hot
from rlp.data.flat import check_rows, checked, cut, jumps
from rlp.data.pickles import Inert, begins_with, is_pickle, read_pickle
from rlp.errors import InputError

LOOKS_FOR = "a Stable-Baselines3 replay buffer (.pkl)"
INERT = ("stable_baselines3", "gymnasium", "gym", "torch", "numpy.random")  # whose objects it holds
COLUMNS = ("observations", "actions", "rewards", "dones", "timeouts")
FOLLOWING = "next_observations"


def matches(path: Path) -> bool:
    """Returns whether `path` is a pickle file of an object of theirs."""
    return is_pickle(path) and begins_with(path, "stable_baselines3")


def read(path: Path) -> EpisodeSet:
    """Returns the episodes of each environment, the oldest first."""
    buffer = read_pickle(path, INERT)
    state = vars(buffer) if isinstance(buffer, Inert) else {}
    shared = "next_observations" not in state
    names = COLUMNS if shared else (*COLUMNS, FOLLOWING)
    columns = {name: state[name] for name in names if isinstance(state.get(name), np.ndarray)}
    missing = [name for name in names if name not in columns]
    if missing or not isinstance(state.get("pos"), int):
        raise InputError(f"{path}: a replay buffer without {', '.join(missing) or 'pos'}")
    check_rows(columns, str(path))
    discrete = columns["actions"].dtype.kind != "f"
    if shared:
        columns[FOLLOWING] = np.roll(columns["observations"], -1, axis=0)
    if any(columns[name].ndim < 2 for name in columns):
        raise InputError(f"{path}: the arrays need an axis of environments")
    if discrete:
        columns["actions"] = _one_hot(columns["actions"], state.get("action_space"), str(path))
    rows = _rows(state["pos"], bool(state.get("full")), len(columns["dones"]), shared)
    episodes: list[Episode] = []
    for env in range(columns["dones"].shape[1]):
        each = {name: column[rows, env] for name, column in columns.items()}
        found = _episodes(each, f"{path}, environment {env}")
        episodes += map(_without_end, found) if shared else found
    told = (
        {} if state.get("handle_timeout_termination") else {"time limits": "read as terminations"}
    )
    return check_set(EpisodeSet(str(path), "", episodes, told, discrete))


def _one_hot(action: np.ndarray, space: Any, where: str) -> np.ndarray:
    """Returns discrete actions [rows, environments, 1] as one-hots [rows, environments, K]."""
    said = vars(space).get("n") if isinstance(space, Inert) else None
    num_choices = int(said) if isinstance(said, int | np.integer) else None
    hot = one_hot(action.reshape(-1), num_choices, where)
    return hot.reshape(*action.shape[:2], -1)


def _rows(position: int, full: bool, size: int, shared: bool) -> np.ndarray:
    """Returns the rows that are filled, the oldest first.

    Where observations are shared, the newest has overwritten that of the oldest row.
    """
    if not full:
        return np.arange(min(position, size))
    return np.roll(np.arange(size), -position)[1 if shared else 0 :]


def _episodes(columns: dict[str, np.ndarray], where: str) -> list[Episode]:
    observation, action, reward, done, timeout, following = columns.values()
    if not len(done):
        return []
    terminated = (done * (1 - timeout)) > 0
    last = (done > 0) | jumps(observation, following)
    return checked(cut(observation, action, reward, terminated, last, following, where), where)


def _without_end(episode: Episode) -> Episode:
    """Returns a terminated episode without the row that followed: it is of the next episode."""
    rows = len(episode.observation) - episode.terminated
    return episode._replace(observation=episode.observation[:rows])
