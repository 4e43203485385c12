import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.nn.distributions import tanh_normal_log_prob


def test_saturated_actions_have_finite_densities_and_gradients():
    mean, log_std = jnp.zeros((2, 3)), jnp.zeros((2, 3))
    action = jnp.array([[1.0, -1.0, 0.0]] * 2)
    gradient = jax.grad(lambda m: tanh_normal_log_prob(m, log_std, action).sum())(mean)
    assert np.isfinite(tanh_normal_log_prob(mean, log_std, action)).all()
    assert np.isfinite(gradient).all()


def test_the_density_integrates_to_one():
    action = jnp.linspace(-0.9999, 0.9999, 20001)[:, None]
    mean, log_std = jnp.full_like(action, 0.3), jnp.full_like(action, -0.7)
    density = jnp.exp(tanh_normal_log_prob(mean, log_std, action))
    assert float(jnp.trapezoid(density, action[:, 0])) == pytest.approx(1, abs=1e-3)
