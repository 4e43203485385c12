import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rlp import data
from rlp.data import reading
from rlp.data.arrow import read_batches
from rlp.data.hdf5 import open_hdf5
from rlp.data.npz import npz_names, read_npz
from rlp.data.pickles import begins_with, read_pickle
from rlp.data.reading import announced, check_folder, check_names, check_sizes
from rlp.data.tfrecord import read_examples
from rlp.errors import InputError


def test_large_data_is_announced_and_small_is_not(capsys: pytest.CaptureFixture[str]):
    assert list(announced([1, 2], "here", 1000)) == [1, 2]
    assert capsys.readouterr().err == ""
    assert list(announced([1, 2], "here", 2 * reading.LARGE)) == [1, 2]
    assert "reading here: 0.2 GB" in capsys.readouterr().err


def test_a_large_file_is_announced_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "numbers.pkl"
    path.write_bytes(pickle.dumps(list(range(10_000))))
    assert read_pickle(path) == list(range(10_000))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(reading, "LARGE", 10_000)
    assert read_pickle(path) == list(range(10_000))
    assert "numbers.pkl: 0.0 GB" in capsys.readouterr().err


def test_what_cannot_fit_is_refused_before_it_is_read():
    with pytest.raises(InputError, match=r"here: 1,000,000\.0 GB of arrays, but this machine has"):
        announced([1], "here", 10**15)


def test_sizes_that_no_data_has_are_refused(tmp_path: Path):
    check_sizes({"zeros may be compressed so far": (10**6, 1000)}, "here")
    check_sizes({"much of anything only so far": (10**9, 10**7)}, "here")
    for num_bytes, stored in ((10, 0), (10**6, 100)):
        with pytest.raises(InputError, match=f"here, a: {stored} bytes in the file cannot hold"):
            check_sizes({"a": (num_bytes, stored)}, "here")
    with pytest.raises(InputError, match=r"here: .* made to fill"):
        check_sizes({"a": (10**9, 10**6), "b": (1, 1)}, "here")
    path = tmp_path / "bomb.npz"
    columns = ("observation", "action", "reward", "terminated", "truncated")
    small = {name: np.zeros((10, 1)) for name in columns}
    large = np.zeros((reading.LARGE // 4 + 1, 1), np.float32)
    np.savez_compressed(path, allow_pickle=False, **{**small, "observation": large})
    with pytest.raises(InputError, match=r"bomb\.npz: .* made to fill the memory"):
        data.load(str(path))


def test_a_name_that_is_almost_right_is_not_passed_over():
    optional = ("next_observation", "env")
    check_names(optional, ["next_observation", "infos", "observation"], "here")
    with pytest.raises(
        InputError, match="here: it has next_observations; is that next_observation"
    ):
        check_names(optional, ["env", "next_observations"], "here")


def open_whole(path: Path) -> None:
    with open_hdf5(path):
        pass


OPENERS = [
    read_npz, npz_names, read_pickle, open_whole,
    lambda path: begins_with(path, "a"),
    lambda path: next(read_examples(path)),
    lambda path: next(read_batches(path, [])),
]  # fmt: skip


@pytest.mark.parametrize("opener", OPENERS)
def test_a_device_or_a_pipe_is_not_opened(tmp_path: Path, opener: Callable[[Path], object]):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(InputError, match=f"{name}: a device or a pipe, not a file"):
            opener(tmp_path / name)
    with pytest.raises(InputError, match=f"{tmp_path.name}: a folder, not a file"):
        opener(tmp_path)


def test_links_stay_in_a_folder_of_data(tmp_path: Path):
    folder = tmp_path / "data"
    (folder / "buffer").mkdir(parents=True)
    (folder / "a.npz").write_bytes(b"")
    (tmp_path / "other.npz").write_bytes(b"")
    (folder / "buffer" / "b.npz").symlink_to(folder / "a.npz")
    (tmp_path / "named").symlink_to(folder)
    check_folder(folder)
    check_folder(tmp_path / "named")
    link = folder / "buffer" / "c.npz"
    link.symlink_to("../../other.npz")
    with pytest.raises(InputError, match=r"c\.npz: a link to .*other\.npz, out of the folder"):
        check_folder(folder)
    link.unlink()
    os.mkfifo(link)
    with pytest.raises(InputError, match=r"c\.npz: a device or a pipe"):
        check_folder(folder)
