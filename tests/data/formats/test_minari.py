"""Minari's data sets: a real one, and what its own package makes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import gymnasium
import h5py
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from rlp import data
from rlp.data.episodes import EpisodeSet
from rlp.data.formats import minari as format_minari
from rlp.errors import InputError
from tests.data.formats.test_samples import SAMPLES


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


def test_its_own_package_reads_the_same(shared_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(shared_data / "minari"))
    theirs = minari.load_dataset("D4RL/door/human-v2")
    ours = data.load(str(shared_data / "minari" / "D4RL" / "door" / "human-v2"))
    for episode, each in zip(ours.episodes, theirs.iterate_episodes(), strict=True):
        np.testing.assert_allclose(episode.observation, np.asarray(each.observations), rtol=1e-6)
        np.testing.assert_allclose(episode.action, each.actions, atol=1e-6)
        np.testing.assert_allclose(episode.reward, each.rewards, rtol=1e-6)
        assert episode.terminated == bool(each.terminations[-1])


def test_a_set_that_minari_keeps_is_found_by_its_name(
    tmp_path: Path, episodes: EpisodeSet, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))

    def download(dataset_id: str) -> None:
        assert dataset_id == "toy/walker/medium-v0"
        (tmp_path / dataset_id).mkdir(parents=True)
        format_minari.write(tmp_path / dataset_id, episodes)

    monkeypatch.setattr(minari, "download_dataset", download)
    name = "minari:toy/walker/medium-v0"
    assert data.load(name).name == name
    monkeypatch.delattr(minari, "download_dataset")  # it is there now
    assert len(data.load(name).episodes) == len(episodes.episodes)
    assert data.load_physics(name) is None
    with pytest.raises(InputError, match=r"no data set .*v1, and Minari did not download"):
        data.load("minari:toy/walker/medium-v1")


def test_what_is_written_its_own_package_reads(tmp_path: Path, episodes: EpisodeSet):
    data_set = replace(episodes, env="gym:HalfCheetah-v5")
    format_minari.write(tmp_path, data_set)
    theirs = minari.MinariDataset(tmp_path / "data")
    assert theirs.spec.env_spec is not None
    assert theirs.spec.env_spec.id == "HalfCheetah-v5"
    for episode, each in zip(episodes.episodes, theirs.iterate_episodes(), strict=True):
        np.testing.assert_array_equal(episode.observation, np.asarray(each.observations))
        np.testing.assert_array_equal(episode.action, each.actions)
        assert episode.terminated == each.terminations[-1] == (not each.truncations[-1])
    assert data.load(str(tmp_path)).env == "gym:HalfCheetah-v5"


@pytest.mark.parametrize("kind", ["hdf5", "arrow"])
def test_an_observation_of_parts_is_put_together_in_their_order(tmp_path: Path, kind: str):
    parts = {"goal": 2, "achieved": 1}
    space = gymnasium.spaces.Dict(
        [(name, gymnasium.spaces.Box(-9, 9, (dim,), np.float64)) for name, dim in parts.items()]
    )
    storage = MinariStorage.new(
        tmp_path, space, gymnasium.spaces.Box(-1, 1, (1,), np.float32), data_format=kind
    )
    columns = {"goal": np.arange(6.0).reshape(3, 2), "achieved": -np.ones((3, 1))}
    buffer = EpisodeBuffer(
        id=0, observations=columns, actions=[np.zeros(1, np.float32)] * 2, rewards=[0.0, 1.0],
        terminations=[False, True], truncations=[False, False],
    )  # fmt: skip
    storage.update_episodes([buffer])
    (episode,) = data.load(str(tmp_path)).episodes
    in_order = [columns[name] for name in space.spaces]
    np.testing.assert_array_equal(episode.observation, np.hstack(in_order))


def test_discrete_actions_become_one_hots(tmp_path: Path):
    storage = MinariStorage.new(
        tmp_path / "data",
        gymnasium.spaces.Box(-1, 1, (3,), np.float32),
        gymnasium.spaces.Discrete(4, start=2),
        None,
        data_format="hdf5",
    )
    buffer = EpisodeBuffer(
        id=0, observations=list(np.zeros((4, 3), np.float32)), actions=[2, 5, 3],
        rewards=[0.0] * 3, terminations=[False] * 3, truncations=[False, False, True],
    )  # fmt: skip
    storage.update_episodes([buffer])
    read = data.load(str(tmp_path))
    assert read.discrete
    np.testing.assert_array_equal(read.episodes[0].action, np.eye(4)[[0, 3, 1]])
    described = tmp_path / "data" / "metadata.json"
    metadata = json.loads(described.read_text())
    for space, message in (
        ('{"type": "Discrete", "n": 3, "start": 2}', r"must be 0, 1, \.\.\. below 3"),
        ('{"type": "MultiDiscrete", "nvec": [3]}', "actions must be vectors of numbers, not .*Mul"),
    ):
        described.write_text(json.dumps({**metadata, "action_space": space}))
        with pytest.raises(InputError, match=message):
            data.load(str(tmp_path))


def test_an_episode_without_its_file_is_named(tmp_path: Path):
    shutil.copytree(SAMPLES / "minari_arrow", tmp_path / "a")
    (tmp_path / "a" / "data" / "1" / "part-0.arrow").unlink()
    with pytest.raises(InputError, match=r"data/1: 0 files of an episode, instead of one"):
        data.load(str(tmp_path / "a"))


def test_a_flag_within_an_episode_cuts_it(tmp_path: Path):
    shutil.copytree(SAMPLES / "minari_hdf5", tmp_path / "a")
    with h5py.File(tmp_path / "a" / "data" / "main_data.hdf5", "a") as file:
        terminations = file["episode_0/terminations"]
        assert isinstance(terminations, h5py.Dataset)
        terminations[1] = True
        stored = np.asarray(file["episode_0/observations"])
    read = data.load(str(tmp_path / "a"))
    assert read.lengths.tolist()[:2] == [2, 3]
    assert read.episodes[0].terminated
    np.testing.assert_array_equal(read.episodes[1].observation, stored[2:])
