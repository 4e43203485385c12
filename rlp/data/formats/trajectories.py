"""Pickled lists of trajectories: kzl/decision-transformer and CORL (D4RL), and CS285's experts.

Each is a dict of arrays with a row a step. CS285 has singular names, marks the end of a time limit
as terminal too (episodes of 1000 steps are taken for cut, not ended), and stores actions before
MuJoCo clamps them to [-1, 1].
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rlp.data.episodes import Episode, EpisodeSet, check, check_set
from rlp.data.flat import vector
from rlp.data.pickles import begins_with, is_pickle, read_pickle
from rlp.errors import InputError

LOOKS_FOR = "a pickled list of trajectories (.pkl)"
MAX_EPISODE_STEPS = 1000  # of the MuJoCo tasks
NAMES = ("observation", "action", "reward", "terminal")


def matches(path: Path) -> bool:
    """Returns whether `path` is a pickle file, but not of a replay buffer."""
    return is_pickle(path) and not begins_with(path, "stable_baselines3")


def read(path: Path) -> EpisodeSet:
    """Returns the trajectories in their order."""
    trajectories = read_pickle(path)
    if not isinstance(trajectories, list) or not all(isinstance(t, dict) for t in trajectories):
        raise InputError(f"{path}: not a list of trajectories, each a dict of arrays")
    episodes = [
        _episode(trajectory, f"{path}, trajectory {number}")
        for number, trajectory in enumerate(trajectories)
    ]
    return check_set(EpisodeSet(str(path), "", episodes))


def _episode(trajectory: Mapping[str, Any], where: str) -> Episode:
    singular = "observation" in trajectory  # CS285
    columns = {name: _column(trajectory, name, where) for name in NAMES}
    observation, action, reward, terminal = columns.values()
    reward, terminal = vector(reward), vector(terminal)
    following = trajectory.get("next_observation", trajectory.get("next_observations"))
    if following is not None:
        if np.shape(following) != observation.shape:
            raise InputError(f"{where}: next observations {np.shape(following)} do not fit")
        observation = np.concatenate([observation, following[-1:]])
    terminated = bool(terminal[-1:].any())
    if singular:
        terminated &= len(action) < MAX_EPISODE_STEPS
        action = np.clip(action, -1, 1)
    return check(Episode(observation, action, reward, terminated), where)


def _column(trajectory: Mapping[str, Any], name: str, where: str) -> np.ndarray:
    aliases = [name, f"{name}s", *(["dones"] if name == "terminal" else [])]
    found = next((trajectory[alias] for alias in aliases if alias in trajectory), None)
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
        known = ", ".join(map(str, trajectory)) or "nothing"
        raise InputError(f"{where}: no array {' or '.join(aliases)}; it has {known}")
    return found
