"""Minari data sets (Farama), read without the minari package: HDF5, Arrow or Parquet.

`path` is the data set's folder or its subfolder `data`. HDF5 has one group per episode, with T + 1
observations and T of everything else. Arrow and Parquet have one folder per episode, with T + 1
rows of everything, where the last row is padding except for its observation. Actions are scaled to
[-1, 1] by the bounds of their space; discrete ones become one-hots. The parts of a dict observation
are concatenated in the order of their space.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlp.data import hdf5
from rlp.data.actions import ActionFormat, in_units, known_bounds
from rlp.data.arrow import numbers, read_batches
from rlp.data.episodes import EpisodeSet, check_successors
from rlp.data.flat import Cuts, check_rows, cut, flags, vector
from rlp.data.options import ReadOptions
from rlp.data.reading import announced
from rlp.data.stored import Stored
from rlp.envs import Bounds
from rlp.errors import InputError
from rlp.system.files import json_object, read_object

LOOKS_FOR = "a Minari data set (a folder with data/main_data.hdf5 or data/0/*.arrow, *.parquet)"
COLUMNS = ("actions", "rewards", "terminations", "truncations")
SPECS = ("observation_space", "action_space", "env_spec", "eval_env_spec")

Parts = tuple[str, np.ndarray, list[np.ndarray]]  # place for messages, observations, COLUMNS


def stored(dataset_id: str) -> Path:
    """Returns the folder where Minari keeps a data set; downloads the set if it is missing.

    Args:
        dataset_id: for example `mujoco/hopper/medium-v0`.

    Raises:
        InputError: if it is missing and cannot be downloaded.
    """
    root = os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets"
    folder = Path(root, dataset_id)
    if not folder.exists():
        try:
            import minari

            minari.download_dataset(dataset_id)
        except Exception as error:  # many types: no package, no such set, no network
            raise InputError(
                f"no data set {folder}, and Minari did not download it ({error}); "
                'downloads need `pip install "minari[hdf5,hf]"`'
            ) from error
    return folder


def matches(path: Path) -> bool:
    """Returns whether `path` is the folder of a Minari data set or of its data."""
    return _folder(path) is not None


def read(path: Path, options: ReadOptions) -> Stored:
    """Returns the episodes in the order of their numbers."""
    del options  # the files state everything
    folder = _folder(path)
    assert folder is not None
    described = folder / "metadata.json"
    metadata = read_object(described)
    space = _space(metadata, "action_space", str(described))
    actions = _action_format(space, str(described))
    parts = _parts(metadata, str(described))
    episodes, places, cuts = [], [], Cuts()
    main = folder / "main_data.hdf5"
    found = _hdf5_episodes(main, parts) if main.exists() else _arrow_episodes(folder, parts)
    for where, observation, columns in found:
        check_rows(dict(zip(COLUMNS, columns, strict=True)), where)
        action, reward, *ends = columns
        terminated, truncated = (flags(each, where) for each in ends)
        if len(observation) != len(action) + 1:
            raise InputError(
                f"{where}: {len(action)} actions need one observation more, but {len(observation)} "
                "are there"
            )
        parts_of_it = cut(
            observation, action, vector(reward), terminated, truncated, None, where, cuts, True
        )
        episodes += parts_of_it
        places += [where] * len(parts_of_it)
    texts = {k: v for k, v in metadata.items() if isinstance(v, str) and k not in SPECS}
    env = _environment(metadata, str(described))
    return Stored(episodes, places.__getitem__, actions, env, texts, notes=cuts.notes())


def write(folder: Path, data: EpisodeSet) -> None:
    """Writes a data set into an empty folder; `minari.MinariDataset(folder / "data")` opens it.

    Raises:
        InputError: if the last successor of an episode is not known, or minari is not installed.
    """
    check_successors(data, str(folder))
    try:
        import gymnasium
        import minari
        from minari.data_collector import EpisodeBuffer
        from minari.dataset.minari_storage import MinariStorage
    except ModuleNotFoundError:
        raise InputError("install minari[hdf5] to write its data sets") from None
    low, high = known_bounds(data)
    observation, actions = data.episodes[0].observation, in_units(data)
    dtype = actions[0].dtype.type
    is_gym = data.env.startswith("gym:") and "+" not in data.env
    storage = MinariStorage.new(
        (folder / "data").resolve(),  # minari joins a relative path twice
        gymnasium.spaces.Box(-np.inf, np.inf, observation.shape[1:], np.float32),
        gymnasium.spaces.Box(low.astype(dtype), high.astype(dtype), dtype=dtype),
        gymnasium.spec(data.env.removeprefix("gym:")) if is_gym else None,
        data_format="hdf5",
    )
    storage.update_episodes(
        EpisodeBuffer(
            id=number,
            observations=list(episode.observation),
            actions=list(actions[number]),
            rewards=list(episode.reward.astype(float)),
            terminations=[*[False] * (len(episode.action) - 1), episode.terminated],
            truncations=[*[False] * (len(episode.action) - 1), not episode.terminated],
        )
        for number, episode in enumerate(data.episodes)
    )
    storage.update_metadata(
        {
            "dataset_id": f"{folder.stem}-v0",
            "minari_version": minari.__version__,
            "description": data.name,
        }
    )


def _folder(path: Path) -> Path | None:
    for folder in (path / "data", path):
        if (folder / "main_data.hdf5").is_file() or _episode_folders(folder):
            return folder
    return None


def _episode_folders(folder: Path) -> list[Path]:
    """Returns the folders 0, 1, ... of Arrow or Parquet files, in the order of their numbers."""
    if not (folder / "metadata.json").is_file():
        return []
    found = (each for each in folder.iterdir() if each.is_dir() and each.name.isdigit())
    return sorted(found, key=lambda each: int(each.name))


def _hdf5_episodes(file: Path, parts: Sequence[str]) -> Iterator[Parts]:
    with hdf5.open_hdf5(file) as opened:
        groups = sorted(hdf5.names(opened), key=lambda name: int(name.removeprefix("episode_")))
        for name in announced(groups, str(file), file.stat().st_size):
            group = opened[name]
            columns = hdf5.read_arrays(group, COLUMNS)
            if parts:
                found = hdf5.read_arrays(group["observations"], parts)
            else:
                found = hdf5.read_arrays(group, ["observations"])
            yield f"{file}, {name}", _together(found.values()), [*columns.values()]


def _arrow_episodes(folder: Path, parts: Sequence[str]) -> Iterator[Parts]:
    episodes = _episode_folders(folder)
    files = [sorted([*each.glob("*.arrow"), *each.glob("*.parquet")]) for each in episodes]
    size = sum(file.stat().st_size for each in files for file in each)
    for here, each in zip(announced(files, str(folder), size), episodes, strict=True):
        if len(here) != 1:
            raise InputError(f"{each}: {len(here)} files of an episode, instead of one")
        (file,) = here
        rows = [
            [_observation(batch, parts, str(file))]
            + [numbers(batch.column(name), f"{file}, {name}") for name in COLUMNS]
            for batch in read_batches(file, ("observations", *COLUMNS))
        ]
        if not rows:
            raise InputError(f"{file}: no rows")
        observation, *padded = map(np.concatenate, zip(*rows, strict=True))
        yield str(file), observation, [column[:-1] for column in padded]


def _observation(batch: Any, parts: Sequence[str], where: str) -> np.ndarray:
    column = batch.column("observations")
    if parts and not hasattr(column, "field"):
        raise InputError(f"{where}: observations are not the parts {', '.join(parts)}")
    found = [column.field(name) for name in parts] if parts else [column]
    return _together(numbers(each, f"{where}, observations") for each in found)


def _together(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Returns the parts of observations [T, ...] concatenated, [T, O]."""
    return np.hstack([part.reshape(len(part), -1) for part in parts])


