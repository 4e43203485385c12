import chex
import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, AxisType

from rlp.nn import optim
from rlp.system.devices import BATCH, MEMBERS
from rlp.types import Metrics


def loss(weights: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, Metrics]:
    error = jnp.square(jnp.tanh(x @ weights) - y)
    scaled = jnp.mean(error) / optim.mean_of_all(jnp.abs(y))
    return scaled, {"error": scaled, "max_error": jnp.max(error), "each": jnp.mean(x, axis=0)}


def test_a_rate_that_decays_is_whole_at_first_halved_halfway_and_0_behind_the_end():
    decayed = [optim.cosine_decay(jnp.int32(step), 100) for step in (0, 50, 100, 101)]
    assert jnp.allclose(jnp.array(decayed), jnp.array([1, 0.5, 0, 0]), atol=1e-6)


def batch(size: int) -> tuple[jax.Array, ...]:
    keys = jax.random.split(jax.random.key(0), 3)
    shapes = ((3,), (size, 3), (size,))
    return tuple(jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True))


@pytest.mark.parametrize("rows", [1, 64, 100])
def test_the_gradient_in_blocks_is_the_gradient(rows: int):
    def unscaled(weights: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, Metrics]:
        error = jnp.square(jnp.tanh(x @ weights) - y)
        return jnp.mean(error), {"error": jnp.mean(error), "max_error": jnp.max(error)}

    actual = optim.grad(unscaled, *batch(60), rows=rows)
    expected = jax.grad(unscaled, has_aux=True)(*batch(60))
    chex.assert_trees_all_close(actual, expected, rtol=1e-5, atol=1e-6)


def test_a_value_of_the_whole_batch_is_the_same_for_all_its_items():
    actual = optim.grad(loss, *batch(60), rows=100, whole=True)  # else blocks of 10
    expected = jax.grad(loss, has_aux=True)(*batch(60))
    chex.assert_trees_all_close(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [60, 61])  # 61 items are not shared
def test_the_gradient_of_devices_that_share_a_batch_is_the_gradient(size: int):
    mesh = AbstractMesh((1, 4), (MEMBERS, BATCH), axis_types=(AxisType.Auto, AxisType.Auto))

    @jax.jit
    def shared_grad(*arguments: jax.Array) -> tuple[jax.Array, Metrics]:
        with jax.sharding.use_abstract_mesh(mesh):
            return optim.grad(loss, *arguments, whole=True)

    actual = shared_grad(*batch(size))
    expected = jax.grad(loss, has_aux=True)(*batch(size))
    chex.assert_trees_all_close(actual, expected, rtol=1e-5, atol=1e-6)


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


def test_only_those_parameters_decay_that_are_to():
    params = {"kernel": jnp.ones(2), "bias": jnp.ones(2)}
    tx = optim.adamw(
        0.1, 0.5, 1.0, 0.95, lambda params: {name: name == "kernel" for name in params}
    )
    state = tx.init(params)
    for _ in range(3):
        grads = jax.tree.map(jnp.zeros_like, params)
        params, state = optim.step(tx, grads, state, params)
    assert params["bias"].tolist() == [1, 1]
    assert params["kernel"].tolist() == pytest.approx([0.95**3] * 2)
