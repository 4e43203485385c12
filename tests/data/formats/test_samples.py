"""Files that real libraries made (samples/make.py) are read right; damaged ones never silently."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from rlp import data
from rlp.data.episodes import EpisodeSet, fingerprint, problems
from rlp.data.options import ReadOptions
from rlp.errors import DataWarning, InputError
from tests.data.samples import make
from tests.data.test_round_trips import WRITERS

SAMPLES = Path(make.__file__).parent
WITH_SUCCESSORS = (
    "minari_hdf5", "minari_arrow", "minari_parquet", "rl_unplugged/walker_walk", "rlds/rlds/1.0.0",
    "stable_baselines3_part.pkl",
)  # fmt: skip
WITHOUT = ("parquet", "d3rlpy.h5")
DISCRETE = ("d3rlpy_discrete.h5", "stable_baselines3_discrete.pkl")


@pytest.mark.parametrize("name", [*WITH_SUCCESSORS, *WITHOUT])
def test_samples_are_read_as_they_were_made(name: str):
    read = data.load(str(SAMPLES / name))
    for episode, made in zip(read.episodes, make.episodes(), strict=True):
        rows = len(made["action"]) + (name in WITH_SUCCESSORS)
        np.testing.assert_array_equal(episode.observation, made["observation"][:rows])
        np.testing.assert_allclose(episode.action, made["action"], atol=1e-7)
        np.testing.assert_array_equal(episode.reward, made["reward"])
        assert episode.terminated == made["terminated"]


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_actions_become_one_hots(name: str):
    read = data.load(str(SAMPLES / name))
    assert read.discrete
    for episode, made in zip(read.episodes, make.episodes(), strict=True):
        np.testing.assert_array_equal(episode.action, np.eye(3)[make.choices(made)])
        np.testing.assert_array_equal(episode.reward, made["reward"])


def test_a_replay_buffer_that_went_round_begins_with_its_oldest_row():
    read = data.load(str(SAMPLES / "stable_baselines3_full.pkl"))
    assert read.lengths.tolist() == [3, 4, 3]  # 10 rows: the first two were overwritten
    made = make.episodes()[0]
    np.testing.assert_array_equal(read.episodes[0].observation, made["observation"][2:])
    assert [e.terminated for e in read.episodes] == [True, False, False]


def test_a_replay_buffer_of_shared_observations_cannot_tell_time_limits():
    with pytest.warns(DataWarning, match="time limits: they are read as terminations"):
        read = data.load(str(SAMPLES / "stable_baselines3_small.pkl"))
    assert read.lengths.tolist() == [5, 4, 3]
    assert all(e.terminated for e in read.episodes)
    for episode, made in zip(read.episodes, make.episodes(), strict=True):
        np.testing.assert_array_equal(episode.observation, made["observation"][:-1])


def test_rl_unplugged_says_its_environment():
    assert data.load(str(SAMPLES / "rl_unplugged" / "walker_walk")).env == "walker-walk"


EVERY = (
    *WITH_SUCCESSORS, *WITHOUT, "stable_baselines3_full.pkl", "stable_baselines3_small.pkl",
    *DISCRETE, *WRITERS,
)  # fmt: skip
CHECKSUMS = ("rl_unplugged", "rlds", "parquet", "a.npz", "exorl", "columns.npz")  # of all bytes


def sample(name: str, folder: Path, episodes: EpisodeSet) -> Path:
    """Returns a copy of a sample file or folder, or one that is written here."""
    copy = folder / name
    if name in WRITERS:
        if not copy.suffix:
            copy.mkdir()
        WRITERS[name](copy, episodes)
    else:
        is_folder = (SAMPLES / name).is_dir()
        (shutil.copytree if is_folder else shutil.copy)(SAMPLES / name, copy)
    return copy


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Returns a file that is cut off or has one bit flipped."""
    if rng.random() < 0.2:
        return content[: rng.integers(len(content))]
    flipped = bytearray(content)
    flipped[rng.integers(len(content))] ^= 1 << rng.integers(8)
    return bytes(flipped)


def check_damaged(path: Path, times: int, has_checksums: bool) -> None:
    """Damages a file at a time: reading it is an InputError, or gives possible episodes."""
    options = ReadOptions(clip_actions=True)
    whole = fingerprint(data.load(str(path), options))
    rng, num_refused = np.random.default_rng(0), 0
    files = sorted(
        file for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()
    )
    for _ in range(times):
        file = files[rng.integers(len(files))]
        content = file.read_bytes()
        file.write_bytes(damage(content, rng))
        try:
            read = data.load(str(path), options)
        except InputError:
            num_refused += 1
        else:
            assert not [p for episode in read.episodes for p in problems(episode)]
            assert fingerprint(read) == whole or not has_checksums
        file.write_bytes(content)
    assert num_refused > 0


@pytest.mark.filterwarnings("ignore::rlp.errors.DataWarning")
@pytest.mark.parametrize("name", EVERY)
def test_damaged_files_are_refused_or_read(name: str, tmp_path: Path, episodes: EpisodeSet):
    check_damaged(sample(name, tmp_path, episodes), 30, name.split("/")[0] in CHECKSUMS)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::rlp.errors.DataWarning")
@pytest.mark.parametrize("name", EVERY)
def test_files_damaged_a_thousand_times_are_refused_or_read(
    name: str, tmp_path: Path, episodes: EpisodeSet
):
    check_damaged(sample(name, tmp_path, episodes), 1000, name.split("/")[0] in CHECKSUMS)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::rlp.errors.DataWarning")
@pytest.mark.parametrize(
    "name",
    [
        "cs285/expert_data_HalfCheetah-v4.pkl", "minari/D4RL/door/human-v2",
        "walker/walker-run-sac-medium-replay",
    ],
)  # fmt: skip
def test_real_files_damaged_a_thousand_times_are_refused_or_read(
    name: str, tmp_path: Path, shared_data: Path
):
    copy = tmp_path / Path(name).name
    is_folder = (shared_data / name).is_dir()
    (shutil.copytree if is_folder else shutil.copy)(shared_data / name, copy)
    check_damaged(copy, 1000, has_checksums=name.startswith("walker"))
