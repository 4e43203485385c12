"""Episodes of real mice and robots in cellworld's arena, as `cellworld` writes experiments (.json).

    {"trajectories": [{"time_stamp": 6.08, "agent_name": "prey", "location": {"x": .02, "y": .5}}]}

They become steps of BotEvade in the way of its authors: one step per 0.25 seconds, whose action is
the open cell nearest to the mouse at the end of the step. Directions are those of the movement. The
predator is seen unless a wall hides it; a hidden predator has distance 1, as in the authors' code.
The arena comes from the user's files of `cellworld_data`.
"""

from pathlib import Path
from typing import Any

import numpy as np

from rlp.data.actions import ActionFormat
from rlp.data.episodes import Episode
from rlp.data.options import ReadOptions
from rlp.data.stored import Stored, numbered
from rlp.errors import InputError
from rlp.system.files import json_object

LOOKS_FOR = "an experiment of cellworld (.json: trajectories of prey and predator)"
AGENTS = ("prey", "predator")
UNSEEN = 1.0  # distance recorded while the predator is not seen
IMMUNE = 0.5  # seconds after a capture until the next is possible


def matches(path: Path) -> bool:
    """Returns whether `path` is a json file of trajectories."""
    return path.is_file() and path.suffix == ".json" and b'"trajectories"' in path.read_bytes()


def read(path: Path, options: ReadOptions) -> Stored:
    """Returns the episode.

    Raises:
        InputError: if an agent is missing, a sample is invalid, the episode is shorter than a step,
            or the files of cellworld_data are missing.
    """
    del options
    from rlp.envs import cellworld_resources as resources  # it imports JAX

    where = str(path)
    samples = json_object(path.read_text(), where).get("trajectories")
    times, tracks = zip(*(_track(samples, name, where) for name in AGENTS), strict=True)
    episode = _episode(times, tracks, where)
    num_cells = len(resources.read().open_cells)
    actions = ActionFormat(discrete=True, num_choices=num_cells)
    notes = ["a predator that is not seen has distance 1; the game says what it was when last seen"]
    return Stored([episode], numbered(where), actions, "jax:botevade", notes=notes)


def _track(samples: Any, name: str, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns times [S] and places [S, 2] of an agent, in order of time."""
    try:
        rows = [
            (each["time_stamp"], each["location"]["x"], each["location"]["y"])
            for each in samples
            if each["agent_name"] == name
        ]
        found = np.array(sorted(rows), np.float64).reshape(-1, 3)
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"{where}: trajectories are not samples of agents ({error!r})") from None
    if not len(found):
        raise InputError(f"{where}: an episode without a {name}: no sample of that agent")
    return found[:, 0], found[:, 1:]


def _episode(times: tuple[np.ndarray, ...], tracks: tuple[np.ndarray, ...], where: str) -> Episode:
    """Returns steps of 0.25 seconds while the prey is recorded, until it reaches its goal."""
    from rlp.envs import botevade, cellworld, cellworld_resources

    clock = np.arange(times[0][0], times[0][-1], botevade.STEP)
    if len(clock) < 2:
        raise InputError(f"{where}: shorter than a step of {botevade.STEP:g} seconds")
    prey, predator = (
        np.stack([np.interp(clock, time, axis) for axis in track.T], axis=1)
        for time, track in zip(times, tracks, strict=True)
    )
    to_goal = np.hypot(*(prey - botevade.GOAL).T)
    arrived = np.flatnonzero(to_goal[1:] <= botevade.GOAL_DISTANCE)
    end = int(arrived[0]) + 1 if len(arrived) else len(clock) - 1  # the last observation
    is_seen = _in_view(prey, predator)
    between = np.where(is_seen, np.hypot(*(prey - predator).T), UNSEEN)
    puffed, left = _captures(is_seen & (between <= botevade.CAPTURE_DISTANCE), botevade.STEP)
    finished = to_goal <= botevade.GOAL_DISTANCE
    seen = np.where(is_seen[:, None], _poses(predator), 0)
    columns = (
        _poses(prey),
        seen,
        *(x[:, None] for x in (to_goal, between, puffed, left, finished)),
    )
    world = cellworld_resources.read()
    cells = [cellworld.cell_at(world, place) for place in prey[1 : end + 1]]
    return Episode(
        np.concatenate(columns, axis=1)[: end + 1].astype(np.float32),
        np.searchsorted(world.open_cells, cells),
        (finished.astype(float) - puffed)[1 : end + 1].astype(np.float32),
        bool(finished[end]),
        is_fragment=not finished[end],
    )


def _in_view(prey: np.ndarray, predator: np.ndarray) -> np.ndarray:
    """Returns whether the prey sees the centre of the predator at each time, [T] bool."""
    import jax
    import jax.numpy as jnp

    from rlp.envs import botevade_sight, cellworld_resources

    walls = botevade_sight.make(cellworld_resources.read().walls)
    sees = jax.jit(jax.vmap(botevade_sight.is_in_view, (None, 0, 0)))
    eyes, points = (jnp.asarray(each, jnp.float32) for each in (prey, predator[:, None]))
    return np.asarray(sees(walls, eyes, points))[:, 0]


def _captures(is_close: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns whether each step is a capture, and the seconds until the next can be, [T] each."""
    puffed, left = np.zeros(len(is_close), bool), np.zeros(len(is_close))
    for t, close in enumerate(is_close.tolist()):
        left[t] = max(left[t - 1] - step, 0) if t else 0
        if close and t and left[t] == 0:
            puffed[t], left[t] = True, IMMUNE
    return puffed, left


def _poses(track: np.ndarray) -> np.ndarray:
    """Returns places, and directions of the preceding movement in radians, [T, 3]."""
    moved = np.diff(track, axis=0, prepend=track[:1])
    return np.column_stack([track, np.arctan2(moved[:, 1], moved[:, 0])])
