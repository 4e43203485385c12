"""Data made in Python: every problem is told at once."""

from typing import Any

import numpy as np
import pytest

from rlp import data
from rlp.data.episodes import Episode
from rlp.errors import InputError
from tests.conftest import make_episode


def test_episodes_are_a_data_set():
    made = [make_episode(5), make_episode(7, seed=1)]
    read = data.from_episodes(made, env="walker-walk", name="mine")
    assert (read.name, read.env, read.lengths.tolist()) == ("mine", "walker-walk", [5, 7])


def test_every_problem_is_told_at_once():
    good = make_episode(5)
    made = [
        good._replace(action=2 * np.ones((5, 2)), reward=np.full(5, np.nan)),
        good,
        good._replace(observation=good.observation[:3]),
    ]
    with pytest.raises(InputError) as raised:
        data.from_episodes(made)
    lines = str(raised.value).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("episodes, episode 0: reward has 5 NaN")
    assert lines[1].startswith("episodes, episode 0: actions reach 2")
    assert lines[2].startswith("episodes, episode 2: 5 actions do not fit 3 observations")


def test_flat_columns_end_where_a_flag_is_set():
    observation = np.arange(12.0).reshape(6, 2)
    ended, cut = np.arange(6) == 1, np.arange(6) == 3
    action, reward = np.zeros((6, 1)), np.ones((6, 1))
    following = observation + 2
    following[3] += 0.5
    read = data.from_arrays(observation, action, reward, ended, cut, following)
    assert read.lengths.tolist() == [2, 2, 2]
    assert [e.terminated for e in read.episodes] == [True, False, False]
    np.testing.assert_array_equal(read.episodes[1].observation, [*observation[2:4], following[3]])
    without = data.from_arrays(observation, action, reward, ended, cut)
    assert [len(e.observation) for e in without.episodes] == [2, 2, 2]
    with pytest.raises(InputError, match="a row for each step"):
        data.from_arrays(observation[:4], action, reward, ended, cut)


def test_nothing_is_no_data():
    empty = Episode(np.zeros((1, 2)), np.zeros((0, 1)), np.zeros(0), False)
    with pytest.raises(InputError, match="episode 0: the episode has no steps"):
        data.from_episodes([empty])
    with pytest.raises(InputError, match="no episodes"):
        data.from_episodes([])


def test_whole_numbers_are_discrete_actions():
    flags = np.zeros(4, bool)
    read = data.from_arrays(np.zeros((4, 3)), np.array([0, 2, 1, 0]), np.zeros(4), flags, flags)
    assert read.discrete
    np.testing.assert_array_equal(read.episodes[0].action, np.eye(3)[[0, 2, 1, 0]])
    with pytest.raises(InputError, match=r"must be 0, 1, \.\.\."):
        data.from_arrays(np.zeros((4, 3)), np.array([0, -2, 1, 0]), np.zeros(4), flags, flags)
    with pytest.raises(InputError, match="1,000,001 discrete actions"):
        data.from_arrays(np.zeros((4, 3)), np.array([0, 10**6, 1, 0]), np.zeros(4), flags, flags)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"terminated": "False"}, "episode 0, terminated: one flag, 0 or 1, not False"),
        ({"terminated": np.nan}, "terminated: one flag, 0 or 1, not nan"),
        ({"terminated": np.zeros(5, bool)}, "terminated: one flag"),
        ({"action": [[0.0], [0.0, 1.0]]}, "action: its rows are not equally long"),
        ({"reward": np.ma.masked_less(np.arange(5.0), 2)}, "reward: some of its values are masked"),
    ],
)
def test_what_an_episode_cannot_have_is_named(change: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        data.from_episodes([make_episode(5)._replace(**change)])


def test_problems_of_many_episodes_are_counted():
    made = [make_episode(1)._replace(action=np.full((1, 2), 3.0))] * 100
    with pytest.raises(InputError, match="and 70 more"):
        data.from_episodes(made)


def test_an_episode_is_an_episode():
    with pytest.raises(InputError, match="episode 0: not an Episode but dict"):
        data.from_episodes([{"observation": 1}])  # pyright: ignore[reportArgumentType] - the point
