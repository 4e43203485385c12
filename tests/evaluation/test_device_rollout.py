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
    stepped = rollout.evaluate(algo, env.env.spec, acting, env, SEEDS, target=targets).values
    keys = jax.random.split(jax.random.key(0), 2)
    seeds = jnp.asarray(SEEDS, jnp.uint32)
    given = (algo, env.env.spec, acting, env.env, seeds, jnp.asarray(targets), keys)
    found = device_rollout.returns(*given)
    np.testing.assert_allclose(found, stepped, atol=1e-5)
    assert len(np.unique(stepped.round(4))) > 1
    steps = device_rollout.episodes(*given)
    assert steps.observation.shape == (6, 2, 4, 2)
    total = jnp.where(steps.running, steps.reward, 0).sum(axis=0)
    np.testing.assert_allclose(total, found, atol=1e-5)
    ended = (steps.terminated | steps.truncated) & steps.running
    assert (ended.sum(axis=0) == 1).all()
    np.testing.assert_array_equal(steps.next_observation[:-1], steps.observation[1:])
