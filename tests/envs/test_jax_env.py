import chex
import jax
import numpy as np
import pytest

from rlp.envs import jax_env
from rlp.envs.gymnax import from_gymnax
from rlp.envs.jax_env import JaxVector
from tests.envs.made_envs import NewWalk

ACTION = np.array([[0.5], [-0.25], [1.0]])


@pytest.fixture
def env() -> JaxVector:
    return JaxVector(from_gymnax(NewWalk()), 3)


def test_a_seed_fixes_the_episode_whatever_came_before(env: JaxVector):
    first = env.reset([3, 4, 3])
    np.testing.assert_array_equal(first[0], first[2])
    assert (first[0] != first[1]).any()
    env.step(ACTION)
    np.testing.assert_array_equal(env.reset([4, 3, 3]), first[[1, 0, 2]])


def test_without_seeds_the_randomness_goes_on(env: JaxVector):
    found = [env.reset([3, 4, 5]), env.reset(), env.reset()]
    assert len(np.unique(np.stack(found)[..., 0])) == 9
    again = [env.reset([3, 4, 5]), env.reset(), env.reset()]
    np.testing.assert_array_equal(again, found)


def test_an_environment_that_begins_again_leaves_the_others_as_they_are(env: JaxVector):
    first = env.reset([3, 4, 5])
    last = env.step(ACTION).observation
    kept, state = last.copy(), env.physics()
    observation = env.reset([4], [2])
    np.testing.assert_array_equal(observation[:2], last[:2])
    np.testing.assert_array_equal(observation[2], first[1])
    np.testing.assert_array_equal(env.physics()[:2], state[:2])
    np.testing.assert_array_equal(last, kept)  # what was returned before is as it was
    found = env.step(ACTION)
    assert found.observation[:, 1].tolist() == [2, 2, 1]  # each has its own clock


def test_the_vector_is_the_functions_batched(env: JaxVector):
    seeds = np.array([3, 4, 5], np.uint32)
    found = [env.reset(seeds.tolist())]
    found += [env.step(ACTION).observation for _ in range(2)]
    for i, seed in enumerate(seeds):
        state, observation = jax_env.begin(env.env, seed)
        np.testing.assert_array_equal(found[0][i], observation)
        for count in range(2):
            state, step = jax_env.advance(
                env.env, state, jax.numpy.asarray(ACTION[i]), seed, jax.numpy.int32(count)
            )
            np.testing.assert_allclose(found[count + 1][i], step.observation, rtol=1e-6)


def test_an_environment_made_of_the_same_functions_is_not_compiled_again():
    one = from_gymnax(NewWalk())
    other = jax_env.JaxEnv(one.params._replace(end=2.0), one.reset, one.step, one.spec, one.bounds)
    begin = jax.jit(chex.assert_max_traces(jax_env.begin, n=1))
    for env in (one, other):
        begin(env, np.uint32(0))
