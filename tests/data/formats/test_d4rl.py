"""D4RL's flat HDF5 files."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from rlp import data
from rlp.data.episodes import fingerprint
from rlp.data.options import ReadOptions
from rlp.errors import DataWarning, InputError
from tests.data.test_hdf5 import write


def test_a_flat_file_is_split_at_its_ends(tmp_path: Path):
    timeouts = np.arange(6) == 4
    read = data.load(str(write(tmp_path / "a.hdf5", timeouts=timeouts)))
    assert read.lengths.tolist() == [3, 2, 1]
    assert [e.terminated for e in read.episodes] == [True, False, False]
    assert [len(e.observation) for e in read.episodes] == [3, 2, 1]  # no successors stored


def test_a_successor_that_is_not_the_next_row_ends_an_episode(tmp_path: Path):
    observations = np.arange(18.0).reshape(6, 3)
    following = observations + 3
    following[3] += 1
    path = write(tmp_path / "a.hdf5", observations=observations, next_observations=following)
    with pytest.warns(
        DataWarning, match="1 cuts where the next observation is not that of the next"
    ):
        read = data.load(str(path))
    assert read.lengths.tolist() == [3, 1, 2]
    assert read.is_whole.tolist() == [True, False, False]
    assert [len(e.observation) for e in read.episodes] == [4, 2, 3]
    np.testing.assert_array_equal(read.episodes[1].observation, [observations[3], following[3]])


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("rewards", np.ones(5), "a row for each step"),
        ("rewards", np.array(1.0), "a row for each step"),
        ("rewards", np.full(6, np.nan), r"rows 0 to 2: reward has 3 NaN"),
        ("actions", np.full((6, 2), 2.0), "outside"),
        ("rewards", np.array([b"a"] * 6), "rewards is not an array of numbers"),
    ],
)
def test_columns_that_do_not_fit_are_named(
    tmp_path: Path, name: str, array: np.ndarray, message: str
):
    path = write(tmp_path / "a.hdf5", **{name: array})
    with pytest.raises(InputError, match=message):
        data.load(str(path))


def test_stored_states_are_split_as_the_episodes_are(tmp_path: Path):
    path = write(tmp_path / "a.hdf5")
    assert data.load_physics(str(path)) is None
    with h5py.File(path, "a") as file:
        file["infos/qpos"] = np.arange(12.0).reshape(6, 2)
        file["infos/qvel"] = -np.arange(6.0)[:, None]
    first, second = data.load_physics(str(path)) or []
    assert (len(first), len(second)) == (3, 3)
    np.testing.assert_array_equal(second[0], [6, 7, -3])


def test_a_dictionary_in_an_npz_file_is_d4rls(tmp_path: Path):
    rng = np.random.default_rng(0)
    observations = rng.standard_normal((7, 3))
    columns = {
        "observations": observations[:-1], "actions": rng.uniform(-1, 1, (6, 2)),
        "rewards": np.ones(6), "terminals": np.arange(6) == 1, "timeouts": np.arange(6) == 3,
    }  # fmt: skip
    np.savez(tmp_path / "a.npz", allow_pickle=False, **columns, **{"infos/qpos": np.zeros((6, 1))})
    same = fingerprint(data.load(str(write(tmp_path / "a.hdf5", **columns))))
    read = data.load(str(tmp_path / "a.npz"))
    assert (read.lengths.tolist(), fingerprint(read)) == ([2, 2, 2], same)
    assert [e.terminated for e in read.episodes] == [True, False, False]


def test_the_length_of_episodes_is_not_guessed(tmp_path: Path):
    path = str(write(tmp_path / "a.hdf5"))
    with pytest.warns(DataWarning, match="no column says where a time limit cut an episode"):
        read = data.load(path)
    assert read.lengths.tolist() == [3, 3]
    read = data.load(path, ReadOptions(episode_length=2))
    assert read.lengths.tolist() == [2, 1, 2, 1]
    assert [e.terminated for e in read.episodes] == [False, True, False, False]


def test_columns_that_d4rl_does_not_have_are_told(tmp_path: Path):
    path = write(tmp_path / "a.hdf5", timeouts=np.arange(6) == 4, masks=np.ones(6))
    with pytest.raises(InputError, match="it has actions, masks, observations"):
        data.load(str(path))
