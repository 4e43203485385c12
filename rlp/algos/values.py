"""What algorithms with critics share: the Bellman error, the minimum, rewards, bounds on Q."""

from typing import Any

import jax
import jax.numpy as jnp

from rlp.data.dataset import sample_transitions, statistics_of
from rlp.types import Limits, Metrics, Sources, Spec, State, Statistics, Transition

START = 1.0  # critics begin with values of about this size, of both signs
TOLERATED = 0.2  # of the larger bound: Q of the best data is at its bound, and approximation errs


def bellman_loss(q: jax.Array, backup: jax.Array) -> tuple[jax.Array, Metrics]:
    """Returns the squared error of Q [E, B] against backups [B], the sum over the critics."""
    loss = jnp.sum(jnp.mean(jnp.square(q - backup[None]), axis=1))
    return loss, {
        "critic_loss": loss,
        "q": jnp.mean(q),
        "min_q": jnp.min(q),
        "max_q": jnp.max(q),
        "min_backup": jnp.min(backup),
        "max_backup": jnp.max(backup),
    }


def lowest(q: jax.Array) -> jax.Array:
    """Returns the minimum over an ensemble [E, ...]; its gradient goes to the critic that has it.

    The gradient of jnp.min counts which entries equal the minimum, and is 0 / 0 where XLA computes
    q twice and rounds it differently.
    """
    is_lowest = jax.nn.one_hot(jnp.argmin(q, axis=0), len(q), dtype=bool, axis=0)
    return jnp.sum(q, axis=0, where=is_lowest)


def soft_clip(q: jax.Array, bound: jax.Array) -> jax.Array:
    """Returns Q within the bound, smoothly: all but itself where it is a tenth of it away."""
    width = 0.03 * jnp.maximum(bound, 1e-6)  # rewards may all be 0
    q = bound - width * jax.nn.softplus((bound - q) / width)
    return width * jax.nn.softplus((q + bound) / width) - bound


def sample_scaled(config: Any, key: jax.Array, state: State, sources: Sources) -> Transition:
    """Returns a batch of transitions with the rewards that critics learn: `sample` of most."""
    del state
    batch = sample_transitions(sources, key, config.batch_size)
    return scale_rewards(config, statistics_of(sources), batch)


def scale_rewards(config: Any, statistics: Statistics, batch: Transition) -> Transition:
    """Returns transitions of the data with the rewards that critics learn."""
    return batch._replace(reward=reward_scale(config, statistics) * batch.reward)


def reward_scale(config: Any, statistics: Statistics) -> jax.Array:
    """Returns the factor of the rewards that critics learn.

    With `normalize_reward` they are in units of the data's mean |r|. What is weighed against Q, as
    CQL's penalty or an entropy, then means the same whatever size they have. With `return_range`
    the best and the worst return of the data differ by that, as in IQL's code.
    """
    unit = jnp.maximum(statistics.mean_abs_reward, 1e-6) if config.normalize_reward else 1.0
    of_returns = config.return_range / jnp.maximum(statistics.return_range, 1e-6)
    return config.reward_scale * jnp.where(config.return_range > 0, of_returns, 1 / unit)


def q_bound(config: Any, statistics: Statistics) -> jax.Array:
    """Returns max |r| / (1 - discount), which no |Q| of the data's rewards is above."""
    return reward_scale(config, statistics) * statistics.max_abs_reward / (1 - config.discount)


def q_limits(
    config: Any,
    spec: Spec,
    statistics: Statistics,
    lowest_extra: jax.Array | float = 0.0,
    highest_extra: jax.Array | float = 0.0,
) -> Limits:
    """Returns the bounds on Q and its backup: `limits` of an algorithm.

    Q is a discounted sum of rewards between the data's lowest and highest, of infinitely many at
    most. An episode may end, and critics begin near 0, so 0 is within the bounds.

    Args:
        config: the setting.
        spec: of the problem.
        statistics: of the data.
        lowest_extra: the least that a backup adds to the next state's Q, as a penalty or entropy.
        highest_extra: the most that it adds.
    """
    del spec
    scale = reward_scale(config, statistics)
    lowest = jnp.minimum(scale * statistics.lowest_reward, 0)
    highest = jnp.maximum(scale * statistics.highest_reward, 0)
    low = (lowest + config.discount * jnp.minimum(lowest_extra, 0)) / (1 - config.discount)
    high = (highest + config.discount * jnp.maximum(highest_extra, 0)) / (1 - config.discount)
    return dict.fromkeys(("min_q", "max_q", "min_backup", "max_backup"), (low, high))


def tolerance(low: jax.Array | float, high: jax.Array | float) -> jax.Array:
    """Returns how far a metric may be beyond its limits before that is an alarm."""
    sizes = (jnp.where(jnp.isfinite(bound), jnp.abs(bound), 0) for bound in (low, high))
    return jnp.maximum(TOLERATED * jnp.maximum(*sizes), START)
