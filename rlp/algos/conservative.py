"""The penalty of CQL(H): equation 4 of 2006.04779, and the multiplier of its weight (equation 30).

It penalises high values of actions outside the data: uniform ones, and the policy's at s and at s'.
All are scored at s and weighted by importance.
"""

import math
from collections.abc import Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp

from rlp.algos import sac
from rlp.algos.sac import Head, sample_actions
from rlp.nn import optim
from rlp.types import Limits, Metrics

ALPHA_PRIME_MAX = 1e6


def sampled_actions(
    uniform: jax.Array, heads: Sequence[Head], noises: Sequence[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """Returns actions to score in each state, and their log-densities [B, 3N].

    Args:
        uniform: [B, N, A], actions in [-1, 1].
        heads: of the policy at s and at s'.
        noises: standard normal, [B, N, A] for each head.

    Returns:
        Uniform actions and those of the policy [B, 3N, A], and their log-densities.
    """
    size, count, action_dim = uniform.shape
    of_policy = [sample_actions(*pair) for pair in zip(heads, noises, strict=True)]
    actions, log_probs = zip(*of_policy, strict=True)
    uniform_log_prob = jnp.full((size, count), -action_dim * math.log(2))
    return (
        jnp.concatenate([uniform, *actions], axis=1),
        jnp.concatenate([uniform_log_prob, *log_probs], axis=1),
    )


def gap(config: Any, q_data: jax.Array, q: jax.Array, log_probs: jax.Array) -> jax.Array:
    """Returns T logsumexp(Q / T) - Q(s, a) of each state, [E, B].

    Args:
        config: the setting.
        q_data: [E, B], for the actions in the data.
        q: [E, B, 3N], for the sampled actions.
        log_probs: [B, 3N], their log-densities: no gradient flows through them.
    """
    chex.assert_rank([q_data, q, log_probs], [2, 3, 2])
    if config.importance_sampling:
        q = q - log_probs[None]
    else:
        q = jnp.concatenate([q_data[..., None], q], axis=-1)
    soft_max = config.cql_temperature * jax.nn.logsumexp(q / config.cql_temperature, axis=-1)
    return jnp.clip(soft_max - q_data, config.clip_gap_min, config.clip_gap_max)


def penalty(config: Any, alpha_prime: jax.Array, gap: jax.Array) -> jax.Array:
    """Returns the weighted gap, minus the target gap if the weight is learned."""
    if config.lagrange:
        return alpha_prime * (config.cql_weight * gap - config.target_gap)
    return config.cql_weight * gap


def step_multiplier(
    config: Any, state: Any, alpha_prime: jax.Array, gap: jax.Array
) -> tuple[Any, Metrics]:
    """Returns the state after a step of alpha', if it is learned (equation 30)."""
    if not config.lagrange:
        return state, {}
    loss, grad = jax.value_and_grad(_multiplier_loss)(state.log_alpha_prime, config, gap)
    _, critic_tx = sac.optimizers(config)
    log_alpha_prime, alpha_prime_opt = optim.step(
        critic_tx, grad, state.alpha_prime_opt, state.log_alpha_prime
    )
    state = state._replace(log_alpha_prime=log_alpha_prime, alpha_prime_opt=alpha_prime_opt)
    return state, {"alpha_prime": alpha_prime, "alpha_prime_loss": loss}


def multiplier(log_alpha_prime: jax.Array) -> jax.Array:
    """Returns alpha', the learned weight."""
    return jnp.clip(jnp.exp(log_alpha_prime), 0, ALPHA_PRIME_MAX)


def open_below(config: Any, limits: Limits) -> Limits:
    """Returns the bounds on Q and its backup without the lower ones, if the penalty has weight.

    The penalty lowers Q of actions outside the data without limit, and through the backup all
    others (theorem 3.1). The tolerance above the upper bound stays a fifth of the larger bound. If
    rewards are costs, that is the lower bound, so its tolerance is added here before it is removed.
    """

    def opened(low: jax.Array, high: jax.Array) -> tuple[jax.Array, jax.Array]:
        room = 0.2 * jnp.maximum(jnp.abs(low) - jnp.abs(high), 0)
        has_weight = config.cql_weight > 0
        return jnp.where(has_weight, -jnp.inf, low), high + jnp.where(has_weight, room, 0)

    return {name: opened(*pair) for name, pair in limits.items()}


def _multiplier_loss(log_alpha_prime: jax.Array, config: Any, gap: jax.Array) -> jax.Array:
    return -jnp.mean(penalty(config, multiplier(log_alpha_prime), gap))
