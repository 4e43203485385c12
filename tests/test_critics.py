import jax
import jax.numpy as jnp
import numpy as np

from rlp import critics


def test_the_lowest_of_an_ensemble_and_its_gradient():
    q = jnp.array([[1.0, 5.0, 2.0], [3.0, 4.0, 2.0]])
    np.testing.assert_array_equal(critics.lowest(q), [1, 4, 2])
    grads = jax.grad(lambda q: jnp.sum(critics.lowest(q)))(q)
    np.testing.assert_array_equal(grads, [[1, 0, 1], [0, 1, 0]])  # of equal ones, the first
