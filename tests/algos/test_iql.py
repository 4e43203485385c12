import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import iql
from tests.probes import act, bandit, learn


@pytest.mark.parametrize("expectile", [0.5, 0.9])
def test_v_is_the_expectile_of_q_over_actions(expectile: float):
    """Of two actions, equally frequent and worth -1 and 1, it is 2 expectile - 1."""
    action = np.repeat([[-0.5], [0.5]], 100, axis=0)
    config = iql.Config(
        batch_size=1024,
        hidden_dims=(32,),
        value_learning_rate=1e-2,
        critic_learning_rate=1e-2,
        tau=0.05,
        expectile=expectile,
    )
    state, _ = learn(iql, config, bandit(action, np.sign(action[:, 0])), 1500)
    v = iql._value(config, state.value, jnp.ones((1, 1)))
    assert float(v[0]) == pytest.approx(2 * expectile - 1, abs=0.05)


def test_without_temperature_it_clones():
    action = np.repeat([[-0.5], [0.3]], 100, axis=0)
    config = iql.Config(
        hidden_dims=(32,), actor_learning_rate=3e-3, temperature=0.0, num_updates=1000
    )
    state, _ = learn(iql, config, bandit(action, 9 * action[:, 0]), 1000)
    assert act(iql, config, state) == pytest.approx(-0.1, abs=0.03)
    samples = [act(iql, config, state, seed, temperature=1.0) for seed in range(300)]
    assert np.std(samples) == pytest.approx(0.4, abs=0.06)
