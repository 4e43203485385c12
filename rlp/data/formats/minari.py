"""Minari data sets (Farama), read without the minari package: data/main_data.hdf5.

`path` is the data set's folder, that of `data` in it, or the file. Every episode is a group with
T + 1 observations and T actions, rewards, terminations and truncations. Actions are scaled by the
bounds of their space to [-1, 1].
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from rlp.data import hdf5
from rlp.data.episodes import Episode, EpisodeSet, check, check_set
from rlp.errors import InputError
from rlp.files import json_object

LOOKS_FOR = "a Minari data set (a folder with data/main_data.hdf5)"
COLUMNS = ("observations", "actions", "rewards", "terminations", "truncations")


def matches(path: Path) -> bool:
    """Returns whether `path` is, or has, a main_data.hdf5."""
    return _file(path) is not None


def read(path: Path) -> EpisodeSet:
    """Returns the episodes in the order of their numbers."""
    file = _file(path)
    assert file is not None
    described = file.with_name("metadata.json")
    metadata = json_object(described.read_text(), str(described)) if described.exists() else {}
    with hdf5.open_hdf5(file) as opened:
        groups = sorted(hdf5.names(opened), key=lambda name: int(name.removeprefix("episode_")))
        arrays = [hdf5.read_arrays(opened[name], COLUMNS) for name in groups]
    low, high = _bounds(metadata, str(described))
    episodes = []
    for name, each in zip(groups, arrays, strict=True):
        action = (each["actions"] - low) / (high - low) * 2 - 1
        terminated = bool(each["terminations"][-1:].any())
        episode = Episode(each["observations"], action, each["rewards"], terminated)
        episodes.append(check(episode, f"{file}, {name}"))
    said = {k: v for k, v in metadata.items() if isinstance(v, str) and "space" not in k}
    return check_set(EpisodeSet(str(path), "", episodes, said))


def _file(path: Path) -> Path | None:
    candidates = [path / "data" / "main_data.hdf5", path / "main_data.hdf5", path]
    found = (file for file in candidates if file.is_file() and file.name == "main_data.hdf5")
    return next(found, None)


def _bounds(metadata: dict[str, Any], where: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bounds of the actions, [A] each, or -1 and 1 where they are not said."""
    if "action_space" not in metadata:
        return np.array(-1.0), np.array(1.0)
    space = json_object(metadata["action_space"], f"{where}, its action_space")
    if space.get("type") != "Box" or len(space.get("shape", ())) != 1:
        said = json.dumps({k: space.get(k) for k in ("type", "shape")})
        raise InputError(f"{where}: actions must be vectors of numbers, not {said}")
    low, high = (np.array(space[name], np.float64) for name in ("low", "high"))
    if not np.isfinite([low, high]).all():
        raise InputError(f"{where}: the actions have no bounds to scale them by")
    return low, high
