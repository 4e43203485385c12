"""ExORL and URLB (2201.13425): a folder with one npz file an episode.

Arrays of T + 1 rows: observation [T + 1, O], action [T + 1, A], reward and discount [T + 1, 1],
optionally physics. Rows are aligned as reward-state-action: `action[t]`, `reward[t]` and
`discount[t]` LEAD TO `observation[t]`, and row 0 is a dummy (zeros, discount 1). Reading the action
in row t as taken AT observation t trains without complaint and walks nowhere. Files that were
shifted by a row, so that action[t] was taken at observation[t], have the dummy as their last row.
"""

from pathlib import Path
from typing import Any

import numpy as np

from rlp.data.episodes import Episode, EpisodeSet, check, check_set, check_successors
from rlp.data.npz import read_npz
from rlp.data.reading import announced
from rlp.errors import InputError
from rlp.files import read_object, whole, write_json

LOOKS_FOR = "a folder of *.npz episodes (ExORL), or of buffer/*.npz"
COLUMNS = ("observation", "action", "reward", "discount")


def matches(path: Path) -> bool:
    """Returns whether `path` is a folder of episode files."""
    return bool(_files(path))


def read(path: Path) -> EpisodeSet:
    """Returns the episodes in the order of their file names.

    A `metadata.json` beside them may name the environment: `{"env": "walker-walk"}`.
    """
    files = _files(path)
    size = len(files) * sum(array.nbytes for array in read_npz(files[0], (), COLUMNS).values())
    episodes = [_read_episode(file) for file in announced(files, str(path), size)]
    env, metadata = _metadata(path)
    return check_set(EpisodeSet(str(path), env, episodes, metadata))


def read_physics(path: Path) -> list[np.ndarray] | None:
    """Returns the simulator's states [T + 1, P] in each episode, None where they are not stored."""
    found = [read_npz(file, (), ("physics",)).get("physics") for file in _files(path)]
    states = [state for state in found if state is not None]
    return states if len(states) == len(found) else None


def write(folder: Path, data: EpisodeSet) -> None:
    """Writes a data set into an empty folder.

    Raises:
        InputError: if the last successor of an episode is not known.
    """
    check_successors(data, str(folder))
    for number, episode in enumerate(data.episodes):
        write_episode(folder, number, episode)
    write_json(folder / "metadata.json", {**data.metadata, "env": data.env})


def write_episode(
    folder: Path, number: int, episode: Episode, physics: np.ndarray | None = None
) -> None:
    """Writes an episode whole or not at all, with physics [T + 1, P] if there is any."""
    length = len(episode.action)
    discount = np.ones((length + 1, 1), np.float32)
    discount[-1] = 0 if episode.terminated else 1
    with whole(folder / f"episode_{number:06d}_{length}.npz") as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            observation=episode.observation,
            action=np.pad(episode.action, ((1, 0), (0, 0))),
            reward=np.pad(episode.reward, (1, 0))[:, None],
            discount=discount,
            **({} if physics is None else {"physics": physics}),
        )


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.npz")) or sorted(path.glob("buffer/*.npz"))


def _metadata(path: Path) -> tuple[str, dict[str, Any]]:
    """Returns the environment's name, "" if it is not said, and the rest."""
    metadata = read_object(path / "metadata.json")
    return str(metadata.pop("env", "")), metadata


def _read_episode(path: Path) -> Episode:
    arrays = read_npz(path, COLUMNS[:3], COLUMNS[3:])
    rows = len(arrays["observation"])
    reward = arrays["reward"].reshape(len(arrays["reward"]), -1)
    discount = arrays.get("discount", np.ones(rows)).reshape(-1)
    if reward.shape[1:] != (1,) or {len(reward), len(arrays["action"]), len(discount)} != {rows}:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise InputError(f"{path}: the arrays need one row an observation, but have {shapes}")
    if np.any(discount[:-2] == 0):
        raise InputError(f"{path}: discount is 0 before the last row: split it into episodes")
    shifted = rows > 0 and bool(np.any(arrays["action"][0]))
    if shifted and np.any(arrays["action"][-1]):
        raise InputError(
            f"{path}: the action is zero neither in the first nor in the last row, so there is no "
            "dummy row: was action[t] taken at observation[t], or did it lead there?"
        )
    rewards_too = shifted and not (reward[0] == 0 and reward[-1] != 0)
    episode = Episode(
        observation=arrays["observation"],
        action=arrays["action"][:-1] if shifted else arrays["action"][1:],
        reward=reward[:-1, 0] if rewards_too else reward[1:, 0],
        terminated=bool(np.any(discount[-2 if shifted else -1 :] == 0)),
    )
    return check(episode, str(path))
