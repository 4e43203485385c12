from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlp import data
from rlp.data import describe
from rlp.data.episodes import EpisodeSet, fingerprint
from rlp.data.formats import packed
from rlp.errors import InputError
from tests.conftest import write_exorl


def test_exorl_rows_are_shifted_back(exorl: Path, episodes: EpisodeSet):
    read = data.load(str(exorl))
    assert fingerprint(read) == fingerprint(episodes)
    assert [e.terminated for e in read.episodes] == [False, True, False, False]


def test_exorl_finds_a_buffer_folder_and_its_environment(tmp_path: Path, episodes: EpisodeSet):
    write_exorl(tmp_path / "walker" / "buffer", episodes)
    (tmp_path / "walker" / "metadata.json").write_text('{"env": "walker-walk"}')
    read = data.load(str(tmp_path / "walker"))
    assert (read.env, len(read.episodes)) == ("walker-walk", 4)
    (tmp_path / "walker" / "metadata.json").write_text("{")
    with pytest.raises(InputError, match=r"metadata.json: not a json object"):
        data.load(str(tmp_path / "walker"))


def rewrite(folder: Path, drop: tuple[str, ...] = (), **changed: np.ndarray) -> None:
    file = sorted(folder.glob("*.npz"))[0]
    with np.load(file) as arrays:
        kept = {name: arrays[name] for name in arrays if name not in drop}
    np.savez_compressed(file, **{**kept, **changed})


def nan_at(shape: tuple[int, ...], row: int) -> np.ndarray:
    array = np.zeros(shape, np.float32)
    array[row] = np.nan
    return array


@pytest.mark.parametrize(
    ("drop", "changed", "message"),
    [
        (("reward",), {}, "no array reward; it has observation, action, discount"),
        (
            (),
            {"observation": nan_at((8, 4), 5)},
            "observation has 4 NaN or infinite values, first in row 5",
        ),
        ((), {"action": np.ones((8, 2))}, "row 0 is not zero"),
        ((), {"action": np.zeros((7, 2))}, r"action \(7, 2\)"),
        ((), {"reward": np.zeros((8, 2))}, r"reward \(8, 2\)"),
        ((), {"discount": np.zeros((8, 1))}, "discount is 0 before the last row"),
        ((), {"observation": np.array([None] * 8)}, "damaged or no npz file .*allow_pickle"),
    ],
)
def test_exorl_refuses_what_it_cannot_read(
    exorl: Path, drop: tuple[str, ...], changed: dict[str, np.ndarray], message: str
):
    rewrite(exorl, drop, **changed)
    with pytest.raises(InputError, match=f"episode_000000_7.npz.*{message}"):
        data.load(str(exorl))


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.99])
def test_a_truncated_file_is_named(exorl: Path, kept: float):
    file = sorted(exorl.glob("*.npz"))[2]
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InputError, match=r"episode_000002_12.npz: damaged or no npz file"):
        data.load(str(exorl))


def test_flipped_bytes_are_an_error_or_harmless(exorl: Path, episodes: EpisodeSet):
    file = sorted(exorl.glob("*.npz"))[0]
    content = file.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for position in rng.integers(0, len(content), 300):
        flipped = bytearray(content)
        flipped[position] ^= 0xFF
        file.write_bytes(bytes(flipped))
        try:
            assert fingerprint(data.load(str(exorl))) == fingerprint(episodes)
        except InputError:
            refused += 1
    assert refused > 100


def test_packed_round_trip(tmp_path: Path, episodes: EpisodeSet):
    path = tmp_path / "set.npz"
    packed.write(path, replace(episodes, env="walker-walk", metadata={"licence": "CC0"}))
    read = data.load(str(path))
    assert (read.env, read.metadata) == ("walker-walk", {"licence": "CC0"})
    assert fingerprint(read) == fingerprint(episodes)


def test_packed_refuses_to_write_what_it_could_not_read(tmp_path: Path, episodes: EpisodeSet):
    short = [e._replace(observation=e.observation[:-1]) for e in episodes.episodes]
    with pytest.raises(InputError, match="the last successor of 4 episodes is not known"):
        packed.write(tmp_path / "set.npz", replace(episodes, episodes=short))
    assert not list(tmp_path.iterdir())


def test_packed_refuses_lengths_that_do_not_fit(tmp_path: Path, episodes: EpisodeSet):
    path = tmp_path / "set.npz"
    packed.write(path, episodes)
    with np.load(path) as arrays:
        content = dict(arrays)
    content["length"] = content["length"] + 1
    np.savez_compressed(path, **content)
    with pytest.raises(InputError, match=r"do not fit 4 episodes of 31 steps"):
        data.load(str(path))


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
    with pytest.raises(InputError, match=r"no data found there; looked for .*a folder of \*\.npz"):
        data.load(str(tmp_path))
