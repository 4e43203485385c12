"""D4RL's HDF5 files (2004.07219): transitions one after the other, with terminals and timeouts.

An episode ends at a terminal, at a time-out, where the stored next observation is not that of the
next row, and at the end of the file. With stored next observations (v1, v2) every row is a
transition: a time limit bootstraps. `d4rl.qlearning_dataset` takes the next row for the successor
and drops the last row before a time limit: `--d4rl_compat` does the same.
"""

from pathlib import Path

import numpy as np

from rlp.data import hdf5
from rlp.data.episodes import Episode, EpisodeSet, check, check_set
from rlp.errors import InputError

LOOKS_FOR = "a D4RL file (.hdf5: observations, actions, rewards, terminals)"
COLUMNS = ("observations", "actions", "rewards", "terminals")
MAX_EPISODE_STEPS = 1000  # of the MuJoCo tasks; v0 files may not say where a time limit was


def matches(path: Path) -> bool:
    """Returns whether `path` is an HDF5 file with D4RL's columns."""
    if not path.is_file() or path.suffix not in (".hdf5", ".h5"):
        return False
    with hdf5.open_hdf5(path) as file:
        return set(COLUMNS) <= set(hdf5.names(file)) and "episode_terminals" not in file


def read(path: Path) -> EpisodeSet:
    """Returns the episodes of a D4RL file."""
    with hdf5.open_hdf5(path) as file:
        arrays = hdf5.read_arrays(file, COLUMNS, ("timeouts", "next_observations"))
    rows = {name: len(array) for name, array in arrays.items() if array.ndim}
    if len(rows) < len(arrays) or len(set(rows.values())) != 1 or 0 in rows.values():
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise InputError(f"{path}: the arrays need a row for each step, but have {shapes}")
    observation, action = (arrays[name].astype(np.float32) for name in COLUMNS[:2])
    reward = arrays["rewards"].reshape(len(observation), -1)[:, 0].astype(np.float32)
    terminal = arrays["terminals"].reshape(-1).astype(bool)
    following = arrays.get("next_observations")
    ends = np.flatnonzero(_ends(arrays, terminal)) + 1
    episodes = []
    for start, stop in zip([0, *ends[:-1]], ends, strict=True):
        states = observation[start:stop]
        if following is not None:
            states = np.concatenate([states, following[stop - 1 : stop].astype(np.float32)])
        episode = Episode(states, action[start:stop], reward[start:stop], bool(terminal[stop - 1]))
        episodes.append(check(episode, f"{path}, rows {start} to {stop - 1}"))
    return check_set(EpisodeSet(str(path), "", episodes))


def _ends(arrays: dict[str, np.ndarray], terminal: np.ndarray) -> np.ndarray:
    """Returns which rows are the last of their episode, [N] bool."""
    following = arrays.get("next_observations")
    ends = terminal.copy()
    ends[-1] = True
    if "timeouts" in arrays:
        ends |= arrays["timeouts"].reshape(-1).astype(bool)
    if following is not None:
        ends[:-1] |= np.any(following[:-1] != arrays["observations"][1:], axis=1)
    elif "timeouts" not in arrays:
        steps = 0
        for row, ended in enumerate(ends):
            steps = 0 if ended else steps + 1
            if steps == MAX_EPISODE_STEPS:
                ends[row], steps = True, 0
    return ends
