"""d3rlpy's HDF5 files: version 2.1 (arrays per episode) and version 1 (flat, .h5).

Neither stores the observation after an episode's last step, so the last step before a time limit is
not a transition. Version 1 marks all ends of episodes, including time limits. An episode terminated
if its last step is flagged. As in d3rlpy, flags on other steps do not count: its own data also
flags the step before the last.
"""

from pathlib import Path
from typing import Any

from rlp.data import hdf5
from rlp.data.actions import ActionFormat
from rlp.data.episodes import Episode
from rlp.data.flat import check_rows, cut, flags, vector
from rlp.data.options import ReadOptions
from rlp.data.stored import Stored, numbered, rows_of
from rlp.errors import InputError

LOOKS_FOR = "a d3rlpy file (.h5)"
EXTRAS = ("discrete_action", "version")
FLAT = ("observations", "actions", "rewards", "terminals", "episode_terminals")


def matches(path: Path) -> bool:
    """Returns whether `path` is an HDF5 file in one of d3rlpy's two layouts."""
    if not hdf5.is_hdf5(path):
        return False
    with hdf5.open_hdf5(path) as file:
        here = set(hdf5.names(file))
    return {"columns", "num_episodes"} <= here or set(FLAT) <= here <= {*FLAT, *EXTRAS}


def read(path: Path, options: ReadOptions) -> Stored:
    """Returns the episodes of a d3rlpy file."""
    del options  # the file states everything
    with hdf5.open_hdf5(path) as file:
        read_episodes = _read_flat if "episode_terminals" in file else _read_each
        return read_episodes(file, str(path))


def _read_flat(file: Any, where: str) -> Stored:
    arrays = hdf5.read_arrays(file, FLAT, ("discrete_action",))
    stored = arrays.pop("discrete_action", None)
    check_rows(arrays, where)
    observation, action, reward, *ends = arrays.values()
    terminal, ended = (flags(column, where) for column in ends)
    episodes = cut(observation, action, vector(reward), terminal & ended, ended & ~terminal)
    actions = ActionFormat(discrete=None if stored is None else bool(stored))
    within = int((terminal & ~ended).sum())
    notes = [f"{within:,} terminals within episodes are left out, as d3rlpy does"] if within else []
    return Stored(episodes, rows_of(episodes, where), actions, notes=notes)


def _read_each(file: Any, where: str) -> Stored:
    count = hdf5.read_arrays(file, ["num_episodes"])["num_episodes"]
    if count.ndim or count.dtype.kind not in "iu" or not 0 < count <= len(file):
        raise InputError(f"{where}: num_episodes is {count}, of a file with {len(file)} arrays")
    episodes = []
    for number in range(int(count)):
        columns = ("observations", "actions", "rewards", "terminated")
        names = [f"{name}_{number}" for name in columns]
        observation, action, reward, terminated = hdf5.read_arrays(file, names).values()
        check_rows(dict(zip(names[:3], (observation, action, reward), strict=True)), where)
        episodes.append(Episode(observation, action, vector(reward), bool(terminated.any())))
    return Stored(episodes, numbered(where))
