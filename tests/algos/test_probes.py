"""What every algorithm with critics must learn: values, discounts, ends, and the better action."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import cql, iql, rebrac, sac, td3bc
from rlp.nn import networks
from rlp.types import NEVER
from tests.probes import act, bandit, chain, learn

SETTINGS: dict[Any, dict[str, Any]] = {
    cql: {
        "actor_learning_rate": 3e-3,
        "critic_learning_rate": 1e-2,
        "num_actions": 0,
        "bc_updates": 0,
    },
    sac: {"actor_learning_rate": 3e-3, "critic_learning_rate": 1e-2, "backup_entropy": False},
    iql: {"actor_learning_rate": 3e-3, "critic_learning_rate": 1e-2, "value_learning_rate": 1e-2},
    td3bc: {"actor_learning_rate": 3e-3, "critic_learning_rate": 1e-2},
    rebrac: {"actor_learning_rate": 3e-3, "critic_learning_rate": 1e-2, "critic_penalty": 0.0},
}


@pytest.fixture(params=SETTINGS, ids=lambda algo: algo.__name__.split(".")[-1])
def algo(request: pytest.FixtureRequest) -> Any:
    return request.param


def setting(algo: Any, **changed: Any) -> Any:
    shared = {"batch_size": 64, "hidden_dims": (32,), "tau": 0.05, "num_updates": 1500}
    return algo.Config(**{**shared, **SETTINGS[algo], **changed})


def values(config: Any, state: Any, observation: np.ndarray) -> jax.Array:
    """Returns Q [N] of the first critic, of action 0 in each observation [N, O]."""
    network = networks.critics(config.hidden_dims, 2, config.init, config.layer_norm)
    action = jnp.zeros((len(observation), 1))
    return network.apply(state.critic, jnp.asarray(observation), action)[0]


def test_the_value_of_a_step_before_a_reward_is_the_discount(algo: Any):
    config = setting(algo, discount=0.8)
    state, _ = learn(algo, config, chain(2), 1500)
    q = values(config, state, np.eye(3, dtype=np.float32)[:2])
    np.testing.assert_allclose(q, [0.8, 1.0], atol=0.03)


@pytest.mark.parametrize(("terminated", "value"), [(False, 10.0), (True, 1.0)])
def test_a_time_limit_bootstraps_and_a_termination_does_not(
    algo: Any, terminated: bool, value: float
):
    """One state for ever, reward 1: worth 1 / (1 - discount) unless it really ends."""
    action = np.random.default_rng(0).uniform(-1, 1, (200, 1))
    config = setting(algo, discount=0.9)
    state, _ = learn(algo, config, bandit(action, np.ones(200), terminated), 1500)
    q = values(config, state, np.ones((1, 1), np.float32))
    assert q[0] == pytest.approx(value, rel=0.05)


def test_of_two_behaviours_the_better_is_copied(algo: Any):
    action = np.repeat([[-0.5], [0.5]], 100, axis=0)
    config = setting(algo)
    state, _ = learn(algo, config, bandit(action, 5 * action[:, 0]), 1500)
    assert act(algo, config, state) > 0.3


@pytest.mark.parametrize(
    ("name", "shift"), [("max_q a fifth above its bound", 10), ("min_q far below its bound", -10)]
)
def test_q_out_of_its_bounds_raises_the_alarm(
    algo: Any, name: str, shift: float, monkeypatch: pytest.MonkeyPatch
):
    config, init = setting(algo, discount=0.5), algo.init  # bounds of 0 and 2
    _, alarms = learn(algo, config, chain(2), 5)
    assert alarms[name] == NEVER

    def shifted(*arguments: Any) -> Any:
        state = init(*arguments)
        critic = jax.tree.map(
            lambda leaf: leaf + shift if leaf.shape[1:] == (1,) else leaf,  # the last bias
            state.critic,
        )
        return state._replace(critic=critic)

    monkeypatch.setattr(algo, "init", shifted)
    _, alarms = learn(algo, setting(algo, discount=0.5, batch_size=63), chain(2), 5)
    assert alarms[name] == 0
