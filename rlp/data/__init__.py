"""Loads data sets by name or path, or makes them from arrays in Python."""

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rlp.data.actions import ActionFormat
from rlp.data.columnar import column_names, is_columnar
from rlp.data.episodes import Episode, EpisodeSet, join
from rlp.data.flat import vector
from rlp.data.formats import FORMATS, columns, d4rl, minari, ogbench
from rlp.data.options import AS_STORED, ReadOptions
from rlp.data.reading import check_file, check_folder
from rlp.data.stored import Stored, as_set, numbered
from rlp.envs import OGBENCH
from rlp.errors import DataWarning, InputError, nearest

BUNDLED = Path(__file__).parent / "bundled"
ARRAYS = ("observation", "action", "reward")  # fields of an episode that are arrays
MINARI = "minari:"  # prefix of the name of a Minari data set
MINARI_NAME = re.compile(r"[\w-]+(/[\w-]+)*")


def bundled_names() -> list[str]:
    """Returns the names of the data sets that come with rlp."""
    return sorted(str(f.relative_to(BUNDLED).with_suffix("")) for f in BUNDLED.glob("*/*.npz"))


def load(name_or_path: str, options: ReadOptions = AS_STORED) -> EpisodeSet:
    """Returns the data set with this name or path; `a+b` joins data sets.

    Warns (DataWarning) of whatever it had to assume, cut or leave out. `notes` lists the same.

    Args:
        name_or_path: a bundled name, `minari:` and the name of a Minari data set, `og:` and the
            name of an OGBench task, or a path.
        options: facts that the data itself does not state.

    Raises:
        InputError: if there is no such data set, or it cannot be read.
    """
    joined = join([_load_one(part, options) for part in _parts(name_or_path)])
    return replace(_finish(joined, options), read_with=options)


def load_physics(name_or_path: str, options: ReadOptions = AS_STORED) -> list[np.ndarray] | None:
    """Returns the simulator's states in each episode of `load`, None if any are missing."""
    joined: list[np.ndarray] = []
    for path in map(_find, _parts(name_or_path)):
        states = getattr(_reader(path, options), "read_physics", lambda *_: None)(path, options)
        if states is None:
            return None
        joined += states
    return joined


def _finish(data: EpisodeSet, options: ReadOptions) -> EpisodeSet:
    """Returns the set with the environment that the user named, and warns of each of its notes."""
    if options.env and data.num_tasks > 1 and data.num_tasks != len(options.env.split("+")):
        raise InputError(f"--env={options.env}: {data.name} is of the tasks {data.env}")
    for note in data.notes:
        warnings.warn(f"{data.name}: {note}", DataWarning, stacklevel=3)
    return replace(data, env=options.env or data.env)


def _parts(name_or_path: str) -> list[str]:
    return [name_or_path] if os.path.exists(name_or_path) else name_or_path.split("+")


def _load_one(name_or_path: str, options: ReadOptions) -> EpisodeSet:
    path = _find(name_or_path)
    if name_or_path.startswith(OGBENCH):
        options = replace(options, env=options.env or name_or_path)
    return as_set(_reader(path, options).read(path, options), options, name_or_path)


def _find(name_or_path: str) -> Path:
    """Returns the path of a data set."""
    names = bundled_names()
    if name_or_path in names:
        return BUNDLED / f"{name_or_path}.npz"
    if name_or_path.startswith(MINARI):
        name = name_or_path.removeprefix(MINARI)
        if not MINARI_NAME.fullmatch(name):
            raise InputError(f"no data set {name_or_path}: not a name as mujoco/hopper/medium-v0")
        return minari.stored(name)
    if name_or_path.startswith(OGBENCH):
        return ogbench.stored(name_or_path)
    if not os.path.exists(name_or_path):
        raise InputError(
            f"no data set {name_or_path}{nearest(name_or_path, names)}: neither a path nor one of "
            f"{', '.join(names)}; Minari's are named {MINARI}mujoco/hopper/medium-v0, "
            f"OGBench's {OGBENCH}cube-single-play-singletask-task1-v0"
        )
    path = Path(name_or_path)
    if not path.is_dir():
        check_file(path)
    return path


def _reader(path: Path, options: ReadOptions) -> Any:
    """Returns the module that reads the format found at a path."""
    if options.columns:
        if not is_columnar(path):
            raise InputError(
                f"--columns: {path} is no file of columns (.npz, .hdf5, .csv, .parquet)"
            )
        return columns
    fitting = [reader for reader in FORMATS if reader.matches(path)]
    if len(fitting) > 1:
        found = " and ".join(reader.LOOKS_FOR for reader in fitting)
        raise InputError(f"{path}: it could be {found}; name the file or folder that is meant")
    if not fitting and is_columnar(path):
        names = column_names(path)
        why = d4rl.unexplained(names) or columns.unexplained(names)
        raise InputError(f"{path}: {why}; {columns.hint(names)}")
    if not fitting:
        looked_for = "".join(f"\n  {reader.LOOKS_FOR}" for reader in FORMATS)
        raise InputError(f"{path}: no data found there; looked for{looked_for}")
    if path.is_dir():
        check_folder(path)
    return fitting[0]


