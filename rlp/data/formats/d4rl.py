"""D4RL's HDF5 files (2004.07219): transitions one after the other, with terminals and timeouts.

An episode ends at a terminal, at a time-out, where the stored next observation is not that of the
next row, and at the end of the file. With stored next observations (v1, v2) every row is a
transition: a time limit bootstraps. `d4rl.qlearning_dataset` takes the next row for the successor
and drops the last row before a time limit: `--d4rl_compat` does the same.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rlp.data import hdf5
from rlp.data.episodes import EpisodeSet, check_set, check_successors, has_successors
from rlp.data.flat import check_rows, checked, cut, jumps, vector

LOOKS_FOR = "a D4RL file (.hdf5: observations, actions, rewards, terminals)"
COLUMNS = ("observations", "actions", "rewards", "terminals")
MAX_EPISODE_STEPS = 1000  # of the MuJoCo tasks; v0 files may not say where a time limit was


def matches(path: Path) -> bool:
    """Returns whether `path` is an HDF5 file with D4RL's columns."""
    if not hdf5.is_hdf5(path):
        return False
    with hdf5.open_hdf5(path) as file:
        return set(COLUMNS) <= set(hdf5.names(file)) and "episode_terminals" not in file


def read(path: Path) -> EpisodeSet:
    """Returns the episodes of a D4RL file."""
    with hdf5.open_hdf5(path) as file:
        columns = hdf5.columns(file, COLUMNS, ("timeouts", "next_observations"))
        check_rows(columns, str(path))
        terminal = vector(columns["terminals"]).astype(bool)
        episodes = cut(
            columns["observations"],
            columns["actions"],
            vector(columns["rewards"]),
            terminal,
            _ends(columns, terminal),
            columns.get("next_observations"),
            str(path),
        )
        env = file.attrs.get("env", "")
    return check_set(EpisodeSet(str(path), str(env), checked(episodes, str(path))))


def read_physics(path: Path) -> list[np.ndarray] | None:
    """Returns positions and velocities [T, nq + nv] of each episode, None if not stored."""
    with hdf5.open_hdf5(path) as file:
        if "infos" not in hdf5.names(file):
            return None
        stored = hdf5.read_arrays(file["infos"], (), ("qpos", "qvel")).values()
    if len(stored) < 2:
        return None
    states = np.concatenate(list(stored), axis=1, dtype=np.float64)
    return np.split(states, np.cumsum(read(path).lengths)[:-1])


def write(path: Path, data: EpisodeSet) -> None:
    """Writes a data set whole or not at all.

    Raises:
        InputError: if the last successor is known of some episodes and not of others.
    """
    known = has_successors(data)
    if known.any():
        check_successors(data, str(path))
    episodes = data.episodes
    last = np.zeros(data.lengths.sum(), bool)
    last[np.cumsum(data.lengths) - 1] = True
    terminals = last.copy()
    terminals[last] = [episode.terminated for episode in episodes]
    columns = {
        "observations": np.concatenate([e.observation[: len(e.action)] for e in episodes]),
        "actions": np.concatenate([e.action for e in episodes]),
        "rewards": np.concatenate([e.reward for e in episodes]),
        "terminals": terminals,
        "timeouts": last & ~terminals,
    }
    if known.any():
        columns["next_observations"] = np.concatenate([e.observation[1:] for e in episodes])
    with hdf5.new_hdf5(path) as file:
        for name, column in columns.items():
            file.create_dataset(name, data=column, compression="gzip")
        file.attrs["env"] = data.env  # D4RL's own files do not say it


def _ends(columns: Mapping[str, Any], terminal: np.ndarray) -> np.ndarray:
    """Returns which rows are the last of their episode, [N] bool."""
    ends = terminal.copy()
    if "timeouts" in columns:
        ends |= vector(columns["timeouts"]).astype(bool)
    if "next_observations" in columns:
        ends |= jumps(columns["observations"], columns["next_observations"])
    elif "timeouts" not in columns:
        steps = 0
        for row, ended in enumerate(ends):
            steps = 0 if ended else steps + 1
            if steps == MAX_EPISODE_STEPS:
                ends[row], steps = True, 0
    return ends
