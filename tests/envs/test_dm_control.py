from typing import Any

import numpy as np
import pytest
from dm_control import suite

from rlp import envs
from rlp.envs.bodies import BODIES
from rlp.errors import InputError

SEEDS = (5, 9, 5)


@pytest.mark.parametrize("name", ["walker-run", "cheetah-run", "reacher-easy"])
def test_bit_for_bit_as_stepping_dm_control(name: str):
    from dm_control import suite
    from dm_control.rl.control import flatten_observation

    def flat(timestep) -> np.ndarray:
        return flatten_observation(timestep.observation)["observations"]

    env = envs.make(name, len(SEEDS))
    references = [suite.load(*name.split("-"), task_kwargs={"random": seed}) for seed in SEEDS]
    rng = np.random.default_rng(0)
    for seeds in (SEEDS, None):  # the second episode goes on with the generators of the first
        first = env.reset(seeds)
        np.testing.assert_array_equal(first, [flat(r.reset()) for r in references])
        for _ in range(200):
            action = rng.uniform(-1, 1, (len(SEEDS), env.action_dim))
            outcome = env.step(action)
            steps = [r.step(a) for r, a in zip(references, action, strict=True)]
            np.testing.assert_array_equal(outcome.observation, [flat(s) for s in steps])
            np.testing.assert_array_equal(outcome.reward, [s.reward for s in steps])


@pytest.mark.parametrize("name", ["walker-walk", "reacher-easy"])  # read at once, and each
def test_an_invalid_simulation_ends_its_own_episode(name: str):
    one, other = envs.make(name, 2), envs.make(name, 2)
    first = one.reset([0, 1])
    other.reset([0, 1])
    action = np.full((2, one.action_dim), 0.5)
    broken = action.copy()
    broken[1] = np.nan
    for _ in range(2):  # it stands still
        outcome, expected = one.step(broken), other.step(action)
        for found, wanted in zip(outcome, expected, strict=True):
            np.testing.assert_array_equal(np.asarray(found)[0], np.asarray(wanted)[0])
        np.testing.assert_array_equal(outcome.observation[1], first[1])
        assert (outcome.reward[1], outcome.terminated[1], outcome.truncated[1]) == (0, True, False)
        assert np.asarray(outcome.invalid).tolist() == [False, True]
    np.testing.assert_array_equal(one.reset([0, 1]), first)
    assert not np.any(one.step(action).terminated)


def test_a_state_that_cannot_be_simulated_is_an_error():
    from dm_control.rl.control import PhysicsError

    env = envs.make("walker-walk")
    assert isinstance(env, envs.Simulator)
    env.reset([0])
    state = env.physics()[0]
    state[-9:] = 1e12
    with pytest.raises(PhysicsError, match="has become invalid: mjWARN_BADQ"):
        env.step_from(state, np.zeros(6))


def test_the_time_limit_truncates_and_does_not_terminate():
    env = envs.make("walker-walk", 1)
    env.reset([0])
    outcomes = [env.step(np.zeros((1, 6))) for _ in range(1000)]
    assert not any(o.terminated[0] for o in outcomes)
    assert [bool(o.truncated[0]) for o in outcomes] == [False] * 999 + [True]


def test_a_seed_fixes_the_episode_whatever_came_before():
    env = envs.make("walker-walk", 2)
    first = env.reset([3, 4])
    env.step(np.ones((2, 6)))
    np.testing.assert_array_equal(env.reset([3, 4]), first)
    np.testing.assert_array_equal(env.reset([4, 3]), first[::-1])


