"""The world of cellworld's BotEvade as arrays, read from the files of `cellworld_data`.

The user provides the files in the folder that the environment variable CELLWORLD_CACHE names. They
have no licence, so rlp does not include them. The package `cellworld` reads the same names and
formats (`<kind>/hexagonal.<world>.<name>`). This module computes the same from them as
`cellworld_game/cellworld_loader.py`, `navigation.py` and `torch/geometry.py`.
"""

import functools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlp.errors import InputError

CACHE = "CELLWORLD_CACHE"  # names the folder; the package reads the same variable
WORLD = "21_05"  # the published studies' arena
FILES = {
    "configuration": "world_configuration/hexagonal",
    "implementation": "world_implementation/hexagonal.canonical",
    "occlusions": f"cell_group/hexagonal.{WORLD}.occlusions",
    "spawn": f"cell_group/hexagonal.{WORLD}.spawn_locations",
    "lppo": f"cell_group/hexagonal.{WORLD}.lppo",
    "paths": f"paths/hexagonal.{WORLD}.astar",
    "visibility": f"graph/hexagonal.{WORLD}.cell_visibility",
}
RESOLUTION = 1000  # places along each axis of the map of nearest cells
SAME_VERTEX = 1e-3  # vertices at a smaller distance are one
NO_CELL = -1


class Walls(NamedTuple):
    """What blocks the view: sides of occlusions, then those of the arena."""

    vertices: np.ndarray  # [V, 2]
    sides: np.ndarray  # [S, 2] int: the two vertices of each
    num_arena: int  # the arena has this many sides and vertices, the last ones of each


class World(NamedTuple):
    """The arena, its cells and the paths between them; cells are referred to by number."""

    locations: np.ndarray  # [cells, 2], the centres
    open_cells: np.ndarray  # [295] int, not occluded
    spawn_cells: np.ndarray  # [39] int, where the predator starts
    lppo_cells: np.ndarray  # [35] int, the landmarks of the smaller action set
    nearest: np.ndarray  # [RESOLUTION, RESOLUTION] int, the open cell nearest to a place (x, y)
    paths: np.ndarray  # [cells, cells, W] int, the path to each cell; ends with NO_CELL
    walls: Walls


def folder() -> Path:
    """Returns the folder of the files.

    Raises:
        InputError: if the variable is not set, or a file is missing.
    """
    named = os.environ.get(CACHE)
    if not named:
        raise InputError(
            f"{CACHE} is not set: it must name a folder with the files of cellworld_data"
        )
    missing = [name for name in FILES.values() if not (Path(named) / name).is_file()]
    if missing:
        raise InputError(f"{CACHE}={named}: no file {missing[0]}, which cellworld_data has")
    return Path(named)


def read() -> World:
    """Returns the world from the user's files, which are read once.

    Raises:
        InputError: if files are missing, or one is invalid.
    """
    return _read(folder())


@functools.cache
def _read(folder: Path) -> World:
    def load(name: str) -> Any:
        try:
            return json.loads((folder / FILES[name]).read_text())
        except ValueError as error:
            raise InputError(f"{folder / FILES[name]}: not JSON ({error})") from None

    files = {name: load(name) for name in FILES}
    try:
        return _world(files)
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"{folder}: not the files of cellworld_data ({error!r})") from None


def _world(files: dict[str, Any]) -> World:
    """Returns the world from the files' contents."""
    implementation = files["implementation"]
    locations = _points(implementation["cell_locations"])
    occluded = np.zeros(len(locations), bool)
    occluded[files["occlusions"]] = True
    space, cell = implementation["space"], implementation["cell_transformation"]
    angle = space["transformation"]["rotation"]
    [center] = _points([space["center"]])
    arena = _hexagon(center, space["transformation"]["size"], angle)
    occlusions = [
        _hexagon(place, cell["size"], angle + cell["rotation"]) for place in locations[occluded]
    ]
    return World(
        locations=locations,
        open_cells=np.flatnonzero(~occluded),
        spawn_cells=np.array(files["spawn"]),
        lppo_cells=np.array(files["lppo"]),
        nearest=nearest_cells(locations, occluded),
        paths=_paths(_next_cells(files), _is_visible(files["visibility"])),
        walls=_walls(occlusions, arena),
    )


