"""Data: names and paths to episodes, episodes to replay arrays on the device."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rlp.data.episodes import Episode, EpisodeSet, check_set, in_float32, join, one_hot, problems
from rlp.data.flat import check_rows, cut, is_choice, vector
from rlp.data.formats import FORMATS, minari
from rlp.data.reading import check_file, check_folder
from rlp.errors import InputError, nearest

BUNDLED = Path(__file__).parent / "bundled"
MINARI = "minari:"  # before the name of a data set of theirs
MINARI_NAME = re.compile(r"[\w-]+(/[\w-]+)*")


def bundled_names() -> list[str]:
    """Returns the names of the data sets that come with rlp."""
    return sorted(str(f.relative_to(BUNDLED).with_suffix("")) for f in BUNDLED.glob("*/*.npz"))


def load(name_or_path: str) -> EpisodeSet:
    """Returns the data set of a name or a path; `a+b` joins data sets.

    Args:
        name_or_path: a bundled name, `minari:` and the name of a Minari data set, or a path.

    Raises:
        InputError: if there is no such data set, or it cannot be read.
    """
    return join([_load_one(part) for part in _parts(name_or_path)])


def load_physics(name_or_path: str) -> list[np.ndarray] | None:
    """Returns the simulator's states in each episode of what `load` gives, None if one has none."""
    joined: list[np.ndarray] = []
    for path in map(_find, _parts(name_or_path)):
        states = getattr(_reader(path), "read_physics", lambda _: None)(path)
        if states is None:
            return None
        joined += states
    return joined


def _parts(name_or_path: str) -> list[str]:
    return [name_or_path] if os.path.exists(name_or_path) else name_or_path.split("+")


def _load_one(name_or_path: str) -> EpisodeSet:
    path = _find(name_or_path)
    return replace(_reader(path).read(path), name=name_or_path)


def _find(name_or_path: str) -> Path:
    """Returns where a data set is."""
    names = bundled_names()
    if name_or_path in names:
        return BUNDLED / f"{name_or_path}.npz"
    if name_or_path.startswith(MINARI):
        name = name_or_path.removeprefix(MINARI)
        if not MINARI_NAME.fullmatch(name):
            raise InputError(f"no data set {name_or_path}: not a name as mujoco/hopper/medium-v0")
        return minari.stored(name)
    if not os.path.exists(name_or_path):
        raise InputError(
            f"no data set {name_or_path}{nearest(name_or_path, names)}: neither a path nor one of "
            f"{', '.join(names)}; Minari's are named {MINARI}mujoco/hopper/medium-v0"
        )
    path = Path(name_or_path)
    if not path.is_dir():
        check_file(path)
    return path


def _reader(path: Path) -> Any:
    """Returns the module of the one format that a path has."""
    fitting = [reader for reader in FORMATS if reader.matches(path)]
    if len(fitting) > 1:
        found = " and ".join(reader.LOOKS_FOR for reader in fitting)
        raise InputError(f"{path}: it could be {found}; name the file or folder that is meant")
    if not fitting:
        looked_for = "".join(f"\n  {reader.LOOKS_FOR}" for reader in FORMATS)
        raise InputError(f"{path}: no data found there; looked for{looked_for}")
    if path.is_dir():
        check_folder(path)
    return fitting[0]


def from_episodes(episodes: Sequence[Episode], env: str = "", name: str = "episodes") -> EpisodeSet:
    """Returns a data set of episodes made in Python.

    Args:
        episodes: observation [T + 1, O] (or [T, O] where the last successor is not known), action
            [T, A] taken at the observation of the same row, in [-1, 1], reward [T], terminated.
        env: the environment to evaluate in, as `walker-walk` or `gym:Hopper-v4`.
        name: what messages call the set.

    Raises:
        InputError: if anything cannot be right: every problem of every episode, a line each.
    """
    wrong = [
        f"{name}, episode {number}: {problem}"
        for number, episode in enumerate(episodes)
        for problem in problems(episode)
    ]
    if wrong:
        raise InputError("\n".join(wrong))
    return check_set(EpisodeSet(name, env, [in_float32(episode) for episode in episodes]))


def from_arrays(
    observation: np.ndarray,
    action: np.ndarray,
    reward: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    next_observation: np.ndarray | None = None,
    env: str = "",
    name: str = "arrays",
) -> EpisodeSet:
    """Returns a data set of flat columns, a row a step; episodes end where one of the flags is set.

    Args:
        observation: [N, O].
        action: [N, A], taken at the observation of the same row, in [-1, 1]; or whole numbers [N],
            which are discrete actions.
        reward: [N].
        terminated: [N], whether the MDP ended with that step.
        truncated: [N], whether the episode was cut there, as by a time limit.
        next_observation: [N, O]; without it the last step before a cut is no transition.
        env: the environment to evaluate in.
        name: what messages call the set.

    Raises:
        InputError: if the columns differ in length, or anything in an episode cannot be right.
    """
    columns = {
        "observation": observation, "action": action, "reward": reward,
        "terminated": terminated, "truncated": truncated,
    }  # fmt: skip
    if next_observation is not None:
        columns["next_observation"] = next_observation
    check_rows(columns, name)
    discrete = is_choice(action)
    action = one_hot(action, None, name) if discrete else action
    ended = vector(terminated).astype(bool)
    last = ended | vector(truncated).astype(bool)
    episodes = cut(observation, action, vector(reward), ended, last, next_observation)
    return replace(from_episodes(episodes, env, name), discrete=discrete)
