"""OGBench's environments; its package is no dependency, so most of this is skipped without it."""

import warnings

import numpy as np
import pytest

from rlp import envs
from rlp.envs import ogbench
from rlp.errors import InputError

TASK = "og:cube-single-play-singletask-task1-v0"


def test_names_of_data_and_of_environments():
    assert ogbench.data_name(TASK) == "cube-single-play-v0"
    assert (
        ogbench.data_name("og:antmaze-large-navigate-singletask-v0") == "antmaze-large-navigate-v0"
    )
    assert ogbench._gymnasium_id(TASK) == "cube-single-singletask-task1-v0"
    assert (
        ogbench._gymnasium_id("og:antmaze-large-singletask-task3-v0")
        == "antmaze-large-singletask-task3-v0"
    )
    with pytest.raises(InputError, match="single tasks are learned, not goals"):
        envs.make("og:cube-single-play-v0")


@pytest.mark.slow
def test_copies_of_an_environment_are_apart_and_the_same_as_others():
    package = pytest.importorskip("ogbench", reason="OGBench is not installed")
    env = envs.make(TASK, 3)
    first = env.reset([1, 2, 1])
    np.testing.assert_array_equal(first[0], first[2])
    assert np.abs(first[0] - first[1]).max() > 0.01
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = package.make_env_and_datasets(TASK.removeprefix("og:"), env_only=True)
    alone.reset(seed=1)
    rng = np.random.default_rng(0)
    for action in rng.uniform(-1, 1, (19, 3, 5)):
        env.step(action)
        alone.step(action[0])
    action = rng.uniform(-1, 1, (3, 5))
    outcome = env.step(action)
    expected, reward, *_ = alone.step(action[0])
    np.testing.assert_array_equal(outcome.observation[0], expected)
    assert outcome.reward[0] == reward
    assert np.abs(outcome.observation[0] - outcome.observation[2]).max() > 1e-3
    assert envs.measures_of(env)["success"].tolist() == [False] * 3


@pytest.mark.slow
def test_an_unknown_task_names_the_nearest():
    pytest.importorskip("ogbench", reason="OGBench is not installed")
    with pytest.raises(InputError, match="did you mean og:cube-single-singletask-task1-v0"):
        envs.make("og:cube-singel-play-singletask-task1-v0")
