"""rlp's minimal layout: flat columns in an npz or HDF5 file, as a few lines of any language write.

observation       [N, O]
action            [N, A] in [-1, 1], taken at the observation of the same row; or whole numbers [N]
reward            [N]
terminated        [N], whether the MDP ended with that step
truncated         [N], whether the episode was cut there, as by a time limit
next_observation  [N, O], optional: without it the last step before a cut is no transition
    env               optional: the environment's name, a text (in HDF5 an attribute of the file)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlp.data import hdf5
from rlp.data.episodes import EpisodeSet, check_set, one_hot
from rlp.data.flat import check_rows, checked, cut, is_choice, vector
from rlp.data.npz import npz_names, read_npz

LOOKS_FOR = "columns (.npz or .hdf5: observation, action, reward, terminated, truncated)"
COLUMNS = ("observation", "action", "reward", "terminated", "truncated")


def matches(path: Path) -> bool:
    """Returns whether `path` is a file with these columns."""
    if hdf5.is_hdf5(path):
        with hdf5.open_hdf5(path) as file:
            return set(COLUMNS) <= set(hdf5.names(file))
    return path.is_file() and path.suffix == ".npz" and set(COLUMNS) <= set(npz_names(path))


def read(path: Path) -> EpisodeSet:
    """Returns the episodes in their order."""
    with _opened(path) as (columns, env):
        check_rows(columns, str(path))
        reward, ended, cut_off = (vector(columns[name]) for name in COLUMNS[2:])
        discrete = is_choice(columns["action"])
        if discrete:
            columns["action"] = one_hot(columns["action"][:], None, str(path))
        episodes = cut(
            columns["observation"],
            columns["action"],
            reward,
            ended.astype(bool),
            ended.astype(bool) | cut_off.astype(bool),
            columns.get("next_observation"),
            str(path),
        )
    episodes = checked(episodes, str(path))
    return check_set(EpisodeSet(str(path), env, episodes, discrete=discrete))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Opens a file and yields its columns and the name of the environment."""
    if hdf5.is_hdf5(path):
        with hdf5.open_hdf5(path) as file:
            env = str(file.attrs.get("env", ""))
            yield hdf5.columns(file, COLUMNS, ["next_observation"]), env
    else:
        columns = read_npz(path, COLUMNS, ("next_observation", "env"))
        env = str(columns.pop("env", ""))
        yield columns, env
