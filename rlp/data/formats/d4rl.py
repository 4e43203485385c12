"""D4RL's HDF5 files (2004.07219): transitions one after the other, with terminals and timeouts.

An episode ends at a terminal, at a time-out, where the stored next observation is not that of the
next row, and at the end of the file. With stored next observations (v1, v2) every row is a
transition: a time limit bootstraps. `d4rl.qlearning_dataset` takes the next row for the successor
and drops the last row before a time limit: `--d4rl_compat` does the same.
"""

from pathlib import Path

import numpy as np

from rlp.data import hdf5
from rlp.data.episodes import EpisodeSet, check_set
from rlp.data.flat import check_rows, checked, cut, vector

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
        arrays = hdf5.read_arrays(file, COLUMNS, ("timeouts", "next_observations"))
    check_rows(arrays, str(path))
    terminal = vector(arrays["terminals"]).astype(bool)
    episodes = cut(
        arrays["observations"],
        arrays["actions"],
        vector(arrays["rewards"]),
        terminal,
        _ends(arrays, terminal),
        arrays.get("next_observations"),
    )
    return check_set(EpisodeSet(str(path), "", checked(episodes, str(path))))


def _ends(arrays: dict[str, np.ndarray], terminal: np.ndarray) -> np.ndarray:
    """Returns which rows are the last of their episode, [N] bool."""
    following = arrays.get("next_observations")
    ends = terminal.copy()
    if "timeouts" in arrays:
        ends |= vector(arrays["timeouts"]).astype(bool)
    if following is not None:
        ends[:-1] |= np.any(following[:-1] != arrays["observations"][1:], axis=1)
    elif "timeouts" not in arrays:
        steps = 0
        for row, ended in enumerate(ends):
            steps = 0 if ended else steps + 1
            if steps == MAX_EPISODE_STEPS:
                ends[row], steps = True, 0
    return ends
