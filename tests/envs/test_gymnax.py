import importlib.util

import numpy as np
import pytest

from rlp import envs
from rlp.envs.gymnax import from_gymnax
from rlp.envs.jax_env import JaxVector
from rlp.errors import InputError
from tests.envs.made_envs import NewWalk, Params, Walk

RIGHT, LEFT = np.array([0.0, 1.0]), np.array([1.0, 0.0])


def test_choices_move_and_the_task_or_the_clock_ends_the_episode():
    env = JaxVector(from_gymnax(Walk()), 2)
    assert (env.observation_dim, env.action_dim, env.max_episode_steps) == (2, 2, 6)
    assert env.action_space == envs.Choices(2)
    first = env.reset([1, 2])
    outcomes = [env.step(np.stack([RIGHT, LEFT])) for _ in range(6)]
    ends = np.array([[*each.terminated, *each.truncated] for each in outcomes])
    assert ends[:3, 0].tolist() == [False, False, True]  # .. 3 from [0, 1) on
    assert ends[:, 1].tolist() == [False] * 6
    assert ends[:, 3].tolist() == [False] * 5 + [True]
    np.testing.assert_allclose(outcomes[2].observation[:, 0], first[:, 0] + [3, -3], atol=1e-6)
    np.testing.assert_allclose(outcomes[2].reward, first[:, 0] + [3, -3], atol=1e-6)


def test_numbers_are_scaled_and_a_termination_in_the_last_step_is_one():
    env = JaxVector(from_gymnax(NewWalk(), Params(max_steps_in_episode=2)), 3)
    assert isinstance(env.action_space, envs.Bounds)
    assert [end.tolist() for end in env.action_space] == [[-2], [2]]
    first = env.reset([1, 2, 3])
    action = np.array([[1.0], [0.25], [-1.0]])
    outcome = env.step(action)
    np.testing.assert_allclose(outcome.observation[:, 0], first[:, 0] + 2 * action[:, 0], atol=1e-6)
    outcome = env.step(action)
    assert outcome.terminated.tolist() == [True, False, False]
    assert outcome.truncated.tolist() == [False, True, True]
    narrow = envs.Bounds(np.array([-1.0]), np.array([1.0]))
    env = JaxVector(from_gymnax(NewWalk(), bounds=narrow), 1)
    first = env.reset([1])
    assert env.step(action[:1]).observation[0, 0] == pytest.approx(first[0, 0] + 1)


def test_an_environment_without_a_time_limit_is_refused():
    with pytest.raises(InputError, match="Walk: its params have no max_steps_in_episode"):
        from_gymnax(Walk(), params=())


@pytest.mark.skipif(importlib.util.find_spec("gymnax") is not None, reason="gymnax is installed")
def test_a_missing_package_is_named():
    with pytest.raises(InputError, match="gymnax is not installed"):
        envs.make("gymnax:CartPole-v1")
