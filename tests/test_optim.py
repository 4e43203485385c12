import chex
import jax
import jax.numpy as jnp
import pytest

from rlp import optim


def loss(weights: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    error = jnp.tanh(x @ weights) - y
    return jnp.mean(jnp.square(error)), error


def test_a_rate_that_decays_is_whole_at_first_halved_halfway_and_0_behind_the_end():
    decayed = [optim.decay(jnp.int32(step), 100, decays=True) for step in (0, 50, 100, 101)]
    assert jnp.allclose(jnp.array(decayed), jnp.array([1, 0.5, 0, 0]), atol=1e-6)
    assert optim.decay(jnp.int32(50), 100, decays=False) == 1


@pytest.mark.parametrize("rows", [1, 64, 100])
def test_the_gradient_in_blocks_is_the_gradient(rows: int):
    keys = jax.random.split(jax.random.key(0), 3)
    weights, x, y = (
        jax.random.normal(key, shape)
        for key, shape in zip(keys, ((3,), (60, 3), (60,)), strict=True)
    )
    grads, error = optim.grad_in_blocks(loss, weights, x, y, rows=rows)
    expected, expected_error = jax.grad(loss, has_aux=True)(weights, x, y)
    chex.assert_trees_all_close((grads, error), (expected, expected_error), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "rows", "num_blocks"),
    [
        (256, 1, 1),  # all fits
        (256, 4, 1),
        (256, 5, 2),
        (256, 31, 8),  # CQL-SAC with 10 actions of each kind
        (60, 31, 2),
        (257, 31, 1),  # prime: blocks of 1 would be slower than none
        (8, 5000, 8),  # an item alone does not fit
    ],
)
def test_blocks_are_near_the_size_that_stays_in_the_cache(size: int, rows: int, num_blocks: int):
    assert optim._num_blocks(size, rows) == num_blocks
