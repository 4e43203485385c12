"""RLDS and RL Unplugged, beyond what the samples show."""

import struct
from pathlib import Path

import numpy as np
import pytest
from dm_control import suite

from rlp import data
from rlp.data.formats import rlds
from rlp.data.tfrecord import read_examples
from rlp.errors import InputError
from tests.data.formats.test_samples import SAMPLES


@pytest.mark.parametrize(
    ("domain", "task"),
    [
        ("cartpole", "swingup"), ("cheetah", "run"), ("finger", "turn_hard"), ("fish", "swim"),
        ("humanoid", "run"), ("manipulator", "insert_ball"), ("walker", "walk"),
    ],
)  # fmt: skip
def test_parts_of_an_observation_come_in_dm_controls_order(domain: str, task: str):
    parts = list(suite.load(domain, task).observation_spec())
    named = [f"observation/{part}" for part in parts]
    assert sorted(named, key=rlds._place) == named


def test_the_last_observation_of_tfds_d4rl_sets_counts_as_not_known(tmp_path: Path):
    source = SAMPLES / "rlds" / "rlds" / "1.0.0"
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    described = tmp_path / "dataset_info.json"
    described.write_text(described.read_text().replace("rlds", "d4rl_mujoco_hopper"))
    read = data.load(str(tmp_path))
    assert [len(e.observation) for e in read.episodes] == read.lengths.tolist()


def test_a_record_that_claims_to_be_huge_is_refused(tmp_path: Path):
    path = tmp_path / "train-00000-of-00001"
    path.write_bytes(struct.pack("<Q", 2**60) + bytes(20))
    with pytest.raises(InputError, match="damaged or no TFRecord file"):
        list(read_examples(path))


def test_features_that_are_missing_are_named():
    features = {"steps/reward": np.zeros(3, np.float32)}
    with pytest.raises(InputError, match="here: no feature action; it has steps/reward"):
        rlds._episode(features, "here")


def features(**changed: np.ndarray) -> dict[str, np.ndarray | list[bytes]]:
    rows = np.arange(5)
    columns = {
        "observation": np.arange(10.0), "action": np.ones(5), "reward": np.arange(5.0),
        "discount": np.ones(5), "is_first": rows == 0, "is_last": rows == 4,
        "is_terminal": rows == 4, **changed,
    }  # fmt: skip
    return {f"steps/{name}": column for name, column in columns.items()}


def test_is_terminal_says_whether_an_episode_terminated():
    episode = rlds._episode(features(), "here")
    assert (len(episode.action), len(episode.observation)) == (4, 5)
    assert episode.reward.tolist() == [0, 1, 2, 3]  # those of the last row have no meaning
    assert episode.terminated
    cut_off = features(is_terminal=np.zeros(5, bool), discount=np.array([1, 1, 1, 0, 0.0]))
    assert not rlds._episode(cut_off, "here").terminated
    without = {k: v for k, v in cut_off.items() if k != "steps/is_terminal"}
    assert rlds._episode(without, "here").terminated


@pytest.mark.parametrize(("name", "row"), [("is_first", 2), ("is_last", 1), ("is_terminal", 3)])
def test_a_flag_within_an_episode_is_told(name: str, row: int):
    with pytest.raises(InputError, match=f"here: {name} is set within the episode"):
        rlds._episode(features(**{name: np.arange(5) == row}), "here")
