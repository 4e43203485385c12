from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import dqn, dt, iql
from rlp.data.dataset import Normalizer
from rlp.envs.gymnax import from_gymnax
from rlp.envs.jax_env import JaxVector
from rlp.evaluation import device_rollout, policy, rollout
from rlp.evaluation.policy import Policy
from rlp.training import population
from rlp.types import UNKNOWN
from tests.envs.made_envs import NewWalk, Walk

SEEDS = [3, 4, 5, 6]
CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "choices": (Walk(), dqn, {"hidden_dims": (8,)}),
    "numbers": (NewWalk(), iql, {"hidden_dims": (8,)}),
    "memory": (NewWalk(), dt, {"embed_dim": 8, "num_layers": 1, "num_heads": 1, "context": 4}),
}


def policies(env: JaxVector, algo: Any, settings: dict[str, Any]) -> Policy:
    configs = [algo.Config(**settings)] * 2
    configs, _, states = population.init(algo, configs, [0, 1], env.env.spec, UNKNOWN)
    normalizer = Normalizer(jnp.array([1.0, 2.0]), jnp.array([2.0, 3.0]))
    return policy.from_states(algo, configs, states, normalizer, np.array([0.5, 0.0]))


@pytest.mark.parametrize("case", CASES)
def test_a_scan_plays_the_episodes_that_stepping_plays(case: str):
    made, algo, settings = CASES[case]
    env = JaxVector(from_gymnax(made), 2 * len(SEEDS))
    acting, targets = policies(env, algo, settings), np.arange(4.0)
    keys = jax.random.split(jax.random.key(0), 2)
    act = rollout.actor(algo, env.env.spec, acting, targets, keys)
    stepped = rollout.rollout(act, env, SEEDS * 2).values.reshape(2, 4)
    seeds = jnp.asarray(SEEDS, jnp.uint32)
    given = (algo, env.env.spec, acting, env.env, seeds, jnp.asarray(targets), keys)
    found, _ = device_rollout.evaluate(*given)
    np.testing.assert_allclose(found, stepped, atol=1e-5)
    assert len(np.unique(stepped.round(4))) > 1
    one_acts = rollout.evaluate(
        algo, env.env.spec, acting, env, SEEDS, target=targets, acts=np.array([False, True])
    )
    assert np.isnan(one_acts.values[0]).all()
    np.testing.assert_allclose(one_acts.values[1], stepped[1], atol=1e-5)


def test_episodes_follow_each_other():
    """An environment's second episode is that of a new environment with its seed."""
    made, algo, settings = CASES["choices"]
    env = JaxVector(from_gymnax(made), 2 * len(SEEDS))
    acting, targets = policies(env, algo, settings), jnp.zeros(4)
    keys = jax.random.split(jax.random.key(0), 2)
    seeds = jnp.asarray(SEEDS, jnp.uint32)
    given = (algo, env.env.spec, acting, env.env)
    steps = device_rollout.collect(*given, seeds, targets, keys, 14)
    ended = np.asarray(steps.terminated | steps.truncated)
    assert ended.any(axis=0).all()
    for number in range(2):
        values, _ = device_rollout.evaluate(*given, seeds + 4 * number, targets, keys)
        for member, env_number in np.ndindex(2, 4):
            [ends] = np.nonzero(ended[:, member, env_number])
            first = 0 if number == 0 else ends[number - 1] + 1
            reward = steps.reward[first : ends[number] + 1, member, env_number]
            np.testing.assert_allclose(reward.sum(), values[member, env_number], atol=1e-5)
    follows = ~ended[:-1]
    np.testing.assert_array_equal(
        np.asarray(steps.next_observation)[:-1][follows], np.asarray(steps.observation)[1:][follows]
    )
