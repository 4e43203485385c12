import sys
import warnings

import gymnasium
import numpy as np
import pytest

from rlp import envs
from rlp.envs import Simulator
from rlp.errors import InputError

SEEDS = (5, 9, 5)


def reference(name: str) -> gymnasium.Env:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return gymnasium.make(name)


def test_of_discrete_actions_the_largest_is_taken():
    env, other = envs.make("gym:CartPole-v1", 2), reference("CartPole-v1")
    assert env.action_dim == 2
    env.reset([3, 4])
    other.reset(seed=4)
    for action in ([0.1, 0.9], [0.6, -0.2]):
        outcome = env.step(np.array([[1.0, 0.0], action]))
        expected, *_ = other.step(int(np.argmax(action)))
        np.testing.assert_array_equal(outcome.observation[1], expected)


@pytest.mark.parametrize("name", ["HalfCheetah-v5", "Hopper-v4", "Pendulum-v1"])
def test_bit_for_bit_as_stepping_gymnasium(name: str):
    env = envs.make(f"gym:{name}", len(SEEDS))
    references = [reference(name) for _ in SEEDS]
    spaces = [r.action_space for r in references]
    rng = np.random.default_rng(0)
    first = env.reset(SEEDS)
    expected = [r.reset(seed=seed)[0] for r, seed in zip(references, SEEDS, strict=True)]
    np.testing.assert_array_equal(first, expected)
    running = np.ones(len(SEEDS), bool)
    for _ in range(40):
        action = rng.uniform(-1, 1, (len(SEEDS), env.action_dim))
        outcome = env.step(action)
        for i in np.flatnonzero(running):
            space = spaces[i]
            assert isinstance(space, gymnasium.spaces.Box)
            center = (space.high.astype(float) + space.low) / 2
            scaled = center + (space.high.astype(float) - space.low) / 2 * action[i]
            observation, reward, terminated, truncated, _ = references[i].step(scaled)
            np.testing.assert_array_equal(outcome.observation[i], observation)
            assert outcome.reward[i] == reward
            assert (outcome.terminated[i], outcome.truncated[i]) == (terminated, truncated)
            running[i] = not (terminated or truncated)
    if name == "Hopper-v4":
        assert not running.all()  # one fell: terminations were compared, too


@pytest.mark.parametrize("name", ["HalfCheetah-v5", "Hopper-v4", "Pendulum-v1"])
def test_an_invalid_simulation_ends_its_own_episode(name: str):
    """MuJoCo would go on from its initial state, and Pendulum with NaN."""
    one, other = envs.make(f"gym:{name}", 2), envs.make(f"gym:{name}", 2)
    first = one.reset([0, 1])
    other.reset([0, 1])
    action = np.full((2, one.action_dim), 0.5)
    broken = action.copy()
    broken[1] = np.nan
    for _ in range(2):
        outcome, expected = one.step(broken), other.step(action)
        for found, wanted in zip(outcome, expected, strict=True):
            np.testing.assert_array_equal(np.asarray(found)[0], np.asarray(wanted)[0])
        np.testing.assert_array_equal(outcome.observation[1], first[1])
        assert (outcome.reward[1], outcome.terminated[1]) == (0, True)
        assert np.asarray(outcome.invalid).tolist() == [False, True]
    np.testing.assert_array_equal(one.reset([0, 1]), first)
    assert not np.any(one.step(action).invalid)


def test_an_ended_episode_waits_for_its_reset():
    env = envs.make("gym:Hopper-v4", 1)
    env.reset([0])
    ended = [bool(env.step(np.ones((1, 3))).terminated[0]) for _ in range(100)]
    assert sum(ended) == 1
    assert env.step(np.ones((1, 3))).reward[0] == 0
    env.reset([0])
    assert env.step(np.ones((1, 3))).reward[0] > 0
    assert env.physics().shape == (1, 12)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gym:Hoper-v4", "did you mean gym:Hopper-v4"),
        ("gym:FrozenLake-v1", "must be vectors"),
        ("gym:Hopper-v99", "Hopper-v99"),
    ],
)
def test_environments_that_cannot_be(name: str, message: str):
    with pytest.raises(InputError, match=message):
        envs.make(name, 1)


@pytest.mark.parametrize(
    "name",
    [
        "HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Swimmer-v5", "Humanoid-v5",
        "InvertedPendulum-v5", "InvertedDoublePendulum-v5", "Reacher-v5",
    ],
)  # fmt: skip
def test_states_are_rebuilt_from_observations(name: str):
    env = envs.make(f"gym:{name}")
    assert isinstance(env, Simulator)
    observation = env.reset([0])[0]
    action = np.random.default_rng(0).uniform(-1, 1, (1, env.action_dim))
    expected = env.step(action).observation
    state = env.rebuild(observation.astype(np.float32))
    assert state is not None
    np.testing.assert_allclose(env.step_from(state, action[0]).observation, expected, atol=1e-4)


def test_a_clipped_velocity_is_not_known():
    env = envs.make("gym:Hopper-v5")
    assert isinstance(env, Simulator)
    observation = env.reset([0])[0]
    observation[-1] = 10
    assert env.rebuild(observation) is None


def test_bounds_of_actions_are_the_environments_or_given():
    low, high = (np.asarray(bound) for bound in envs.action_space("gym:Humanoid-v5"))
    assert (-low).tolist() == high.tolist() == pytest.approx([0.4] * 17)
    assert envs.action_space("gym:CartPole-v1") == envs.Choices(2, 0)
    with pytest.raises(InputError, match=r"no environment Humanoid-v5 \(did you mean gym:Humanoid"):
        envs.action_space("Humanoid-v5")
    narrow = envs.Bounds(np.array([-1.0]), np.array([1.0]))
    wide, half = (envs.make("gym:Pendulum-v1", 1, bounds) for bounds in (None, narrow))
    for env in (wide, half):
        env.reset([0])
    first = wide.step(np.array([[0.25]])).observation
    np.testing.assert_array_equal(half.step(np.array([[0.5]])).observation, first)


@pytest.mark.parametrize(
    "name", ["gym:antigravity:X-v0", "gym::X-v0", "gym:a.b:X-v0", "gym:a:b:X-v0", "gym:X-v0:"]
)
@pytest.mark.parametrize("joined", ["{}", "gym:Pendulum-v1+{}"])
def test_no_name_runs_a_module(name: str, joined: str):
    with pytest.raises(InputError, match=f"environment {name}: a name may not have gymnasium run"):
        envs.make(joined.format(name), 2)
    assert "antigravity" not in sys.modules


def test_an_environment_that_begins_again_leaves_the_others_as_they_are():
    env, other = envs.make("gym:CartPole-v1", 3), envs.make("gym:CartPole-v1", 1)
    env.reset([0, 1, 2])
    for _ in range(4):
        env.step(np.eye(2)[[0, 1, 0]])
    last = env.step(np.eye(2)[[0, 1, 0]])
    observation = env.reset([7], [1])
    np.testing.assert_array_equal(observation[[0, 2]], last.observation[[0, 2]])
    np.testing.assert_array_equal(observation[1], other.reset([7])[0])
    following = env.step(np.eye(2)[[0, 1, 0]])
    np.testing.assert_array_equal(
        following.observation[1], other.step(np.eye(2)[[1]]).observation[0]
    )
