"""Pickled lists of trajectories."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlp import data
from rlp.data.episodes import fingerprint
from rlp.data.options import ReadOptions
from rlp.data.pickles import read_pickle
from rlp.errors import DataWarning, InputError


def trajectory(length: int, **changed: Any) -> dict[str, Any]:
    rng = np.random.default_rng(length)
    observations = rng.standard_normal((length + 1, 3)).astype(np.float32)
    return {
        "observations": observations[:-1], "next_observations": observations[1:].copy(),
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


def test_a_flag_within_a_trajectory_cuts_it(tmp_path: Path):
    stored = trajectory(6, terminals=np.isin(np.arange(6), [1, 5]))
    stored["next_observations"][1] += 1
    read = data.load(str(write(tmp_path / "a.pkl", [stored])))
    assert read.lengths.tolist() == [2, 4]
    assert [e.terminated for e in read.episodes] == [True, True]
    np.testing.assert_array_equal(read.episodes[0].observation[2], stored["next_observations"][1])


def test_lists_are_read_as_arrays(tmp_path: Path):
    stored = trajectory(4)
    lists = {name: column.tolist() for name, column in stored.items()}
    read = data.load(str(write(tmp_path / "a.pkl", [lists])))
    assert fingerprint(read) == fingerprint(data.load(str(write(tmp_path / "b.pkl", [stored]))))
    ragged = {**lists, "actions": [[0.0], [0.0, 1.0], [0.0], [1.0]]}
    with pytest.raises(InputError, match="actions is a list of rows that are not equally long"):
        data.load(str(write(tmp_path / "c.pkl", [ragged])))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"observations": {"pixels": 1, "goal": 2}}, "observations is a dict of pixels, goal"),
        ({"is_terminal": np.zeros(3)}, "what is_terminal means is not known"),
        ({"dones": np.zeros(3)}, "it has terminals and dones: which is terminated"),
    ],
)
def test_what_a_trajectory_should_not_have_is_named(
    tmp_path: Path, changed: dict[str, Any], message: str
):
    with pytest.raises(InputError, match=message):
        data.load(str(write(tmp_path / "a.pkl", [trajectory(3, **changed)])))


def cs285(length: int) -> dict[str, Any]:
    """A trajectory whose terminal marks its end, whatever that was."""
    singular = {name[:-1]: column for name, column in trajectory(length).items()}
    return {**singular, "terminal": np.arange(length) == length - 1}


def test_cs285_marks_time_limits_as_terminal(tmp_path: Path):
    path = str(write(tmp_path / "a.pkl", [cs285(n) for n in (15, 9, 15)]))
    with pytest.warns(DataWarning, match="2 of 15 steps are read as cut by a time limit, 1 as"):
        read = data.load(path)
    assert [e.terminated for e in read.episodes] == [False, True, False]
    with pytest.warns(DataWarning, match="0 of 20 steps"):
        read = data.load(path, ReadOptions(episode_length=20))
    assert all(e.terminated for e in read.episodes)


def test_a_dict_of_rows_has_all_episodes(tmp_path: Path):
    stored = trajectory(8, terminals=np.arange(8) == 2, timeouts=np.arange(8) == 5)
    stored["next_observations"][[2, 5]] += 1
    read = data.load(str(write(tmp_path / "a.pkl", stored)))
    assert read.lengths.tolist() == [3, 3, 2]
    assert [e.terminated for e in read.episodes] == [True, False, False]
