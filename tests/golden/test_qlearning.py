"""D4RL's flat files: every stored transition, and what `d4rl.qlearning_dataset` keeps of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from rlp import data
from rlp.data.dataset import make_dataset, unit_normalizer
from rlp.data.episodes import EpisodeSet, drop_last_successors
from rlp.data.options import AS_STORED, ReadOptions

pytestmark = pytest.mark.golden


def write(
    path: Path,
    vectors: Any,
    without: tuple[str, ...] = (),
    options: ReadOptions = AS_STORED,
) -> EpisodeSet:
    """Writes the stored file and reads it back; actions are brought into [-1, 1]."""
    names = [n for n in vectors.files if n.startswith("file_") and n[5:] not in without]
    with h5py.File(path, "w") as file:
        for name in names:
            array = vectors[name] / scale(vectors) if name == "file_actions" else vectors[name]
            file.create_dataset(name[5:], data=array, compression="gzip")
    return data.load(str(path), options)


def scale(vectors: Any) -> np.ndarray:
    return np.maximum(np.abs(vectors["file_actions"]).max(), 1)


def transitions(read: EpisodeSet) -> dict[str, np.ndarray]:
    dataset = make_dataset(read, unit_normalizer(read.episodes[0].observation.shape[1]))
    rows = np.asarray(dataset.transition_rows)
    return {
        "observations": np.asarray(dataset.observation)[rows],
        "actions": np.asarray(dataset.action)[rows],
        "rewards": np.asarray(dataset.reward)[rows],
        "next_observations": np.asarray(dataset.observation)[rows + 1],
        "discount_mask": np.asarray(dataset.discount)[rows],
    }


def test_every_row_with_a_stored_successor_is_a_transition(
    golden: Callable[[str], Any], tmp_path: Path
):
    vectors = golden("qlearning")
    read = write(tmp_path / "a.hdf5", vectors)
    found = transitions(read)
    for name, values in found.items():
        expected = vectors[f"stored_{name}"]
        expected = expected / scale(vectors) if name == "actions" else expected
        np.testing.assert_array_equal(values, expected.astype(np.float32), err_msg=name)
    assert (
        np.cumsum(read.lengths).tolist()
        == (np.flatnonzero(vectors["stored_episode_end"]) + 1).tolist()
    )


@pytest.mark.parametrize("without", [(), ("next_observations",)])
def test_d4rl_compat_is_what_d4rl_keeps(
    golden: Callable[[str], Any], tmp_path: Path, without: tuple[str, ...]
):
    vectors = golden("qlearning")
    found = transitions(drop_last_successors(write(tmp_path / "a.hdf5", vectors, without)))
    crosses = vectors["d4rl_next_crosses_episode"]  # masked there, never drawn here
    for name in ("observations", "actions", "rewards"):
        expected = vectors[f"d4rl_{name}"]
        expected = expected / scale(vectors) if name == "actions" else expected
        np.testing.assert_array_equal(found[name], expected.astype(np.float32), err_msg=name)
    np.testing.assert_array_equal(found["discount_mask"], 1 - vectors["d4rl_terminals"])
    np.testing.assert_array_equal(
        found["next_observations"][~crosses], vectors["d4rl_next_observations"][~crosses]
    )


def test_episodes_are_those_of_d4rls_sequences(golden: Callable[[str], Any], tmp_path: Path):
    """All but the unfinished tail, which D4RL drops."""
    vectors = golden("qlearning")
    read = write(tmp_path / "a.hdf5", vectors)
    finished = len(vectors["sequence_lengths"])
    assert read.lengths[:finished].tolist() == vectors["sequence_lengths"].tolist()
    np.testing.assert_allclose(read.returns[:finished], vectors["sequence_returns"], rtol=1e-5)


def test_a_file_without_timeouts_ends_episodes_at_the_time_limit(
    golden: Callable[[str], Any], tmp_path: Path
):
    vectors = golden("qlearning")
    limit = int(vectors["max_episode_steps"])
    options = ReadOptions(episode_length=limit)
    read = write(tmp_path / "a.hdf5", vectors, ("timeouts", "next_observations"), options)
    assert read.lengths.max() <= limit
    ended = np.cumsum(read.lengths) - 1
    terminal = np.flatnonzero(vectors["file_terminals"])
    assert set(terminal) <= set(ended)
    for episode, row in zip(read.episodes, ended, strict=True):
        full = len(episode.action) == limit
        assert full or row in terminal or row == len(vectors["file_terminals"]) - 1
