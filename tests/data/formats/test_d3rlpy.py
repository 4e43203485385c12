"""d3rlpy's two layouts, written here as its own writer does."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from rlp import data
from rlp.errors import DataWarning

RNG = np.random.default_rng(0)


def test_version_2_has_arrays_of_each_episode(tmp_path: Path):
    path = tmp_path / "a.h5"
    stored = []
    with h5py.File(path, "w") as file:
        file["columns"] = [b"observations", b"actions", b"rewards", b"terminated"]
        file["num_episodes"], file["version"] = 2, "2.1"
        for number, length in enumerate((3, 11)):
            observation, action = RNG.standard_normal((length, 4)), RNG.uniform(-1, 1, (length, 2))
            stored.append((observation, action))
            file[f"observations_{number}"], file[f"actions_{number}"] = observation, action
            file[f"rewards_{number}"] = np.arange(length)[:, None] * 1.0
            file[f"terminated_{number}"] = number == 0
    read = data.load(str(path))
    assert [e.terminated for e in read.episodes] == [True, False]
    assert read.returns.tolist() == [3, 55]
    for episode, (observation, action) in zip(read.episodes, stored, strict=True):
        np.testing.assert_array_equal(episode.observation, observation.astype(np.float32))
        np.testing.assert_array_equal(episode.action, action.astype(np.float32))


def test_version_1_is_flat(tmp_path: Path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["observations"] = RNG.standard_normal((6, 4))
        file["actions"], file["rewards"] = RNG.uniform(-1, 1, (6, 2)), np.ones(6)
        file["terminals"] = np.array([0, 1, 1, 0, 0, 0.0])  # within an episode: counts as little
        file["episode_terminals"] = np.array([0, 0, 1, 0, 1, 0.0])
        file["discrete_action"] = False
    with pytest.warns(DataWarning, match="1 terminals within episodes are left out"):
        read = data.load(str(path))
    assert read.lengths.tolist() == [3, 2, 1]
    assert [e.terminated for e in read.episodes] == [True, False, False]


def test_a_real_file_with_discrete_actions(shared_data: Path):
    path = shared_data / "d3rlpy_v1" / "cartpole_v1.1.0.h5"
    with pytest.warns(DataWarning, match="1,448 terminals"):
        read = data.load(str(path))
    assert read.discrete
    assert len(read.returns) == 1582
    assert round(read.returns.mean(), 2) == 63.13  # every step earns 1
    assert sum(episode.terminated for episode in read.episodes) == 1448  # the others have 199 steps
    with h5py.File(path) as file:
        stored = np.asarray(file["actions"])
    action = np.concatenate([episode.action for episode in read.episodes])
    np.testing.assert_array_equal(action, np.eye(2)[stored])