def _space(metadata: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    text = metadata.get(name, "{}")
    if not isinstance(text, str):
        raise InputError(f"{where}: its {name} is not a text")
    return json_object(text, f"{where}, its {name}")


def _parts(metadata: dict[str, Any], where: str) -> list[str]:
    """Returns the names of an observation's parts, empty if it is a vector."""
    space = _space(metadata, "observation_space", where)
    if space.get("type", "Box") == "Box":
        return []
    parts = space.get("subspaces")
    if not isinstance(parts, dict) or not all('"Box"' in json.dumps(p) for p in parts.values()):
        raise InputError(f"{where}: observations must be numbers, or a dict of them")
    return [*parts]


def _action_format(space: dict[str, Any], where: str) -> ActionFormat:
    """Returns the format of actions by their space; without a space they are in [-1, 1]."""
    if not space:
        return ActionFormat("unit")
    if space.get("type") == "Discrete":
        count, first = space.get("n"), space.get("start", 0)
        if not isinstance(count, int) or not isinstance(first, int) or count < 1:
            raise InputError(f"{where}: a space of {count} discrete actions from {first}")
        return ActionFormat(discrete=True, num_choices=count, first_choice=first)
    if space.get("type") != "Box" or np.shape(space.get("shape", ())) != (1,):
        found = json.dumps({k: space.get(k) for k in ("type", "shape")})
        raise InputError(f"{where}: actions must be vectors of numbers, not {found}")
    try:
        low, high = np.array([space["low"], space["high"]], np.float64)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{where}: the bounds of the actions are damaged ({error})") from error
    if not np.isfinite([low, high]).all():  # written as Infinity
        return ActionFormat("own", discrete=False)
    if low.shape != tuple(space["shape"]) or not (low < high).all():
        raise InputError(f"{where}: the bounds of the actions do not fit their shape")
    return ActionFormat("own", Bounds(low, high), discrete=False)


def _environment(metadata: dict[str, Any], where: str) -> str:
    """Returns the name of the gymnasium environment, "" for environments of other packages."""
    spec = _space(metadata, "env_spec", where)
    is_ours = str(spec.get("entry_point")).startswith("gymnasium.envs.mujoco")
    return f"gym:{spec.get('id')}" if is_ours and not spec.get("kwargs") else ""
