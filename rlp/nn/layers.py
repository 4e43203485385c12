"""Layers that keep the features first, [I, ...] -> [O, ...]: what networks are made of.

On a CPU, XLA is fast where a product contracts the last axis of its left side. With the features
first, that is so for all products here and in their gradients but one, and for that one the kernel
is transposed, which is smaller than the inputs would be.

Under `jax.default_matmul_precision("bfloat16")` the products of `Dense` take bfloat16 and sum in
float32, on every kind of device, and so does the gradient of its bias; parameters, and what is
between the products, stay float32.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from rlp.system import target


class Dense(nn.Module):
    """nn.Dense, features first: [I, ...] -> [dim, ...]."""

    dim: int
    kernel_init: nn.initializers.Initializer = nn.linear.default_kernel_init
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns [dim, ...] for x [I, ...]."""
        kernel = self.param("kernel", self.kernel_init, (len(x), self.dim), x.dtype)
        bias = self.param("bias", self.bias_init, (self.dim,), x.dtype)
        output = _affine(kernel, bias, x.reshape(len(x), -1))
        return output.reshape(self.dim, *x.shape[1:])


@jax.custom_vjp
def _affine(kernel: jax.Array, bias: jax.Array, x: jax.Array) -> jax.Array:
    """Returns kernel^T x + bias [O, rows] of a kernel [I, O], bias [O] and inputs [I, rows]."""
    return _affine_and_inputs(kernel, bias, x)[0]


def _affine_and_inputs(kernel: jax.Array, bias: jax.Array, x: jax.Array) -> tuple[jax.Array, Any]:
    kernel, x = _rounded(kernel), _rounded(x)
    return _dot(_transposed(kernel), x, 0) + bias[:, None], (kernel, x)


def _gradients(inputs: Any, output: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    kernel, x = inputs
    output = _rounded(output)  # for the bias too: nothing else then needs it in float32
    into_bias = jnp.sum(output, axis=1, dtype=jnp.float32)
    return _dot(x, output, 1), into_bias, _dot(kernel, output, 0)


_affine.defvjp(_affine_and_inputs, _gradients)


def _rounded(x: jax.Array) -> jax.Array:
    """Returns x as the products of the precision that is set take it."""
    settings: Any = jax.config
    is_low = settings.jax_default_matmul_precision == "bfloat16"
    return x.astype(jnp.bfloat16) if is_low else x


def _transposed(kernel: jax.Array) -> jax.Array:
    """Returns kernel^T, row by row: XLA folds a transpose that nothing holds into the product."""
    rows = kernel.T
    return _held(rows.reshape(-1)).reshape(rows.shape)


def _held(x: jax.Array) -> jax.Array:
    """Returns x, which XLA on a CPU then computes as it is."""
    return jax.lax.optimization_barrier(x) if target.platform() == "cpu" else x


def _dot(left: jax.Array, right: jax.Array, axis: int) -> jax.Array:
    """Returns the product [M, N] of left [M, K] and right, whose `axis` is contracted."""
    if left.dtype == jnp.bfloat16:
        return (_dots, _dots_of_transposed)[axis](left[None], right[None])[0]
    return jax.lax.dot_general(left, right, (((1,), (axis,)), ((), ())))


def _batched(axis: int) -> Any:
    """Returns products [G, M, N] of bfloat16, which make one axis of all that is mapped over them.

    XLA on a CPU has none of bfloat16 with two such axes, as members and critics are; and it would
    turn one around to transpose its result, which it then cannot execute.
    """

    @jax.custom_batching.custom_vmap
    def dots(left: jax.Array, right: jax.Array) -> jax.Array:
        numbers = (((2,), (1 + axis,)), ((0,), (0,)))
        product = jax.lax.dot_general(left, right, numbers, preferred_element_type=jnp.float32)
        return _held(product)

    @dots.def_vmap
    def merged(
        size: int, is_mapped: tuple[bool, bool], left: jax.Array, right: jax.Array
    ) -> tuple[jax.Array, bool]:
        both = [
            x if mapped else jnp.broadcast_to(x, (size, *x.shape))
            for x, mapped in zip((left, right), is_mapped, strict=True)
        ]
        product = dots(*(x.reshape(-1, *x.shape[2:]) for x in both))
        return product.reshape(size, -1, *product.shape[1:]), True

    return dots


_dots, _dots_of_transposed = _batched(0), _batched(1)


class LayerNorm(nn.Module):
    """nn.LayerNorm, features first: [W, ...] -> [W, ...]."""

    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns x [W, ...] with the features' mean 0 and variance 1, scaled and shifted."""
        scale = self.param("scale", nn.initializers.ones, (len(x),), x.dtype)
        bias = self.param("bias", nn.initializers.zeros, (len(x),), x.dtype)
        output: Any = _normalised(self.epsilon, scale, bias, x.reshape(len(x), -1))
        return output.reshape(x.shape)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _normalised(epsilon: float, scale: jax.Array, bias: jax.Array, x: jax.Array) -> jax.Array:
    """Returns x [W, rows] with each row's mean 0 and variance 1, then scaled and shifted.

    Its gradient is written out because XLA on a CPU takes twenty times as long for a sum of
    products as for the products and the sum: half of an update of ReBRAC.
    """
    return _normalised_and_inputs(epsilon, scale, bias, x)[0]


def _normalised_and_inputs(
    epsilon: float, scale: jax.Array, bias: jax.Array, x: jax.Array
) -> tuple[jax.Array, Any]:
    x = x - jnp.mean(x, axis=0, keepdims=True)
    factor = jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=0, keepdims=True) + epsilon)
    x *= factor
    return scale[:, None] * x + bias[:, None], (scale, x, factor)


