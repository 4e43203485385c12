"""ExORL and URLB (2201.13425): a folder with one npz file an episode.

Arrays of T + 1 rows: observation [T + 1, O], action [T + 1, A], reward and discount [T + 1, 1],
optionally physics. Rows are aligned as reward-state-action: `action[t]`, `reward[t]` and
`discount[t]` LEAD TO `observation[t]`, and row 0 is a dummy (zeros, discount 1). Reading the action
in row t as taken AT observation t trains without complaint and walks nowhere.
"""

from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from rlp.data.episodes import Episode, EpisodeSet, check, check_set
from rlp.data.npz import read_npz
from rlp.errors import InputError
from rlp.files import json_object, whole

LOOKS_FOR = "a folder of *.npz episodes (ExORL), or of buffer/*.npz"


def matches(path: Path) -> bool:
    """Returns whether `path` is a folder of episode files."""
    return bool(_files(path))


def read(path: Path) -> EpisodeSet:
    """Returns the episodes in the order of their file names.

    A `metadata.json` beside them may name the environment: `{"env": "walker-walk"}`.
    """
    files = _files(path)
    shown = track(files, f"reading {path}", transient=True, disable=len(files) < 500)
    env, metadata = _metadata(path)
    return check_set(EpisodeSet(str(path), env, [_read_episode(file) for file in shown], metadata))


def read_physics(path: Path) -> list[np.ndarray] | None:
    """Returns the simulator's states [T + 1, P] in each episode, None where they are not stored."""
    found = [read_npz(file, (), ("physics",)).get("physics") for file in _files(path)]
    states = [state for state in found if state is not None]
    return states if len(states) == len(found) else None


def write_episode(folder: Path, number: int, episode: Episode, physics: np.ndarray) -> None:
    """Writes an episode whole or not at all, physics [T + 1, P] with it."""
    length = len(episode.action)
    discount = np.ones((length + 1, 1), np.float32)
    discount[-1] = 0 if episode.terminated else 1
    folder.mkdir(parents=True, exist_ok=True)
    with whole(folder / f"episode_{number:06d}_{length}.npz") as file:
        np.savez_compressed(
            file,
            observation=episode.observation,
            action=np.pad(episode.action, ((1, 0), (0, 0))),
            reward=np.pad(episode.reward, (1, 0))[:, None],
            discount=discount,
            physics=physics,
        )


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.npz")) or sorted(path.glob("buffer/*.npz"))


def _metadata(path: Path) -> tuple[str, dict[str, Any]]:
    """Returns the environment's name, "" if it is not said, and the rest."""
    file = path / "metadata.json"
    metadata = json_object(file.read_text(), str(file)) if file.exists() else {}
    return str(metadata.pop("env", "")), metadata


def _read_episode(path: Path) -> Episode:
    arrays = read_npz(path, ("observation", "action", "reward"), ("discount",))
    rows = len(arrays["observation"])
    reward = arrays["reward"].reshape(len(arrays["reward"]), -1)
    discount = arrays.get("discount", np.ones(rows)).reshape(-1)
    if reward.shape[1:] != (1,) or {len(reward), len(arrays["action"]), len(discount)} != {rows}:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise InputError(f"{path}: the arrays need one row an observation, but have {shapes}")
    if rows and np.any(arrays["action"][0]):
        raise InputError(
            f"{path}: the action in row 0 is not zero, so it is no dummy row: here action[t] must "
            "lead to observation[t]; shift the actions, rewards and discounts by one row"
        )
    if np.any(discount[:-1] == 0):
        raise InputError(f"{path}: discount is 0 before the last row: split it into episodes")
    episode = Episode(
        observation=arrays["observation"],
        action=arrays["action"][1:],
        reward=reward[1:, 0],
        terminated=bool(rows and discount[-1] == 0),
    )
    return check(episode, str(path))
