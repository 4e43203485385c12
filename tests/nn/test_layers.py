from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from rlp.nn import layers


def normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def keys(seed: int, number: int) -> jax.Array:
    return jax.random.split(jax.random.key(seed), number)


def test_dropout_drops_its_share_keeps_the_mean_and_depends_on_the_key():
    x = jnp.full((101, 99), 2.0)
    first, second = (layers.dropout(keys(seed, 101), x, 0.25) for seed in (0, 1))
    assert float(jnp.mean(first == 0)) == pytest.approx(0.25, abs=0.015)
    assert float(jnp.mean(first)) == pytest.approx(2, abs=0.05)
    assert np.unique(first).size == 2
    assert float(jnp.mean(first == second)) == pytest.approx(0.25**2 + 0.75**2, abs=0.02)
    assert float(jnp.mean(first[0] == first[1])) == pytest.approx(0.25**2 + 0.75**2, abs=0.2)
    np.testing.assert_array_equal(layers.dropout(keys(0, 101), x, 0.0), x)


def test_what_is_dropped_of_an_item_does_not_depend_on_the_others():
    x = normal(0, 5, 7, 3)
    whole = layers.dropout(keys(0, 7), x, 0.5, axis=1)
    part = layers.dropout(keys(0, 7)[2:4], x[:, 2:4], 0.5, axis=1)
    np.testing.assert_array_equal(whole[:, 2:4], part)


def test_the_gradients_of_a_layer_are_those_of_a_plain_one():
    kernel, bias = normal(0, 2, 3, 4), normal(1, 2, 4)
    x = normal(2, 3, 5)

    def loss(affine: Any, kernel: jax.Array, bias: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(jax.vmap(affine, (0, 0, None))(kernel, bias, x)))

    found = jax.grad(loss, (1, 2, 3))(layers._affine, kernel, bias, x)
    expected = jax.grad(loss, (1, 2, 3))(plain, kernel, bias, x)
    chex.assert_trees_all_close(found, expected, rtol=1e-5, atol=1e-5)


def plain(kernel: jax.Array, bias: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.dot(kernel.T, x, precision="highest") + bias[:, None]


def of_bfloat16(kernel: jax.Array, bias: jax.Array, x: jax.Array) -> jax.Array:
    return plain(rounded(kernel), bias, rounded(x))


def rounded(x: jax.Array) -> jax.Array:
    return x.astype(jnp.bfloat16).astype(jnp.float32)


@pytest.mark.parametrize("axes", [[], [(0, 0)], [(0, None)], [(None, 0)], [(0, 0), (0, None)]])
def test_products_of_bfloat16_round_what_they_take_and_sum_in_float32(axes: list[Any]):
    """Over any axes that are mapped, each of size 2, as are members and critics."""
    mapped_axes = [2 for in_axes in axes if in_axes[0] == 0]
    kernel, bias = normal(0, *mapped_axes, 3, 4), normal(1, *mapped_axes, 4)
    x = normal(2, *[2 for in_axes in axes if in_axes[1] == 0], 3, 5)

    def over_axes(affine: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
        for of_parameters, of_inputs in reversed(axes):
            affine = jax.vmap(affine, (of_parameters, of_parameters, of_inputs))
        return affine

    def gradients(affine: Callable[..., jax.Array]) -> Any:
        # the sum's gradients are ones, which bfloat16 has exactly
        inputs = kernel, bias, x
        return jax.grad(lambda *inputs: jnp.sum(over_axes(affine)(*inputs)), (0, 1, 2))(*inputs)

    with jax.default_matmul_precision("bfloat16"):
        output = jax.jit(over_axes(layers._affine))(kernel, bias, x)
        found = gradients(layers._affine)
    assert output.dtype == jnp.float32
    expected = over_axes(of_bfloat16)(kernel, bias, x)
    np.testing.assert_allclose(output, expected, rtol=1e-6, atol=1e-6)
    assert not np.allclose(output, over_axes(layers._affine)(kernel, bias, x), rtol=1e-4)
    chex.assert_trees_all_equal_shapes_and_dtypes(found, (kernel, bias, x))
    chex.assert_trees_all_close(found, gradients(of_bfloat16), rtol=1e-2, atol=1e-2)


def test_a_bias_sums_its_gradient_in_float32():
    num_rows = 1001  # bfloat16 has 1000 and 1004

    def loss(bias: jax.Array) -> jax.Array:
        return jnp.sum(layers._affine(jnp.zeros((1, 1)), bias, jnp.zeros((1, num_rows))))

    with jax.default_matmul_precision("bfloat16"):
        assert float(jax.grad(loss)(jnp.zeros(1))[0]) == num_rows


def test_layer_norm_is_flax_s_with_the_features_first():
    x, slopes = normal(0, 6, 2, 5), normal(1, 6, 2, 5)
    params = {"params": {"scale": normal(2, 6), "bias": normal(3, 6)}}
    flax = nn.LayerNorm(epsilon=1e-5, reduction_axes=0, feature_axes=0)

    def output(norm: nn.Module, params: Any, x: jax.Array) -> Any:
        return norm.apply(params, x)

    def loss(norm: nn.Module, params: Any, x: jax.Array) -> jax.Array:
        return jnp.sum(slopes * output(norm, params, x))

    ours = layers.LayerNorm(epsilon=1e-5)
    chex.assert_trees_all_equal_shapes(ours.init(jax.random.key(0), x), params)
    found, expected = (output(norm, params, x) for norm in (ours, flax))
    chex.assert_trees_all_close(found, expected, rtol=1e-5, atol=1e-5)
    found, expected = (jax.grad(loss, (1, 2))(norm, params, x) for norm in (ours, flax))
    chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-5)


def test_softmax_and_its_gradient_are_jax_s():
    x, slopes = normal(0, 2, 3, 5), normal(1, 2, 3, 5)
    x = x.at[0, 0, 2:].set(jnp.finfo(x.dtype).min)  # as what a token may not look at

    def loss(softmax: Callable[..., jax.Array], x: jax.Array) -> jax.Array:
        return jnp.sum(slopes * softmax(x))

    np.testing.assert_array_equal(layers.softmax(x), jax.nn.softmax(x))
    found, expected = (jax.grad(loss, 1)(f, x) for f in (layers.softmax, jax.nn.softmax))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
