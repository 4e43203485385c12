import numpy as np
import pytest

from rlp import envs
from rlp.errors import InputError

NAME = "walker-walk+walker-run"


def test_each_copy_is_what_its_task_alone_is():
    both, alone = envs.make(NAME, 4), [envs.make(name, 2) for name in NAME.split("+")]
    assert (both.num_envs, both.observation_dim, both.action_dim) == (4, 26, 6)
    action = np.random.default_rng(0).uniform(-1, 1, (4, 6))
    observation = both.reset([1, 1, 2, 2])
    expected = [env.reset([1, 2]) for env in alone]
    for _ in range(2):
        for task in (0, 1):
            np.testing.assert_array_equal(observation[task::2, :-2], expected[task])
            np.testing.assert_array_equal(observation[task::2, -2:], np.eye(2)[[task, task]])
            np.testing.assert_array_equal(both.physics()[task::2], alone[task].physics())
        outcome = both.step(action)
        outcomes = [env.step(action[task::2]) for task, env in enumerate(alone)]
        for task, each in enumerate(outcomes):
            np.testing.assert_array_equal(outcome.reward[task::2], each.reward)
            np.testing.assert_array_equal(outcome.truncated[task::2], each.truncated)
        observation, expected = outcome.observation, [each.observation for each in outcomes]


def test_one_copy_begins_again_and_the_others_go_on():
    both, alone = envs.make(NAME, 4), envs.make("walker-run", 2)
    both.reset([1, 1, 2, 2])
    alone.reset([1, 2])
    action = np.full((4, 6), 0.3)
    last = both.step(action).observation
    alone.step(action[:2])
    observation = both.reset([9], [3])  # the second of walker-run
    np.testing.assert_array_equal(observation[:3], last[:3])
    np.testing.assert_array_equal(observation[1::2, :-2], alone.reset([9], [1]))
    assert (last[3] != observation[3]).any()  # what was returned before is as it was


def test_tasks_of_other_widths_are_refused():
    with pytest.raises(InputError, match="differ in observation and action widths"):
        envs.make("walker-walk+cheetah-run", 2)
