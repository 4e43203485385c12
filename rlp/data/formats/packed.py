"""rlp's own format: one npz file a data set, as the bundled ones.

All episodes one after the other: observation [sum(T + 1), O], action [sum(T), A] taken AT the
observation of the same row of its episode, reward [sum(T)], and for each episode length [E] and
terminated [E]. `metadata` is a json text: env (the environment's name), discrete, source, licence.
"""

import json
from pathlib import Path

import numpy as np

from rlp.data.episodes import Episode, EpisodeSet, check, check_set, check_successors
from rlp.data.npz import npz_names, read_npz
from rlp.errors import InputError
from rlp.files import json_object, whole

LOOKS_FOR = "a packed data set (.npz: observation, action, reward, length, ...)"


def matches(path: Path) -> bool:
    """Returns whether `path` is an npz file with lengths of episodes."""
    return path.is_file() and path.suffix == ".npz" and "length" in npz_names(path)


def read(path: Path) -> EpisodeSet:
    """Returns the episodes of a packed file."""
    columns = ("observation", "action", "reward", "length", "terminated", "metadata")
    observation, action, reward, length, terminated, metadata = read_npz(path, columns, ()).values()
    rows = len(observation), len(action), len(reward), len(terminated)
    steps = int(length.sum())
    if rows != (steps + len(length), steps, steps, len(length)) or (length < 1).any():
        raise InputError(
            f"{path}: {rows[0]} observations, {rows[1]} actions, {rows[2]} rewards and "
            f"{rows[3]} flags do not fit {len(length)} episodes of {steps} steps together"
        )
    ends = np.cumsum(length)
    pieces = zip(
        np.split(observation, (ends + np.arange(1, len(ends) + 1))[:-1]),
        np.split(action, ends[:-1]),
        np.split(reward, ends[:-1]),
        (bool(flag) for flag in terminated),
        strict=True,
    )
    episodes = [check(Episode(*e), f"{path}, episode {i}") for i, e in enumerate(pieces)]
    said = json_object(str(metadata), f"{path}, its metadata")
    env, discrete = str(said.pop("env", "")), bool(said.pop("discrete", False))
    return check_set(EpisodeSet(str(path), env, episodes, said, discrete))


def write(path: Path, data: EpisodeSet) -> None:
    """Writes a data set whole or not at all.

    Raises:
        InputError: if the last successor of an episode is not known.
    """
    check_successors(data, str(path))
    discrete = {"discrete": True} if data.discrete else {}
    with whole(path) as file:
        np.savez_compressed(
            file,
            observation=np.concatenate([episode.observation for episode in data.episodes]),
            action=np.concatenate([episode.action for episode in data.episodes]),
            reward=np.concatenate([episode.reward for episode in data.episodes]),
            length=data.lengths,
            terminated=np.array([episode.terminated for episode in data.episodes]),
            metadata=np.array(json.dumps({"env": data.env, **discrete, **data.metadata})),
        )
