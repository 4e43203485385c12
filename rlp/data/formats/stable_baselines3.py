"""Stable-Baselines3's replay buffers, as `model.save_replay_buffer` pickles them.

Arrays [rows, environments, ...] form a ring that begins at `pos` once it is full. Actions are
scaled to [-1, 1] already. No code of Stable-Baselines3 or torch is imported or run. With
`optimize_memory_usage` the next observation is the one in the next row, and time limits are not
distinguished from terminations.
"""

from pathlib import Path
from typing import Any

import numpy as np

from rlp.data.actions import ActionFormat
from rlp.data.episodes import Episode
from rlp.data.flat import Cuts, check_rows, cut, flags, vector
from rlp.data.options import ReadOptions
from rlp.data.pickles import Inert, begins_with, is_pickle, read_pickle
from rlp.data.stored import Stored, numbered
from rlp.errors import InputError

LOOKS_FOR = "a Stable-Baselines3 replay buffer (.pkl)"
INERT = ("stable_baselines3", "gymnasium", "gym", "torch", "numpy.random")  # of its objects
COLUMNS = ("observations", "actions", "rewards", "dones", "timeouts")
FOLLOWING = "next_observations"


def matches(path: Path) -> bool:
    """Returns whether `path` is a pickle file with an object of Stable-Baselines3."""
    return is_pickle(path) and begins_with(path, "stable_baselines3")


def read(path: Path, options: ReadOptions) -> Stored:
    """Returns the episodes of each environment, the oldest first."""
    del options  # the buffer states everything
    buffer = read_pickle(path, INERT)
    state = vars(buffer) if isinstance(buffer, Inert) else {}
    shared = "next_observations" not in state
    names = COLUMNS if shared else (*COLUMNS, FOLLOWING)
    columns = {name: state[name] for name in names if isinstance(state.get(name), np.ndarray)}
    missing = [name for name in names if name not in columns]
    if missing or not isinstance(state.get("pos"), int | np.integer):
        raise InputError(f"{path}: a replay buffer without {', '.join(missing) or 'pos'}")
    if shared:
        columns[FOLLOWING] = np.roll(columns["observations"], -1, axis=0)
    shapes = {name: column.shape[:2] for name, column in columns.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) < 2 for shape in shapes.values()):
        raise InputError(f"{path}: the arrays need rows and an axis of environments, not {shapes}")
    rows = _rows(int(state["pos"]), bool(state.get("full")), len(columns["dones"]), shared)
    if not len(rows):
        raise InputError(f"{path}: a replay buffer without a row")
    episodes: list[Episode] = []
    cuts = Cuts()
    for env in range(columns["dones"].shape[1]):
        each = {name: column[rows, env] for name, column in columns.items()}
        found = _episodes(each, f"{path}, environment {env}", cuts)
        episodes += map(_without_end, found) if shared else found
    notes = cuts.notes()
    if not state.get("handle_timeout_termination"):
        notes.append("the buffer does not mark time limits: they are read as terminations")
    actions = _action_format(columns["actions"], state.get("action_space"))
    return Stored(episodes, numbered(str(path)), actions, notes=notes)


def _action_format(action: np.ndarray, space: Any) -> ActionFormat:
    """Returns the format of a buffer's actions: discrete, or numbers that are scaled already."""
    if action.dtype.kind == "f":
        return ActionFormat("scaled", discrete=False)
    stored = vars(space).get("n") if isinstance(space, Inert) else None
    count = int(stored) if isinstance(stored, int | np.integer) else None
    return ActionFormat(discrete=True, num_choices=count)


def _rows(position: int, full: bool, size: int, shared: bool) -> np.ndarray:
    """Returns the rows that are filled, the oldest first.

    If observations are shared, the newest one has overwritten that of the oldest row.
    """
    if not full:
        return np.arange(min(position, size))
    return np.roll(np.arange(size), -position)[1 if shared else 0 :]


def _episodes(columns: dict[str, np.ndarray], where: str, cuts: Cuts) -> list[Episode]:
    check_rows(columns, where)
    observation, action, reward, *ends, following = columns.values()
    done, timeout = (flags(each, where) for each in ends)
    return cut(
        observation, action, vector(reward), done & ~timeout, done & timeout, following, where, cuts
    )


def _without_end(episode: Episode) -> Episode:
    """Returns an episode without the row after its termination, which is of the next episode."""
    rows = len(episode.observation) - episode.terminated
    return episode._replace(observation=episode.observation[:rows])
