"""Distributions over actions: normal, and tanh-squashed as in SAC (1812.05905, appendix C)."""

import math

import chex
import jax
import jax.numpy as jnp

ACTION_LIMIT = 1 - 1e-5  # given actions are clipped to +- this before atanh, as in IQL's loader


def normal_log_prob(mean: jax.Array, log_std: jax.Array, value: jax.Array) -> jax.Array:
    """Returns the log-density [...] in nats of values [..., A] under a diagonal normal."""
    chex.assert_equal_shape([mean, log_std, value])
    return jnp.sum(_normal_log_density((value - mean) * jnp.exp(-log_std), log_std), axis=-1)


def tanh_normal_sample(
    mean: jax.Array, log_std: jax.Array, noise: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns an action tanh(mean + std * noise) and its log-density.

    Here the pre-tanh value is known, so even a saturated action has an exact, finite density.

    Args:
        mean: [..., A], before the tanh.
        log_std: [..., A], already clipped.
        noise: [..., A], standard normal.

    Returns:
        The action [..., A] in [-1, 1] and its log-density [...] in nats.
    """
    chex.assert_equal_shape([mean, log_std, noise])
    pre_tanh = mean + jnp.exp(log_std) * noise
    return jnp.tanh(pre_tanh), _log_density(noise, log_std, pre_tanh)


def tanh_normal_log_prob(mean: jax.Array, log_std: jax.Array, action: jax.Array) -> jax.Array:
    """Returns the log-density [...] in nats of given actions [..., A], clipped to +-(1 - 1e-5)."""
    chex.assert_equal_shape([mean, log_std, action])
    pre_tanh = jnp.arctanh(jnp.clip(action, -ACTION_LIMIT, ACTION_LIMIT))
    return _log_density((pre_tanh - mean) * jnp.exp(-log_std), log_std, pre_tanh)


def _log_density(noise: jax.Array, log_std: jax.Array, pre_tanh: jax.Array) -> jax.Array:
    return jnp.sum(_normal_log_density(noise, log_std) - tanh_log_det(pre_tanh), axis=-1)


def _normal_log_density(noise: jax.Array, log_std: jax.Array) -> jax.Array:
    """Returns the log-density [..., A] of each entry."""
    return -(noise**2) / 2 - log_std - math.log(2 * math.pi) / 2


def tanh_log_det(pre_tanh: jax.Array) -> jax.Array:
    """Returns log(1 - tanh(u)^2), stable for any u."""
    return 2 * (math.log(2) - pre_tanh - jax.nn.softplus(-2 * pre_tanh))
