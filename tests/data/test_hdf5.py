"""HDF5 files that are damaged, point elsewhere, or claim more than they hold."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from rlp import data
from rlp.data import hdf5
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


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (np.longdouble, "float128"),
        (np.dtype([("a", "f4")]), "'a'"),
        (np.complex64, "complex64"),
        (h5py.enum_dtype({"a": 0, "b": 200}, "u1"), "an enum"),
        (h5py.vlen_dtype("f4"), "object"),
        (h5py.ref_dtype, "object"),
        (h5py.string_dtype(), "object"),
    ],
)
def test_what_is_no_number_is_named(tmp_path: Path, kind: np.dtype, named: str):
    path = write(tmp_path / "a.hdf5")
    with h5py.File(path, "a") as file:
        del file["rewards"]
        file.create_dataset("rewards", (6,), kind)
    with pytest.raises(InputError, match=f"rewards is not an array of numbers but .*{named}"):
        data.load(str(path))


def test_what_is_no_array_is_named(tmp_path: Path):
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file["empty"] = h5py.Empty("f4")
        file["endless"] = np.zeros((2_000_000, 0))
        file.create_group("group")
        file["there"] = np.zeros(3)
    with hdf5.open_hdf5(path) as file:
        for name, message in (
            ("empty", "empty is not an array of numbers but empty"),
            ("endless", "2,000,000 rows or columns without a number"),
            ("group", "group is not an array of numbers but a group"),
        ):
            with pytest.raises(InputError, match=message):
                hdf5.columns(file, [name])
        with pytest.raises(InputError, match="/there: not a group of arrays"):
            hdf5.columns(file["there"], ["a"])


@pytest.mark.parametrize(
    ("value", "read"), [("walker-walk", "walker-walk"), (b"a", "a"), (np.bytes_(b"b"), "b")]
)
def test_a_text_is_read(tmp_path: Path, value: str | bytes, read: str):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.attrs["env"] = value
    with hdf5.open_hdf5(tmp_path / "a.hdf5") as file:
        assert hdf5.text(file, "env") == read
        assert hdf5.text(file, "other") == ""


@pytest.mark.parametrize(
    "value", [3, np.arange(3), h5py.Empty("S1"), ["a", "b"], np.bytes_(b"\xff")]
)
def test_what_is_no_text_is_refused(tmp_path: Path, value: object):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.attrs["env"] = value
    with (
        hdf5.open_hdf5(tmp_path / "a.hdf5") as file,
        pytest.raises(InputError, match=r"a\.hdf5:/, attribute env: (not a text|damaged)"),
    ):
        hdf5.text(file, "env")


def test_a_damaged_store_of_texts_does_not_hang(tmp_path: Path):
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file.attrs["env"] = "walker-walk"
    content = path.read_bytes()
    first = content.index(hdf5.HEAP) + 16
    path.write_bytes(content[:first] + bytes(16) + content[first + 16 :])
    with hdf5.open_hdf5(path) as file, pytest.raises(InputError, match="free space of 0 bytes"):
        hdf5.text(file, "env")
