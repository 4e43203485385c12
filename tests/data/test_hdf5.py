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
    with pytest.raises(InputError, match="it has actions, observations, terminals"):
        data.load(str(path))


def test_an_array_that_was_never_written_is_no_data(tmp_path: Path):
    path = write(tmp_path / "a.hdf5")
    with h5py.File(path, "a") as file:
        del file["observations"]
        file.create_dataset("observations", (10**12, 3), chunks=(1000, 3), dtype="f4")
    with pytest.raises(InputError, match="cannot hold"):
        data.load(str(path))
