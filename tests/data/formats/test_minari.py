"""Minari's data sets: a real one, and what its own package makes."""

from pathlib import Path

import h5py
import numpy as np

from rlp import data


def test_a_real_minari_set(shared_data: Path):
    path = shared_data / "minari" / "D4RL" / "door" / "human-v2"
    read = data.load(str(path))
    assert (len(read.episodes), read.lengths.sum()) == (25, 6729)
    with h5py.File(path / "data" / "main_data.hdf5") as file:
        for number in (0, 10):
            stored, episode = file[f"episode_{number}"], read.episodes[number]
            assert isinstance(stored, h5py.Group)
            np.testing.assert_allclose(
                np.asarray(stored["observations"]), episode.observation, rtol=1e-6
            )
            np.testing.assert_allclose(np.asarray(stored["actions"]), episode.action, atol=1e-6)
            assert episode.terminated == bool(np.asarray(stored["terminations"])[-1])
