"""Names and paths to data: bundled sets, joined ones, and what cannot be found."""

import os
from pathlib import Path

import pytest

from rlp import data
from rlp.data import describe
from rlp.errors import InputError


@pytest.mark.parametrize("name", data.bundled_names())
def test_bundled_data_is_what_its_card_says(name: str):
    read = data.load(name)
    assert read.env == Path(name).parent.name
    assert len(read.episodes) == 50
    assert read.metadata["licence"] == "CC0"
    assert (data.BUNDLED / f"{name}.md").read_text() == describe.card(read)


def test_bundled_data_stays_small():
    assert sum(file.stat().st_size for file in data.BUNDLED.rglob("*.npz")) < 26e6


def test_joined_sets(exorl: Path):
    joined = data.load(f"{exorl}+{exorl}")
    assert len(joined.episodes) == 8
    assert joined.name == f"{exorl}+{exorl}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "walker-walk/medum",
            r"no data set walker-walk/medum \(did you mean walker-walk/medium\?\)",
        ),
        ("no/such/folder", "no data set no/such/folder: neither a path nor one of walker-run"),
    ],
)
def test_unknown_data_names_what_there_is(name: str, message: str):
    with pytest.raises(InputError, match=message):
        data.load(name)


def test_a_folder_without_data_says_what_was_looked_for(tmp_path: Path):
    with pytest.raises(
        InputError, match=r"no data found there; looked for\n(.*\n)*  a folder of \*\.npz"
    ):
        data.load(str(tmp_path))


def test_a_folder_of_two_kinds_of_data_is_ambiguous(exorl: Path):
    samples = Path(__file__).parent / "samples"
    (exorl / "a.parquet").write_bytes((samples / "parquet/train/0000.parquet").read_bytes())
    with pytest.raises(InputError, match=r"it could be a folder of .* and trajectories in Parquet"):
        data.load(str(exorl))


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc", "", "a//b", "a/", "a/./b", "a/..", "~/x", "a\0b", "a b"]
)
def test_a_name_of_minari_does_not_leave_its_folder(monkeypatch: pytest.MonkeyPatch, name: str):
    def stored(dataset_id: str) -> Path:
        raise AssertionError(dataset_id)

    monkeypatch.setattr(data.minari, "stored", stored)
    with pytest.raises(InputError, match=r"no data set minari:.*: not a name as mujoco/hopper"):
        data.load(f"minari:{name}")


@pytest.mark.parametrize("name", ["a.pkl", "a.npz", "a.h5", "x-00000-of-00001", "a"])
def test_a_device_or_a_pipe_is_no_data(tmp_path: Path, name: str):
    path = tmp_path / name
    path.symlink_to("/dev/zero")
    with pytest.raises(InputError, match=f"{name}: a device or a pipe, not a file"):
        data.load(str(path))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match=f"{name}: a device or a pipe, not a file"):
        data.load(str(path))


def test_a_link_that_is_named_is_followed(tmp_path: Path, exorl: Path):
    (tmp_path / "link").symlink_to(exorl)
    assert len(data.load(str(tmp_path / "link")).episodes) == 4


def test_a_link_in_a_folder_does_not_lead_out_of_it(tmp_path: Path, exorl: Path):
    file = next(exorl.glob("*.npz"))
    file.rename(tmp_path / "elsewhere.npz")
    file.symlink_to(tmp_path / "elsewhere.npz")
    for read in (data.load, data.load_physics):
        with pytest.raises(InputError, match=rf"{file.name}: a link to .*elsewhere\.npz, out of"):
            read(str(exorl))


def test_a_name_too_long_for_a_file_is_not_found():
    with pytest.raises(InputError, match="no data set aaa"):
        data.load("a" * 5000)