def _normalised_gradients(
    epsilon: float, inputs: Any, output: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    del epsilon
    scale, x, factor = inputs
    products = output * x
    average = partial(jnp.dot, scale[None] / len(x), precision=jax.lax.Precision.HIGHEST)
    into_x = factor * (scale[:, None] * output - average(output) - x * average(products))
    return jnp.sum(products, axis=1), jnp.sum(output, axis=1), into_x


_normalised.defvjp(_normalised_and_inputs, _normalised_gradients)


@jax.custom_vjp
def softmax(x: jax.Array) -> jax.Array:
    """Returns the softmax over the last axis of x.

    Its gradient is written out, with the products kept, because XLA on a CPU otherwise computes
    them within their sum, which takes five times as long.
    """
    return jax.nn.softmax(x)


def _softmax_twice(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    weights = jax.nn.softmax(x)
    return weights, weights


def _softmax_gradient(weights: jax.Array, output: jax.Array) -> tuple[jax.Array]:
    products = weights * output
    return (products - weights * jnp.sum(products, axis=-1, keepdims=True),)


softmax.defvjp(_softmax_twice, _softmax_gradient)


def dropout(keys: jax.Array, x: jax.Array, rate: jax.Array | float, axis: int = 0) -> jax.Array:
    """Returns x with entries set to 0 with probability `rate`, the others scaled up by it.

    flax's Dropout takes no traced rate, and draws 32 bits an entry: a fifth of the time of an
    update on a CPU. Here it is a byte, so the rate is rounded to k / 256.

    Args:
        keys: [B], one an item.
        x: of the items along one axis.
        rate: of entries.
        axis: that of the items.
    """
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])  # of an item
    numbers = jax.vmap(lambda key: _random_bytes(key, shape), out_axes=axis)(keys)
    dropped = jnp.round(256 * rate)
    return jnp.where(numbers >= dropped, x * 256 / (256 - dropped), 0)


def _random_bytes(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    size = math.prod(shape)
    bits = jax.random.bits(key, (math.ceil(size / 4),))
    return jax.lax.bitcast_convert_type(bits, jnp.uint8).reshape(-1)[:size].reshape(shape)
