"""Pickled lists of trajectories."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlp import data
from rlp.data.options import ReadOptions
from rlp.data.pickles import read_pickle
from rlp.errors import DataWarning, InputError


def trajectory(length: int, **changed: Any) -> dict[str, Any]:
    rng = np.random.default_rng(length)
    observations = rng.standard_normal((length + 1, 3)).astype(np.float32)
    return {
        "observations": observations[:-1], "next_observations": observations[1:],
        "actions": rng.uniform(-1, 1, (length, 2)), "rewards": np.ones(length),
        "terminals": (np.arange(length) == 2) & (length == 3), **changed,
    }  # fmt: skip


def write(path: Path, value: Any, protocol: int = pickle.DEFAULT_PROTOCOL) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_kzls_trajectories(tmp_path: Path, protocol: int):
    stored = [trajectory(3), trajectory(5)]
    read = data.load(str(write(tmp_path / "a.pkl", stored, protocol)))
    assert read.lengths.tolist() == [3, 5]
    assert [e.terminated for e in read.episodes] == [True, False]
    for episode, each in zip(read.episodes, stored, strict=True):
        np.testing.assert_array_equal(episode.observation[1:], each["next_observations"])
        np.testing.assert_array_equal(episode.action, each["actions"].astype(np.float32))


def test_without_successors_the_last_one_is_not_known(tmp_path: Path):
    stored = trajectory(5)
    del stored["next_observations"]
    stored["dones"] = stored.pop("terminals")  # Hugging Face's
    (episode,) = data.load(str(write(tmp_path / "a.pkl", [stored]))).episodes
    assert len(episode.observation) == 5


def test_real_experts_of_cs285(shared_data: Path):
    for name in ("HalfCheetah", "Hopper", "Walker2d"):
        path = shared_data / "cs285" / f"expert_data_{name}-v4.pkl"
        with pytest.raises(InputError, match=r"actions reach .*--clip_actions=True"):
            data.load(str(path))
        with pytest.warns(
            DataWarning, match="2 of 1000 steps are read as cut by a time limit|clip"
        ):
            read = data.load(str(path), ReadOptions(clip_actions=True))
        stored = read_pickle(path)
        assert read.lengths.tolist() == [1000, 1000]
        assert not any(episode.terminated for episode in read.episodes)
        assert np.abs(stored[0]["action"]).max() > 1
        assert np.abs(read.episodes[0].action).max() == 1
        assert read.returns.min() > 2500


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": 1}, "not a list of trajectories"),
        ([3], "not a list of trajectories"),
        ([trajectory(3, rewards="text")], "trajectory 0: rewards is no array but str"),
        (
            [trajectory(3), trajectory(4, rewards=np.ones(3))],
            "trajectory 1: .* a row for each step",
        ),
        ([trajectory(3, rewards=np.full(3, np.nan))], "reward has 3 NaN"),
        ([trajectory(0)], "has no steps"),
        ([trajectory(3, next_observations=np.ones((3, 2)))], r"next observations of \(2,\)"),
        ([], "no episodes"),
    ],
)
def test_trajectories_that_cannot_be_are_named(tmp_path: Path, value: Any, message: str):
    with pytest.raises(InputError, match=message):
        data.load(str(write(tmp_path / "a.pkl", value)))
