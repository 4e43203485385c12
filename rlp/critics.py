"""What algorithms with critics share: the Bellman error, the minimum, rewards, the bound on Q."""

from typing import Any

import jax
import jax.numpy as jnp

from rlp.data.dataset import Dataset
from rlp.types import Metrics, Transition


def bellman_loss(q: jax.Array, backup: jax.Array) -> tuple[jax.Array, Metrics]:
    """Returns the squared error of Q [E, B] against backups [B], the sum over the critics."""
    loss = jnp.sum(jnp.mean(jnp.square(q - backup[None]), axis=1))
    return loss, {
        "critic_loss": loss,
        "q": jnp.mean(q),
        "max_q": jnp.max(q),
        "max_backup": jnp.max(backup),
    }


def lowest(q: jax.Array) -> jax.Array:
    """Returns the minimum over an ensemble [E, ...]; its gradient goes to the critic that has it.

    The gradient of jnp.min counts which entries equal the minimum, and is 0 / 0 where XLA computes
    q twice and rounds it differently.
    """
    index = jnp.argmin(q, axis=0, keepdims=True)
    return jnp.take_along_axis(q, index, axis=0)[0]


def soft_clip(q: jax.Array, bound: jax.Array) -> jax.Array:
    """Returns Q within the bound, smoothly: all but itself where it is a tenth of it away."""
    width = 0.03 * jnp.maximum(bound, 1e-6)  # rewards may all be 0
    q = bound - width * jax.nn.softplus((bound - q) / width)
    return width * jax.nn.softplus((q + bound) / width) - bound


def scale_rewards(config: Any, dataset: Dataset, batch: Transition) -> Transition:
    """Returns transitions of the data with the rewards that critics learn."""
    return batch._replace(reward=_reward_scale(config, dataset) * batch.reward)


def _reward_scale(config: Any, dataset: Dataset) -> jax.Array:
    """Returns the factor of the rewards.

    With `normalize_reward` they are in units of the data's mean |r|. What is weighed against Q, as
    CQL's penalty or an entropy, then means the same whatever size they have.
    """
    if config.normalize_reward:
        return config.reward_scale / jnp.maximum(dataset.mean_abs_reward, 1e-6)
    return config.reward_scale


def q_limits(config: Any, dataset: Dataset) -> dict[str, jax.Array]:
    """Returns the bound max |r| / (1 - discount) on Q and its backup: `limits` of an algorithm."""
    bound = _reward_scale(config, dataset) * dataset.max_abs_reward / (1 - config.discount)
    return {"max_q": bound, "max_backup": bound}
