from pathlib import Path

import numpy as np
import pytest

from rlp import data
from rlp.data.options import ReadOptions
from rlp.errors import InputError
from rlp.interop import ogbench_play


def test_scenes_without_cubes_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="puzzle-3x3: play is made for cube-single"):
        ogbench_play.write(tmp_path / "a.npz", "puzzle-3x3", 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_play_is_data_of_every_task_and_repeats_from_its_seed(tmp_path: Path):
    pytest.importorskip("ogbench", reason="OGBench is not installed")
    paths = [tmp_path / name for name in ("a.npz", "b.npz", "c.npz")]
    for path, seed in zip(paths, (0, 0, 1), strict=True):
        ogbench_play.write(path, "cube-single", 1, seed)
    first, same, other = (dict(np.load(path)) for path in paths)
    for name, column in first.items():
        np.testing.assert_array_equal(column, same[name])
    assert np.abs(first["actions"] - other["actions"]).max() > 0.1
    cube = first["qpos"][:, 14:17]
    assert np.ptp(cube[:, :2], axis=0).max() > 0.1  # it is carried around
    assert cube[:, 2].max() > 0.08
    read = data.load(str(paths[0]), ReadOptions(env="og:cube-single-play-singletask-task1-v0"))
    assert read.has_rewards
    assert read.lengths.sum() == ogbench_play.STEPS
    assert set(np.concatenate([each.reward for each in read.episodes]).tolist()) <= {-1.0, 0.0}
