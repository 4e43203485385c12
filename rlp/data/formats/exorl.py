"""ExORL and URLB (2201.13425): a folder with one npz file per episode.

Arrays of T + 1 rows: observation [T + 1, O], action [T + 1, A], reward and discount [T + 1, 1],
optionally physics. `action[t]`, `reward[t]` and `discount[t]` LEAD TO `observation[t]`, and row 0
is a dummy (zeros, discount 1). A reader that takes the action in row t as taken AT observation t
trains without an error, but its policy learns nothing. In files that were shifted by one row,
action[t] was taken at observation[t], and the dummy is the last row.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rlp.data.actions import ActionFormat, named_bounds, take_bounds
from rlp.data.episodes import Episode, EpisodeSet, check_successors
from rlp.data.npz import npz_names, read_npz
from rlp.data.options import ReadOptions
from rlp.data.reading import announced
from rlp.data.stored import Stored
from rlp.errors import InputError
from rlp.system.files import read_object, whole, write_json

LOOKS_FOR = "a folder of *.npz episodes (ExORL), or of buffer/*.npz"
COLUMNS = ("observation", "action", "reward", "discount")
EXTRAS = ("physics", "skill", "task", "z")  # the simulator's states, and columns of URLB's agents

Arrays = Mapping[str, np.ndarray]


def matches(path: Path) -> bool:
    """Returns whether `path` is a folder of episode files."""
    return bool(_files(path))


def read(path: Path, options: ReadOptions) -> Stored:
    """Returns the episodes in the order of their file names.

    A `metadata.json` next to them may name the environment: `{"env": "walker-walk"}`.
    """
    del options  # the files state everything
    files = _files(path)
    size = len(files) * sum(array.nbytes for array in read_npz(files[0], (), COLUMNS).values())
    found = [_read_arrays(file) for file in announced(files, str(path), size)]
    is_shifted = _are_actions_shifted(files, found)
    are_rewards_shifted, notes = _are_rewards_shifted(found) if is_shifted else (False, [])
    episodes = [_episode(arrays, is_shifted, are_rewards_shifted) for arrays in found]
    metadata = read_object(path / "metadata.json")
    return Stored(
        episodes,
        lambda number: str(files[number]),
        ActionFormat("scaled", take_bounds(metadata, f"{path}/metadata.json"), discrete=False),
        str(metadata.pop("env", "")),
        metadata,
        notes=notes,
    )


def read_physics(path: Path, options: ReadOptions) -> list[np.ndarray] | None:
    """Returns the simulator's states [T + 1, P] in each episode, None if they are not stored."""
    del options
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
    metadata = {**data.metadata, **named_bounds(data.bounds), "env": data.env}
    write_json(folder / "metadata.json", metadata)


def write_episode(
    folder: Path, number: int, episode: Episode, physics: np.ndarray | None = None
) -> None:
    """Writes an episode, completely or not at all, with physics [T + 1, P] if given."""
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


def _read_arrays(path: Path) -> Arrays:
    unknown = [name for name in npz_names(path) if name not in (*COLUMNS, *EXTRAS)]
    arrays = read_npz(path, COLUMNS[:3], COLUMNS[3:])
    if unknown:
        raise InputError(
            f"{path}: {', '.join(unknown)} is no column of ExORL's episodes, which have "
            f"{', '.join((*COLUMNS, *EXTRAS))}: what it means is not known"
        )
    arrays.setdefault("discount", np.ones(arrays["observation"].shape[:1], np.float32))
    shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    if any(array.dtype.kind not in "biuf" or not array.size for array in arrays.values()):
        raise InputError(f"{path}: the arrays need numbers, but have {shapes}")
    for name in ("reward", "discount"):
        arrays[name] = arrays[name].reshape(*arrays[name].shape[:1], -1)
    rows = {array.shape[:1] for array in arrays.values()}
    widths = {arrays[name].shape[1:] for name in ("reward", "discount")}
    if len(rows) > 1 or widths != {(1,)}:
        raise InputError(f"{path}: the arrays need one row per observation, but have {shapes}")
    if not np.isfinite(arrays["discount"]).all():
        raise InputError(f"{path}: discount has NaN or infinite values")
    if np.any(arrays["discount"][:-2] == 0):
        raise InputError(f"{path}: discount is 0 before the last row: split it into episodes")
    return arrays


def _are_actions_shifted(files: Sequence[Path], found: Sequence[Arrays]) -> bool:
    """Returns whether the dummy action is in the last row of all episodes, not in the first.

    Raises:
        InputError: if there is no dummy.
    """
    acts_first = [bool(np.any(arrays["action"][:1])) for arrays in found]
    acts_last = [bool(np.any(arrays["action"][-1:])) for arrays in found]
    if any(acts_first) and any(acts_last):
        both = [first and last for first, last in zip(acts_first, acts_last, strict=True)]
        file = files[both.index(True) if any(both) else acts_first.index(True)]
        raise InputError(
            f"{file}: the action is zero neither in the first nor in the last row of all episodes, "
            "so there is no dummy row: was action[t] taken at observation[t], or did it lead there?"
        )
    return any(acts_first)


def _are_rewards_shifted(found: Sequence[Arrays]) -> tuple[bool, list[str]]:
    """Returns whether rewards are shifted as the actions are, and notes of what was assumed."""
    if any(arrays["reward"][0] for arrays in found):
        return True, []
    if any(arrays["reward"][-1] for arrays in found):
        return False, []
    return False, [
        "actions are in the row in which they were taken; rewards, which are 0 in the first and in "
        "the last row of every episode, are read as results of the previous action (as in RL "
        "Unplugged)",
    ]


def _episode(arrays: Arrays, is_shifted: bool, are_rewards_shifted: bool) -> Episode:
    reward, discount = arrays["reward"][:, 0], arrays["discount"][:, 0]
    return Episode(
        observation=arrays["observation"],
        action=arrays["action"][:-1] if is_shifted else arrays["action"][1:],
        reward=reward[:-1] if are_rewards_shifted else reward[1:],
        terminated=bool(np.any(discount[-2 if is_shifted else -1 :] == 0)),
    )
