import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from rlp import envs
from rlp.envs import cellworld_resources as resources
from rlp.envs.cellworld_resources import CACHE, NO_CELL, RESOLUTION, World
from rlp.errors import InputError
from tests.envs import made_world


def number(cell: tuple[int, int]) -> int:
    return made_world.coordinates().index(cell)


@pytest.mark.parametrize("name", ["jax:botevade", "cellworld:botevade"])
def test_one_line_says_which_file_is_missing(
    name: str, made_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv(CACHE, raising=False)
    with pytest.raises(InputError, match="CELLWORLD_CACHE is not set: it must name a folder"):
        envs.make(name)
    shutil.copytree(made_folder, tmp_path / "cache")
    (tmp_path / "cache" / "paths" / "hexagonal.21_05.astar").unlink()
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"cache: no file paths/hexagonal\.21_05\.astar"):
        envs.make(name)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("paths/hexagonal.21_05.astar", "{", "astar: not JSON"),
        ("paths/hexagonal.21_05.astar", "[]", "not the files of cellworld_data"),
        ("paths/hexagonal.21_05.astar", json.dumps({"moves": [{"x": 1, "y": 0}]}), "not the files"),
        ("cell_group/hexagonal.21_05.occlusions", "[999]", "not the files of cellworld_data"),
    ],
)
def test_damaged_files_are_refused(
    file: str,
    content: str,
    message: str,
    made_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    shutil.copytree(made_folder, tmp_path / "cache")
    (tmp_path / "cache" / file).write_text(content)
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    with pytest.raises(InputError, match=message):
        resources.read()


def test_every_place_has_the_open_cell_nearest_to_its_middle(small_world: World):
    rng = np.random.default_rng(0)
    for x, y in rng.integers(RESOLUTION, size=(200, 2)):
        offsets = small_world.locations - (np.array([x, y]) + 0.5) / RESOLUTION
        distances = np.linalg.norm(offsets, axis=1)[small_world.open_cells]
        assert small_world.nearest[x, y] == small_world.open_cells[np.argmin(distances)]


def test_a_way_bends_where_the_next_cell_cannot_be_seen(small_world: World):
    start, goal = number((-2, 0)), number((2, 0))  # the middle is occluded
    bends = [int(cell) for cell in small_world.paths[start, goal] if cell != NO_CELL]
    assert [made_world.coordinates()[bend] for bend in bends] == [(-1, -1), (1, -1), (2, 0)]
    assert small_world.paths[start, start].tolist()[:2] == [start, NO_CELL]
    straight = small_world.paths[number((-6, 0)), number((-2, 0))]
    assert straight.tolist()[:2] == [number((-2, 0)), NO_CELL]
    assert (small_world.paths[..., -1] == NO_CELL).all()


def test_a_side_between_two_occlusions_is_no_wall(small_world: World):
    walls = small_world.walls
    assert len(walls.sides) == (6 + 6 - 2) + 6 + 6  # two neighbours, one alone, the arena
    assert len(walls.vertices) == 10 + 6 + 6
    ends = walls.vertices[walls.sides]
    lengths = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    side = made_world.SPACING / np.sqrt(3)
    np.testing.assert_allclose(lengths, [side] * 16 + [0.5] * 6, atol=1e-6)
    for begins, stops in (walls.sides.T, walls.sides[:, ::-1].T):
        assert sorted(begins) == sorted(stops) == list(range(len(walls.vertices)))


def test_the_published_arena(real_world: World):
    assert real_world.locations.shape == (331, 2)
    cells = (real_world.open_cells, real_world.spawn_cells, real_world.lppo_cells)
    assert [len(each) for each in cells] == [295, 39, 35]
    assert real_world.walls.sides.shape == real_world.walls.vertices.shape == (196, 2)
    ways = real_world.paths[np.ix_(real_world.open_cells, real_world.open_cells)]
    lengths = (ways != NO_CELL).sum(axis=-1)
    assert lengths.max() == 7
    assert lengths.mean() == pytest.approx(2.35, abs=0.01)
    np.testing.assert_allclose(real_world.locations[real_world.open_cells[-1]], [0.96875, 0.5])
