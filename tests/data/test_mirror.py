from dataclasses import replace

import numpy as np
import pytest

from rlp import data, envs
from rlp.data.episodes import Episode, EpisodeSet
from rlp.data.mirror import add_mirror_images
from rlp.errors import InputError

SWAPPED = [0, 1, 2, 6, 7, 8, 3, 4, 5]  # joints of the walker: its root's, right leg's, left leg's


@pytest.mark.parametrize("task", ["walker-walk", "walker-run", "walker-stand"])
def test_the_image_is_an_episode_of_the_simulator(task: str):
    env = envs.make(task)
    assert isinstance(env, envs.Simulator)
    env.reset([3])
    [state] = env.physics()
    twin = state[SWAPPED + [9 + joint for joint in SWAPPED]]
    actions = np.random.default_rng(0).uniform(-1, 1, (40, 6)).astype(np.float32)
    [episode, image] = add_mirror_images(_played(env, task, state, actions)).episodes
    assert np.abs(image.observation - episode.observation).max() > 1
    lived = _played(env, task, twin, image.action).episodes[0]
    np.testing.assert_allclose(image.observation, lived.observation, atol=1e-4)
    np.testing.assert_allclose(image.reward, lived.reward, atol=1e-5)


def _played(env: envs.Simulator, name: str, state: np.ndarray, actions: np.ndarray) -> EpisodeSet:
    observations, rewards = [env.observe(state)], []
    for action in actions:
        outcome = env.step_from(state, action)
        [state] = env.physics()
        observations.append(outcome.observation[0])
        rewards.append(outcome.reward[0])
    episode = Episode(np.array(observations), actions, np.array(rewards), terminated=False)
    return data.from_episodes([episode], env=name)


def test_the_task_behind_the_observation_stays():
    both = data.load("walker-walk/medium+walker-run/medium")
    mirrored = add_mirror_images(both)
    assert mirrored.env == both.env
    np.testing.assert_array_equal(mirrored.tasks, np.tile(both.tasks, 2))
    np.testing.assert_array_equal(mirrored.returns, np.tile(both.returns, 2))
    twice = add_mirror_images(replace(mirrored, episodes=mirrored.episodes[100:]))
    for episode, image in zip(both.episodes, twice.episodes[100:], strict=True):
        np.testing.assert_array_equal(image.observation, episode.observation)
        np.testing.assert_array_equal(image.action, episode.action)


@pytest.mark.parametrize("env", ["cheetah-run", "gym:Walker2d-v5", "", "walker-walk+cheetah-run"])
def test_a_body_that_is_not_known_is_refused(env: str):
    episodes = replace(data.load("walker-walk/medium"), env=env)
    with pytest.raises(InputError, match=r"it is not known how .* is mirrored, only for .* walker"):
        add_mirror_images(episodes)


@pytest.mark.parametrize(
    ("observation_dim", "action_dim"), [(23, 6), (25, 6), (24, 5), (24, 7), (3, 6)]
)
def test_data_that_is_not_of_the_body_is_refused(observation_dim: int, action_dim: int):
    observation, action = np.zeros((11, observation_dim)), np.zeros((10, action_dim))
    episode = Episode(observation, action, np.zeros(10), terminated=False)
    mine = data.from_episodes([episode], env="walker-walk")
    found = f"of {observation_dim} and actions of {action_dim} numbers, walker-walk has 24 and 6"
    with pytest.raises(InputError, match=found):
        add_mirror_images(mine)
