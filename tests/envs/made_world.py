"""A small world in the format of cellworld_data, whose own files may not be in the repository."""

import json
import math
from collections import deque
from pathlib import Path

import numpy as np

RADIUS = 3  # cells from the middle to the border: 37 in all
SPACING = 0.14
MOVES = ((-2, 0), (-1, 1), (1, 1), (2, 0), (1, -1), (-1, -1))
OCCLUDED = ((0, 0), (1, 1), (-3, -1))  # the first two are neighbours
SPAWN = ((4, 0), (3, 1))


def coordinates() -> list[tuple[int, int]]:
    """All cells, in the order of their numbers."""
    rows = range(-RADIUS, RADIUS + 1)
    return sorted(
        (x, y) for y in rows for x in range(abs(y) - 2 * RADIUS, 2 * RADIUS - abs(y) + 1, 2)
    )


def location(cell: tuple[int, int]) -> np.ndarray:
    return 0.5 + SPACING * np.array([cell[0] / 2, cell[1] * math.sqrt(3) / 2])


def is_visible(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether no point between two cells is nearest to an occluded one."""
    cells = coordinates()
    centres = np.array([location(cell) for cell in cells])
    ways = location(a) + np.linspace(0, 1, 60)[:, None] * (location(b) - location(a))
    nearest = np.argmin(np.linalg.norm(ways[:, None] - centres, axis=-1), axis=1)
    return not any(cells[i] in OCCLUDED for i in nearest)


def moves_to(goal: tuple[int, int]) -> dict[tuple[int, int], tuple[int, int]]:
    """The move from each cell on a shortest way to the goal."""
    free, found, queue = set(coordinates()) - set(OCCLUDED), {goal: (0, 0)}, deque([goal])
    while queue:
        x, y = queue.popleft()
        for dx, dy in MOVES:
            cell = (x - dx, y - dy)
            if cell in free and cell not in found:
                found[cell] = (dx, dy)
                queue.append(cell)
    return found


def write(folder: Path) -> Path:
    """Writes the files and returns their folder."""
    cells = coordinates()
    numbers = {cell: number for number, cell in enumerate(cells)}
    ways = [moves_to(goal) if goal not in OCCLUDED else {} for goal in cells]
    moves = [way.get(cell, (0, 0)) for cell in cells for way in ways]

    def points(values) -> list[dict[str, float]]:
        return [{"x": float(x), "y": float(y)} for x, y in values]

    contents = {
        "world_configuration/hexagonal": {"cell_coordinates": points(cells)},
        "world_implementation/hexagonal.canonical": {
            "cell_locations": points(location(cell) for cell in cells),
            "space": {
                "center": {"x": 0.5, "y": 0.5},
                "transformation": {"size": 1, "rotation": 270.0},
            },
            "cell_transformation": {"size": SPACING * 2 / math.sqrt(3), "rotation": 30.0},
        },
        "cell_group/hexagonal.21_05.occlusions": [numbers[cell] for cell in OCCLUDED],
        "cell_group/hexagonal.21_05.spawn_locations": [numbers[cell] for cell in SPAWN],
        "cell_group/hexagonal.21_05.lppo": [numbers[(-6, 0)], numbers[(6, 0)]],
        "paths/hexagonal.21_05.astar": {"moves": points(moves)},
        "graph/hexagonal.21_05.cell_visibility": [
            [] if a in OCCLUDED else [numbers[b] for b in cells if is_visible(a, b)] for a in cells
        ],
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return folder
