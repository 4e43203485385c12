"""HDF5 files that are damaged, point elsewhere, or claim more than they hold."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from rlp import data
from rlp.errors import InputError


def write(path: Path, **changed: np.ndarray) -> Path:
    rng = np.random.default_rng(0)
    arrays = {
        "observations": rng.standard_normal((6, 3)), "actions": np.zeros((6, 2)),
        "rewards": np.ones(6), "terminals": np.arange(6) == 2, **changed,
    }  # fmt: skip
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


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
    read = data.load(str(path))
    assert read.lengths.tolist() == [3, 1, 2]
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


def test_a_truncated_file_is_named(tmp_path: Path):
    path = write(tmp_path / "a.hdf5")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"a\.hdf5: damaged or no HDF5"):
        data.load(str(path))


def test_links_out_of_the_file_are_not_followed(tmp_path: Path):
    write(tmp_path / "other.hdf5")
    path = write(tmp_path / "a.hdf5")
    with h5py.File(path, "a") as file:
        del file["rewards"]
        file["rewards"] = h5py.ExternalLink("other.hdf5", "/rewards")
    with pytest.raises(InputError, match="no data found"):
        data.load(str(path))


def test_an_array_that_was_never_written_is_no_data(tmp_path: Path):
    path = write(tmp_path / "a.hdf5")
    with h5py.File(path, "a") as file:
        del file["observations"]
        file.create_dataset("observations", (10**12, 3), chunks=(1000, 3), dtype="f4")
    with pytest.raises(InputError, match="too few for it"):
        data.load(str(path))


def test_a_real_minari_set(shared_data: Path):
    path = shared_data / "minari" / "D4RL" / "door" / "human-v2"
    read = data.load(str(path))
    assert (len(read.episodes), read.lengths.sum()) == (25, 6729)
    with h5py.File(path / "data" / "main_data.hdf5") as file:
        for number in (0, 10):
            stored, episode = file[f"episode_{number}"], read.episodes[number]
            assert isinstance(stored, h5py.Group)
            np.testing.assert_allclose(
                np.asarray(stored["observations"]), episode.observation, rtol=1e-6
            )
            np.testing.assert_allclose(np.asarray(stored["actions"]), episode.action, atol=1e-6)
            assert episode.terminated == bool(np.asarray(stored["terminations"])[-1])