def _points(found: Sequence[dict[str, float]]) -> np.ndarray:
    """Returns points or coordinates as an array [N, 2]."""
    return np.array([[each["x"], each["y"]] for each in found])


def _hexagon(center: np.ndarray, diameter: float, angle: float) -> np.ndarray:
    """Returns vertices [6, 2] in float32, the package's precision."""
    turned = np.radians(angle + 90) + np.arange(6) * np.pi / 3
    around = np.stack([np.cos(turned), np.sin(turned)], axis=-1)
    return (center + diameter / 2 * around).astype(np.float32)


def nearest_cells(locations: np.ndarray, occluded: np.ndarray) -> np.ndarray:
    """Returns the open cell nearest to the middle of each place [RESOLUTION, RESOLUTION].

    Computed in float32, line by line; the package needs 9 GB for it.
    """
    cells = np.where(occluded[:, None], -1, locations).astype(np.float32)  # occluded: far away
    middles = np.arange(RESOLUTION, dtype=np.float32) / np.float32(RESOLUTION) + np.float32(
        1 / RESOLUTION / 2
    )
    across, along = ((middles[:, None] - axis) ** 2 for axis in cells.T)  # [RESOLUTION, cells]
    return np.stack([np.argmin(line + along, axis=1) for line in across])


def _next_cells(files: dict[str, Any]) -> np.ndarray:
    """Returns the next cell on the path from each cell to each other, [cells, cells]."""
    coordinates = _points(files["configuration"]["cell_coordinates"])
    moves = _points(files["paths"]["moves"]).reshape(len(coordinates), len(coordinates), 2)
    numbers = {tuple(each): number for number, each in enumerate(coordinates)}
    reached = (coordinates[:, None] + moves).reshape(-1, 2)
    found = [numbers.get(tuple(each), NO_CELL) for each in reached]
    return np.array(found).reshape(moves.shape[:2])


def _is_visible(neighbours: Sequence[Sequence[int]]) -> np.ndarray:
    """Returns whether one cell can be seen from another, [cells, cells]."""
    visible = np.zeros((len(neighbours), len(neighbours)), bool)
    for cell, seen in enumerate(neighbours):
        visible[cell, seen] = True
    return visible


def _paths(next_cells: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Returns the bends of the path between each two cells, then its goal, [cells, cells, W].

    A cell on the path is a bend if the next cell cannot be seen from the last bend.
    """
    num_cells = len(next_cells)
    current, goal = np.indices((num_cells, num_cells)).reshape(2, -1)
    last = current
    num_bends = np.zeros(len(goal), int)
    bends = np.full((len(goal), num_cells), NO_CELL)
    rows = np.arange(len(goal))
    going = current != goal
    while going.any():
        following = next_cells[current, goal]
        going &= (following != current) & (following != NO_CELL)
        is_bend = going & ~visible[last, following]
        bends[rows[is_bend], num_bends[is_bend]] = current[is_bend]
        num_bends += is_bend
        last = np.where(is_bend, current, last)
        current = np.where(going, following, current)
        going &= current != goal
    bends[rows, num_bends] = goal
    return bends[:, : num_bends.max() + 2].reshape(num_cells, num_cells, -1)


def _walls(occlusions: Sequence[np.ndarray], arena: np.ndarray) -> Walls:
    """Returns the sides of occlusions that no two of them share, and the sides of the arena."""
    vertices: list[np.ndarray] = []

    def number(vertex: np.ndarray) -> int:
        for i, known in enumerate(vertices):
            if np.hypot(*(known - vertex)) <= SAME_VERTEX:
                return i
        vertices.append(vertex)
        return len(vertices) - 1

    count: dict[tuple[int, int], int] = {}
    for occlusion in occlusions:
        numbers = [number(vertex) for vertex in occlusion.astype(float)]
        for a, b in zip(numbers, numbers[1:] + numbers[:1], strict=True):
            side = (a, b) if (b, a) not in count else (b, a)
            count[side] = count.get(side, 0) + 1
    outer = [side for side, times in count.items() if times == 1]
    first, around = len(vertices), np.arange(len(arena))
    of_arena = first + np.stack([around, np.roll(around, -1)], axis=-1)
    return Walls(
        vertices=np.concatenate([vertices, arena.astype(float)]),
        sides=np.concatenate([outer, of_arena]),
        num_arena=len(arena),
    )
