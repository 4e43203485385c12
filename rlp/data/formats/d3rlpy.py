"""d3rlpy's HDF5 files: version 2.1 (arrays of each episode) and version 1 (flat, .h5).

Neither stores the observation after an episode's last step, so the last step before a time limit is
no transition. Version 1 marks the end of an episode whether it was a time limit or not.
"""

from pathlib import Path
from typing import Any

import numpy as np

from rlp.data import hdf5
from rlp.data.episodes import Episode, EpisodeSet, check, check_set, one_hot
from rlp.data.flat import check_rows, checked, cut, vector

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
        read_episodes = _read_flat if "episode_terminals" in file else _read_each
        episodes, discrete = read_episodes(file, str(path))
    return check_set(EpisodeSet(str(path), "", episodes, discrete=discrete))


def _read_flat(file: Any, where: str) -> tuple[list[Episode], bool]:
    arrays = hdf5.read_arrays(file, FLAT, ("discrete_action",))
    discrete = bool(arrays.pop("discrete_action", False))
    check_rows(arrays, where)
    observation, action, *columns = arrays.values()
    action = one_hot(action, None, where) if discrete else action
    reward, terminal, ended = map(vector, columns)
    episodes = cut(observation, action, reward, terminal.astype(bool), ended.astype(bool))
    return checked(episodes, where), discrete


def _read_each(file: Any, where: str) -> tuple[list[Episode], bool]:
    count = int(hdf5.read_arrays(file, ["num_episodes"])["num_episodes"])
    found, actions = [], []
    for number in range(count):
        names = [
            f"{name}_{number}" for name in ("observations", "actions", "rewards", "terminated")
        ]
        observation, action, reward, terminated = hdf5.read_arrays(file, names).values()
        found.append(Episode(observation, action, vector(reward), bool(np.any(terminated))))
        actions.append(action)
    discrete = bool(actions) and all(action.dtype.kind in "biu" for action in actions)
    if discrete:
        num_choices = 1 + max(int(action.max(initial=0)) for action in actions)
        found = [
            episode._replace(action=one_hot(episode.action, num_choices, where))
            for episode in found
        ]
    episodes = [check(each, f"{where}, episode {number}") for number, each in enumerate(found)]
    return episodes, discrete
