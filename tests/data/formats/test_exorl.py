"""ExORL's folders, written as its own writer does; `write_exorl` is in conftest.py."""

from pathlib import Path

import numpy as np
import pytest

from rlp import data
from rlp.data.episodes import EpisodeSet, fingerprint
from rlp.errors import DataWarning, InputError
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
            "observation has 4 NaN or infinite values, first in its row 5",
        ),
        ((), {"action": np.ones((8, 2))}, "zero neither in the first nor in the last row"),
        ((), {"action": np.zeros((7, 2))}, r"action \(7, 2\)"),
        ((), {"reward": np.zeros((8, 2))}, r"reward \(8, 2\)"),
        ((), {"discount": np.zeros((8, 1))}, "discount is 0 before the last row"),
        ((), {"observation": np.array([None] * 8)}, "not numbers or texts but objects"),
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


@pytest.mark.parametrize("with_rewards", [True, False])
def test_files_that_were_shifted_by_a_row_have_their_dummy_at_the_end(
    exorl: Path, episodes: EpisodeSet, with_rewards: bool
):
    moved = ("action", "reward", "discount") if with_rewards else ("action",)
    for file in exorl.glob("*.npz"):
        with np.load(file) as arrays:
            shifted = {name: arrays[name] for name in arrays}
        shifted |= {name: np.roll(shifted[name], -1, axis=0) for name in moved}
        np.savez_compressed(file, **shifted)
    assert fingerprint(data.load(str(exorl))) == fingerprint(episodes)


def test_a_sparse_reward_does_not_say_whether_it_is_shifted(exorl: Path):
    for file in exorl.glob("*.npz"):
        with np.load(file) as stored:
            arrays = {name: stored[name] for name in stored}
        arrays["action"] = np.roll(arrays["action"], -1, axis=0)
        arrays["reward"] = (np.arange(len(arrays["reward"])) == 2).astype(np.float32)[:, None]
        np.savez(file, **arrays)
    with pytest.warns(DataWarning, match="rewards, which are 0 in the first and in the last row"):
        read = data.load(str(exorl))
    assert [np.argmax(episode.reward) for episode in read.episodes] == [1] * 4


def test_columns_that_exorl_does_not_have_are_told(exorl: Path):
    rewrite(exorl, is_terminal=np.zeros(8, bool))
    with pytest.raises(InputError, match="is_terminal is no column of ExORL's episodes"):
        data.load(str(exorl))
