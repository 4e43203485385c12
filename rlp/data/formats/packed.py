"""rlp's own format: one npz file per data set, used for the bundled ones.

All episodes are concatenated: observation [sum(T + 1), O], action [sum(T), A] taken AT the
observation in the same row of its episode, reward [sum(T)], and for each episode length [E] and
terminated [E]. `metadata` is a json text: env (the environment's name), discrete, source, licence,
and the numbers of episodes that are `fragments` or have only T observations (`no_successor`).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from rlp.data.actions import ActionFormat, named_bounds, take_bounds
from rlp.data.episodes import Episode, EpisodeSet, has_successors
from rlp.data.flat import flags
from rlp.data.npz import npz_names, read_npz
from rlp.data.options import ReadOptions
from rlp.data.stored import Stored, numbered
from rlp.errors import InputError
from rlp.system.files import json_object, whole

LOOKS_FOR = "a packed data set (.npz: observation, action, reward, length, ...)"
COLUMNS = ("observation", "action", "reward", "length", "terminated", "metadata")


def matches(path: Path) -> bool:
    """Returns whether `path` is an npz file with lengths of episodes."""
    return path.is_file() and path.suffix == ".npz" and set(COLUMNS) == set(npz_names(path))


def read(path: Path, options: ReadOptions) -> Stored:
    """Returns the episodes of a packed file."""
    del options  # the file states everything
    where, arrays = str(path), read_npz(path, COLUMNS, ())
    observation, action, reward, _, terminated, metadata = arrays.values()
    about = json_object(str(metadata), f"{where}, its metadata")
    env, has_rewards = about.pop("env", ""), about.pop("has_rewards", True)
    if not isinstance(env, str):
        raise InputError(f"{where}, its metadata: env is {env}")
    discrete, fragments = about.pop("discrete", False), _numbers(about, "fragments", where)
    ends, row_ends = _ends(arrays, _numbers(about, "no_successor", where), where)
    pieces = zip(
        np.split(observation, row_ends[:-1]),
        np.split(action, ends[:-1]),
        np.split(reward, ends[:-1]),
        flags(terminated, f"{where}, terminated").tolist(),
        strict=True,
    )
    return Stored(
        [Episode(*each, is_fragment=i in fragments) for i, each in enumerate(pieces)],
        numbered(where),
        ActionFormat("scaled", take_bounds(about, f"{where}, its metadata"), bool(discrete)),
        env,
        about,
        bool(has_rewards),
    )


def _numbers(about: dict[str, Any], name: str, where: str) -> set[int]:
    """Removes a list of episode numbers from the metadata and returns it as a set."""
    numbers = about.pop(name, [])
    if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
        raise InputError(f"{where}, its metadata: {name} is {numbers}, no list of numbers")
    return set(numbers)


def _ends(
    arrays: dict[str, np.ndarray], no_successor: set[int], where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the end of each episode among the actions and among the observations, [E] each.

    Raises:
        InputError: if the lengths of the episodes do not fit the other arrays.
    """
    for name in COLUMNS[:-1]:
        if arrays[name].dtype.kind not in "biuf" or arrays[name].ndim < 1:
            raise InputError(f"{where}: {name} is {arrays[name].dtype} {list(arrays[name].shape)}")
    rows = {name: len(arrays[name]) for name in COLUMNS[:-1]}
    length = arrays["length"]
    is_count = length.ndim == 1 and length.size and length.dtype.kind in "iu"
    if not is_count or np.any(length < 1) or np.any(length > rows["action"]):
        raise InputError(f"{where}: length must be the number of steps of each episode")
    steps, count = int(length.sum(dtype=np.int64)), len(length)
    has_successor = ~np.isin(np.arange(count), list(no_successor))
    row_ends = np.cumsum(length + has_successor, dtype=np.int64)
    if tuple(rows.values()) != (int(row_ends[-1]), steps, steps, count, count):
        raise InputError(
            f"{where}: {rows['observation']} observations, {rows['action']} actions, "
            f"{rows['reward']} rewards and {rows['terminated']} flags do not fit {count} episodes "
            f"of {steps} steps together"
        )
    return np.cumsum(length, dtype=np.int64), row_ends


def write(path: Path, data: EpisodeSet) -> None:
    """Writes a data set, completely or not at all."""
    about = {"env": data.env, **named_bounds(data.bounds), **data.metadata}
    if data.discrete:
        about["discrete"] = True
    if not data.has_rewards:
        about["has_rewards"] = False
    if not data.is_whole.all():
        about["fragments"] = np.flatnonzero(~data.is_whole).tolist()
    if not has_successors(data).all():
        about["no_successor"] = np.flatnonzero(~has_successors(data)).tolist()
    with whole(path) as file:
        np.savez_compressed(
            file,
            observation=np.concatenate([episode.observation for episode in data.episodes]),
            action=np.concatenate([episode.action for episode in data.episodes]),
            reward=np.concatenate([episode.reward for episode in data.episodes]),
            length=data.lengths,
            terminated=np.array([episode.terminated for episode in data.episodes]),
            metadata=np.array(json.dumps(about)),
        )