def test_stored_physics_replay(shared_data):
    """The reader's alignment, proven: action t, taken at state t, gives observation t + 1."""
    from dm_control import suite

    from rlp import data

    folder = shared_data / "walker" / "walker-walk-sac-medium"
    episode = data.load(str(folder)).episodes[0]
    physics = np.load(sorted(folder.glob("*.npz"))[0])["physics"]
    env = suite.load("walker", "walk")
    env.reset()
    for t in (0, 1, 500, 999):
        with env.physics.reset_context():
            env.physics.set_state(physics[t])
        env._reset_next_step = False
        step = env.step(episode.action[t].astype(np.float64))
        flat = np.concatenate([np.ravel(x) for x in step.observation.values()])
        np.testing.assert_allclose(flat, episode.observation[t + 1], atol=1e-5)
        assert step.reward == pytest.approx(episode.reward[t], abs=1e-6)


@pytest.mark.parametrize(("name", "far"), [("walker-walk", 1), ("cheetah-run", 0)])
def test_a_state_is_rebuilt_from_what_is_observed(name: str, far: int):
    """All but how far the body got, which neither what follows nor the reward depends on."""
    env = envs.make(name)
    assert isinstance(env, envs.Simulator)
    rng = np.random.default_rng(0)
    [observation] = env.reset([7])
    for _ in range(200):
        [state], action = env.physics(), rng.uniform(-1, 1, 6)
        rebuilt = env.rebuild(observation.astype(np.float32))
        assert rebuilt is not None
        errors = np.remainder(rebuilt - state + np.pi, 2 * np.pi) - np.pi  # but for whole turns
        np.testing.assert_allclose(np.delete(errors, far), 0, atol=1e-5)
        told, outcome = env.step_from(rebuilt, action), env.step_from(state, action)
        np.testing.assert_allclose(told.observation, outcome.observation, atol=1e-3)
        np.testing.assert_allclose(told.reward, outcome.reward, atol=1e-4)
        [observation] = outcome.observation
    assert abs(env.physics()[0, far]) > 0.1


def test_a_state_is_not_made_up():
    reacher, walker = envs.make("reacher-easy"), envs.make("walker-walk")
    assert isinstance(reacher, envs.Simulator)
    assert isinstance(walker, envs.Simulator)
    assert reacher.rebuild(reacher.reset([0])[0]) is None
    assert walker.rebuild(walker.reset([0])[0][::-1]) is None


def test_an_unknown_name_lists_the_near_ones():
    with pytest.raises(
        InputError, match=r"no environment walker-wlak \(did you mean walker-walk\?\)"
    ):
        envs.make("walker-wlak")


def test_widths_that_do_not_fit_are_refused():
    env = envs.make("cheetah-run")
    with pytest.raises(
        InputError, match=r"my data has observations of 24 .* cheetah-run has 17 and 6"
    ):
        envs.check_widths(env, "cheetah-run", 24, 6, "my data")


def test_domains_of_unit_actions_are_known_without_the_suite():
    unit = set()
    for domain, task in suite.ALL_TASKS:
        spec: Any = suite.load(domain, task).action_spec()
        if np.all(spec.minimum == -1) and np.all(spec.maximum == 1):
            unit.add(domain)
    assert {name for name, body in BODIES.items() if body.unit_actions} == unit
    space: Any = envs.action_space("walker-walk")
    assert space.high.tolist() == [1]
    low, high = (np.asarray(bound) for bound in envs.action_space("quadruped-walk"))
    assert (low[2], high[1]) == pytest.approx((-0.8, 1.1))


def test_an_environment_that_begins_again_has_its_own_time_limit():
    env, alone = envs.make("walker-walk", 2), envs.make("walker-walk", 1)
    env.reset([0, 1])
    action = np.full((2, 6), 0.2)
    for _ in range(9):
        env.step(action)
    last = env.step(action)
    kept = last.observation.copy()
    observation = env.reset([7], [1])
    np.testing.assert_array_equal(last.observation, kept)
    np.testing.assert_array_equal(observation[0], kept[0])
    np.testing.assert_array_equal(observation[1], alone.reset([7])[0])
    for count in range(11, 1011):
        outcome = env.step(action)
        assert outcome.truncated.tolist() == [count >= 1000, count >= 1010]
