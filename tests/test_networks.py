from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp import networks


def test_an_output_bound_holds_the_last_layer_only():
    network = networks.mlp((16,), 3, output_bound=1e-3)
    params = network.init(jax.random.key(0), jnp.ones(4))
    assert 0 < jnp.abs(params["output"]["kernel"]).max() <= 1e-3
    assert jnp.abs(params["Dense_0"]["kernel"]).max() > 0.1


def test_layer_norm_stands_on_the_side_of_the_activation_that_is_asked_for():
    x = jax.random.normal(jax.random.key(1), (5, 4))
    outputs = {}
    for side in ("none", "before", "after"):
        network = networks.mlp((16,), 3, side)
        params = network.init(jax.random.key(0), x)
        hidden = x @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"][None]
        steps = {"none": [], "before": [norm, jax.nn.relu], "after": [jax.nn.relu, norm]}
        for step in steps[side] or [jax.nn.relu]:
            hidden = step(hidden)
        expected = hidden @ params["output"]["kernel"] + params["output"]["bias"][None]
        outputs[side] = network.apply(params, x)
        np.testing.assert_allclose(outputs[side], expected, atol=1e-5)
    assert not np.allclose(outputs["before"], outputs["after"])


def norm(x: jax.Array) -> jax.Array:
    mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + 1e-6)


def test_dropout_drops_its_share_keeps_the_mean_and_depends_on_the_key():
    x = jnp.full((101, 99), 2.0)
    first, second = (networks.dropout(jax.random.key(seed), x, 0.25) for seed in (0, 1))
    assert float(jnp.mean(first == 0)) == pytest.approx(0.25, abs=0.015)
    assert float(jnp.mean(first)) == pytest.approx(2, abs=0.05)
    assert np.unique(first).size == 2
    assert float(jnp.mean(first == second)) == pytest.approx(0.25**2 + 0.75**2, abs=0.02)
    np.testing.assert_array_equal(networks.dropout(jax.random.key(0), x, 0.0), x)


def test_the_gradients_of_the_product_are_those_of_a_plain_one():
    kernel = jax.random.normal(jax.random.key(0), (2, 3, 4))
    x = jax.random.normal(jax.random.key(1), (3, 5))

    def loss(product: Any, kernel: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(jax.vmap(product, (0, None))(kernel, x)))

    found = jax.grad(loss, (1, 2))(networks._product, kernel, x)
    expected = jax.grad(loss, (1, 2))(lambda kernel, x: kernel.T @ x, kernel, x)
    chex.assert_trees_all_close(found, expected, rtol=1e-5)
