"""Names and paths to data: bundled sets, joined ones, and what cannot be found."""

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
