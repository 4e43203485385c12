"""D4RL's files (2004.07219): consecutive transitions, with terminals and timeouts.

HDF5 as D4RL publishes it, or D4RL's dictionaries in an npz file. An episode ends at a terminal, at
a timeout, where the stored next observation differs from the next row's, and at the end of the
file. With stored next observations (v1, v2) every row is a transition: a time limit bootstraps.
`d4rl.qlearning_dataset` uses the next row as the successor and drops the last row before a time
limit; `--d4rl_compat` does the same.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rlp.data import hdf5
from rlp.data.actions import in_units, known_bounds, named_bounds
from rlp.data.columnar import column_names, is_columnar, open_columns
from rlp.data.episodes import EpisodeSet, check_successors, has_successors
from rlp.data.formats import columns
from rlp.data.options import ReadOptions
from rlp.data.stored import Stored

LOOKS_FOR = "a D4RL file (.hdf5, .npz: observations, actions, rewards, terminals, timeouts)"
FIELDS = {  # D4RL's names and rlp's
    "observations": "observation",
    "actions": "action",
    "rewards": "reward",
    "terminals": "terminated",
    "timeouts": "truncated",
    "next_observations": "next_observation",
}
REQUIRED = set(FIELDS) - {"timeouts", "next_observations"}
EXTRAS = ("infos", "metadata")  # groups not needed, except for the simulator's states


def matches(path: Path) -> bool:
    """Returns whether `path` is a file of D4RL's columns, and of no others."""
    if not is_columnar(path):
        return False
    names = column_names(path)
    return set(names) >= REQUIRED and not unexplained(names)


def unexplained(names: Sequence[str]) -> str:
    """Returns which columns are not D4RL's, in a file with all required ones; "" if none."""
    own = [name for name in names if name.split("/")[0] not in EXTRAS]
    unknown = [name for name in own if name not in FIELDS]
    if not unknown or not set(own) >= REQUIRED:
        return ""
    return f"{', '.join(unknown)}, whose meaning is not known in a D4RL file"


def read(path: Path, options: ReadOptions) -> Stored:
    """Returns the episodes of a D4RL file."""
    wanted = [name for name in FIELDS if name in column_names(path)]
    with open_columns(path, wanted) as (found, about):
        fields = {FIELDS[name]: column for name, column in found.items()}
        return columns.from_columns(fields, str(path), options, about, "own")


def read_physics(path: Path, options: ReadOptions) -> list[np.ndarray] | None:
    """Returns positions and velocities [T, nq + nv] in each episode, None if not stored."""
    if not hdf5.is_hdf5(path):
        return None
    with hdf5.open_hdf5(path) as file:
        if "infos" not in hdf5.names(file):
            return None
        stored = hdf5.read_arrays(file["infos"], (), ("qpos", "qvel")).values()
    if len(stored) < 2:
        return None
    states = np.concatenate(list(stored), axis=1, dtype=np.float64)
    lengths = [len(episode.action) for episode in read(path, options).episodes]
    return np.split(states, np.cumsum(lengths)[:-1])


def write(path: Path, data: EpisodeSet) -> None:
    """Writes a data set, completely or not at all.

    Raises:
        InputError: if the last successor is known for some episodes, but not for others.
    """
    known = has_successors(data)
    if known.any():
        check_successors(data, str(path))
    episodes = data.episodes
    last = np.zeros(data.lengths.sum(), bool)
    last[np.cumsum(data.lengths) - 1] = True
    terminals = last.copy()
    terminals[last] = [episode.terminated for episode in episodes]
    arrays = {
        "observations": np.concatenate([e.observation[: len(e.action)] for e in episodes]),
        "actions": np.concatenate(in_units(data)),
        "rewards": np.concatenate([e.reward for e in episodes]),
        "terminals": terminals,
        "timeouts": last & ~terminals,
    }
    if known.any():
        arrays["next_observations"] = np.concatenate([e.observation[1:] for e in episodes])
    with hdf5.new_hdf5(path) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="gzip")
        for name, value in {"env": data.env, **named_bounds(known_bounds(data))}.items():
            file.attrs[name] = value  # D4RL's own files lack these
