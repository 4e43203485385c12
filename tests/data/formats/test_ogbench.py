"""OGBench's files, written as its reader expects them."""

from pathlib import Path

import numpy as np
import pytest

from rlp import data
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
