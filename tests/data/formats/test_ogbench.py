"""OGBench's files, written as its reader expects them."""

from pathlib import Path

import numpy as np
import pytest

from rlp import data, envs
from rlp.data.formats import ogbench
from rlp.envs import Bounds
from rlp.envs import ogbench as ogbench_envs
from rlp.errors import InputError

RNG = np.random.default_rng(0)


def write(path: Path, **changed: np.ndarray) -> str:
    arrays = {
        "observations": RNG.standard_normal((7, 3)).astype(np.float32),
        "actions": RNG.uniform(-1, 1, (7, 2)).astype(np.float32),
        "terminals": np.array([0, 0, 0, 1, 0, 0, 1], bool),
        "qpos": np.zeros((7, 4)),
        **changed,
    }
    np.savez_compressed(path, allow_pickle=False, **arrays)
    return str(path)


def test_the_end_of_a_trajectory_is_no_termination(tmp_path: Path):
    read = data.load(write(tmp_path / "cube-v0.npz"))
    assert read.lengths.tolist() == [4, 3]
    assert not any(e.terminated for e in read.episodes)
    assert [len(e.observation) for e in read.episodes] == [4, 3]  # what came after is not stored
    assert not read.has_rewards


def test_a_single_task_has_rewards_and_ends_where_it_is_done(tmp_path: Path):
    masks = np.array([1, 1, 0, 1, 1, 1, 1], np.float32)
    path = write(tmp_path / "a.npz", rewards=np.arange(7.0), masks=masks)
    read = data.load(path)
    assert read.lengths.tolist() == [3, 1, 3]
    assert [e.terminated for e in read.episodes] == [True, False, False]
    assert read.returns.tolist() == [3, 3, 15]
    assert read.is_whole.tolist() == [True, False, True]  # the second begins where the first ends


def test_columns_of_other_lengths_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="a row for each step"):
        data.load(write(tmp_path / "a.npz", actions=np.zeros((6, 2))))


def test_columns_that_ogbench_does_not_have_are_told(tmp_path: Path):
    timeouts = np.arange(7) == 3
    for changed in ({"timeouts": timeouts}, {"masks": np.ones(7)}):
        with pytest.raises(InputError, match=r"it has observations, actions, terminals, qpos"):
            data.load(write(tmp_path / "a.npz", **changed))


TASK = "og:cube-single-play-singletask-task1-v0"


def test_a_task_computes_its_rewards_from_the_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def task_rewards(name: str, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert name == TASK
        done = columns["qpos"][:, 0]
        return {"rewards": done - 1, "masks": 1 - done}

    monkeypatch.setattr(ogbench_envs, "task_rewards", task_rewards)
    monkeypatch.setattr(ogbench, "FOLDER", tmp_path)
    qpos = np.zeros((7, 4))
    qpos[2, 0] = 1
    write(tmp_path / "cube-single-play-v0.npz", qpos=qpos)
    monkeypatch.setattr(envs, "action_space", lambda _: Bounds(np.array([-1]), np.array([1])))
    read = data.load(TASK)
    assert read.env == TASK
    assert read.has_rewards
    assert read.lengths.tolist() == [3, 1, 3]
    assert read.returns.tolist() == [-2, -1, -3]


def test_data_of_a_task_that_is_not_there_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ogbench, "FOLDER", tmp_path)
    with pytest.raises(InputError, match=r"download_datasets\(\['cube-single-play-v0'\]\)"):
        data.load(TASK)
    with pytest.raises(InputError, match="does not say which data is meant"):
        data.load("og:cube-single-singletask-task1-v0")
    with pytest.raises(InputError, match="single tasks are learned, not goals"):
        data.load("og:cube-single-play-v0")
