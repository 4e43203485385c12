"""d3rlpy's HDF5 files: version 2.1 (arrays of each episode) and version 1 (flat, .h5).

Neither stores the observation after an episode's last step, so the last step before a time limit is
no transition. Version 1 marks the end of an episode whether it was a time limit or not.
"""

from pathlib import Path
from typing import Any

import numpy as np

from rlp.data import hdf5
from rlp.data.episodes import DISCRETE, Episode, EpisodeSet, check, check_set
from rlp.data.flat import check_rows, checked, cut, vector
from rlp.errors import InputError

LOOKS_FOR = "a d3rlpy file (.h5)"
FLAT = ("observations", "actions", "rewards", "terminals", "episode_terminals")


def matches(path: Path) -> bool:
    """Returns whether `path` is an HDF5 file of one of d3rlpy's two layouts."""
    if not hdf5.is_hdf5(path):
        return False
    with hdf5.open_hdf5(path) as file:
        here = set(hdf5.names(file))
    return {"columns", "num_episodes"} <= here or set(FLAT) <= here


def read(path: Path) -> EpisodeSet:
    """Returns the episodes of a d3rlpy file."""
    with hdf5.open_hdf5(path) as file:
        episodes = (_read_flat if "episode_terminals" in file else _read_each)(file, str(path))
    return check_set(EpisodeSet(str(path), "", episodes))


def _read_flat(file: Any, where: str) -> list[Episode]:
    arrays = hdf5.read_arrays(file, FLAT, ("discrete_action",))
    if arrays.pop("discrete_action", False):
        raise InputError(f"{where}: {DISCRETE}")
    check_rows(arrays, where)
    observation, action, *columns = arrays.values()
    reward, terminal, ended = map(vector, columns)
    episodes = cut(observation, action, reward, terminal.astype(bool), ended.astype(bool))
    return checked(episodes, where)


def _read_each(file: Any, where: str) -> list[Episode]:
    count = int(hdf5.read_arrays(file, ["num_episodes"])["num_episodes"])
    episodes = []
    for number in range(count):
        names = [
            f"{name}_{number}" for name in ("observations", "actions", "rewards", "terminated")
        ]
        observation, action, reward, terminated = hdf5.read_arrays(file, names).values()
        if action.dtype.kind in "biu":
            raise InputError(f"{where}: {DISCRETE}")
        episode = Episode(observation, action, vector(reward), bool(np.any(terminated)))
        episodes.append(check(episode, f"{where}, episode {number}"))
    return episodes