def from_episodes(
    episodes: Sequence[Episode],
    env: str = "",
    name: str = "episodes",
    options: ReadOptions = AS_STORED,
) -> EpisodeSet:
    """Returns a data set from episodes made in Python.

    Args:
        episodes: observation [T + 1, O] (or [T, O] where the last successor is not known), action
            [T, A] taken at the observation in the same row, reward [T], terminated. Actions are in
            the units of the environment, or in [-1, 1] if the environment is not known; whole
            numbers [T] are discrete actions.
        env: the environment to evaluate in, such as `walker-walk` or `gym:Hopper-v4`.
        name: the set's name in messages.
        options: bounds of the actions, and other facts that the arrays do not show.

    Raises:
        InputError: if any value is invalid; the message lists every problem, one per line.
    """
    if not isinstance(episodes, Iterable):
        raise InputError(f"{name}: not episodes but {type(episodes).__name__}")
    _check_options(options)
    made = [_arrays(each, f"{name}, episode {number}") for number, each in enumerate(episodes)]
    stored = Stored(made, numbered(name), ActionFormat("unit"), env)
    return _finish(as_set(stored, options, name, every=True), options)


def _check_options(options: ReadOptions) -> None:
    if not isinstance(options, ReadOptions):
        raise InputError(f"options: not rlp.ReadOptions but {type(options).__name__}")


def _arrays(episode: Episode, where: str) -> Episode:
    """Returns the episode with its lists converted to arrays.

    Raises:
        InputError: if it is not an Episode, or a field is not an array or a flag.
    """
    if not isinstance(episode, Episode):
        raise InputError(f"{where}: not an Episode but {type(episode).__name__}")
    for name in ARRAYS:
        if getattr(episode, name) is None:
            raise InputError(f"{where}: no {name}")
    arrays = {name: _array(getattr(episode, name), f"{where}, {name}") for name in ARRAYS}
    arrays["reward"] = vector(arrays["reward"])
    ended = np.asarray(episode.terminated)
    if ended.ndim or ended.dtype.kind not in "biuf" or ended not in (0, 1):
        raise InputError(f"{where}, terminated: one flag, 0 or 1, not {episode.terminated}")
    return episode._replace(**arrays, terminated=bool(ended))


def _array(values: Any, where: str) -> np.ndarray:
    """Returns an array or a list as an array.

    Raises:
        InputError: if its rows differ in length, or some values are masked.
    """
    if np.ma.is_masked(values):
        raise InputError(f"{where}: some of its values are masked")
    try:
        return np.asarray(values)
    except ValueError:
        raise InputError(f"{where}: its rows are not equally long") from None


def from_arrays(
    observation: np.ndarray,
    action: np.ndarray,
    reward: np.ndarray | None,
    terminated: np.ndarray,
    truncated: np.ndarray,
    next_observation: np.ndarray | None = None,
    env: str = "",
    name: str = "arrays",
    options: ReadOptions = AS_STORED,
) -> EpisodeSet:
    """Returns a data set from flat columns, one row per step; an episode ends where a flag is set.

    Args:
        observation: [N, O].
        action: [N, A], taken at the observation in the same row, in the units of the environment,
            or in [-1, 1] if the environment is not known; or whole numbers [N], which are discrete.
        reward: [N], None if there are no rewards.
        terminated: [N], whether the MDP ended with that step.
        truncated: [N], whether the episode was cut there, for example by a time limit.
        next_observation: [N, O]; without it the last step before a cut is not a transition. The
            episode is cut where it differs from the observation in the next row.
        env: the environment to evaluate in.
        name: the set's name in messages.
        options: bounds of the actions, and other facts that the columns do not show.

    Raises:
        InputError: if the columns differ in length, or any value is invalid.
    """
    _check_options(options)
    for field, column in (("observation", observation), ("action", action)):
        if column is None:
            raise InputError(f"{name}: no {field}")
    given = {
        "observation": observation, "action": action, "reward": reward,
        "terminated": terminated, "truncated": truncated, "next_observation": next_observation,
    }  # fmt: skip
    arrays = {
        field: _array(column, f"{name}, {field}")
        for field, column in given.items()
        if column is not None
    }
    stored = columns.from_columns(arrays, name, options, {"env": env}, "unit")
    return _finish(as_set(stored, options, name, every=True), options)
