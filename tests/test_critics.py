import jax
import jax.numpy as jnp
import numpy as np

from rlp import critics


def test_the_lowest_of_an_ensemble_and_its_gradient():
    q = jnp.array([[1.0, 5.0, 2.0], [3.0, 4.0, 2.0]])
    np.testing.assert_array_equal(critics.lowest(q), [1, 4, 2])
    grads = jax.grad(lambda q: jnp.sum(critics.lowest(q)))(q)
    np.testing.assert_array_equal(grads, [[1, 0, 1], [0, 1, 0]])  # of equal ones, the first


def test_a_soft_clip_bends_at_the_bound_and_nowhere_else():
    q = jnp.array([-1e4, -9.0, 0.0, 3.0, 9.0, 10.0, 12.0, 1e4])
    clipped = critics.soft_clip(q, jnp.float32(10))
    np.testing.assert_allclose(clipped[1:5], q[1:5], atol=0.02)
    assert np.all(np.diff(clipped) >= 0)
    assert np.all(np.abs(clipped) <= 10 * (1 + 1e-6))  # rounding
    slope = jax.vmap(jax.grad(critics.soft_clip), (0, None))(q, jnp.float32(10))
    np.testing.assert_allclose(slope[1:5], 1, atol=0.05)
    np.testing.assert_allclose(slope[jnp.array([0, -1])], 0, atol=1e-6)


def test_a_soft_clip_without_any_reward():
    value, slope = jax.value_and_grad(critics.soft_clip)(jnp.float32(1), jnp.float32(0))
    assert abs(float(value)) < 1e-6
    assert np.isfinite(slope)
