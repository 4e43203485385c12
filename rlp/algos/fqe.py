"""Fitted Q evaluation: estimates the return of a given policy from logged data (1903.08738).

It learns Q of a fixed policy by temporal differences. The policy's actions in the rows of the data
are in `Sources.policy_action`, so it may come from any algorithm and may have memory. Nothing acts
here. Critics, targets and the bound on Q work as in the other algorithms.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlp.algos.values import bellman_loss, q_bound, q_limits, reward_scale, soft_clip
from rlp.config import Discount, NonNegativeFloat, Positive, PositiveFloat, Share, config
from rlp.data.dataset import sample_policy_sarsa, statistics_of
from rlp.nn import networks, optim
from rlp.types import Metrics, Params, Sarsa, Sources, Spec, Statistics


@config
class Config:
    """Hyperparameters of fitted Q evaluation."""

    num_updates: Positive = 20_000  # gradient updates
    batch_size: Positive = 256  # transitions in a batch
    hidden_dims: tuple[Positive, ...] = (256, 256)  # widths of the hidden layers
    num_critics: Positive = 2  # critics, whose mean is used
    init: networks.Init = "flax"  # how weights are drawn
    layer_norm: networks.NormSide = "after"  # in the critics, before or after the activations
    learning_rate: NonNegativeFloat = 3e-4  # Adam's
    discount: Discount = 0.99  # gamma
    tau: Share = 0.005  # Polyak step of the target critics
    reward_scale: PositiveFloat = 1.0  # factor of the rewards
    return_range: NonNegativeFloat = 0.0  # span of the data's returns after scaling; 0: unscaled
    normalize_reward: bool = True  # rewards in units of the data's mean |r|


class State(NamedTuple):
    """The training state."""

    critic: Params  # [E]
    target_critic: Params  # [E]
    critic_opt: Any


class Batch(NamedTuple):
    """The data of one update."""

    sarsa: Sarsa  # [B], with the policy's next actions
    bound: jax.Array  # [], on any |Q|


def init(config: Config, key: jax.Array, spec: Spec, statistics: Statistics) -> State:
    """Returns the state before the first update."""
    del statistics
    observation, action = jnp.zeros(spec.observation_dim), jnp.zeros(spec.action_dim)
    critic = _critics(config).init(key, observation, action)
    return State(critic, critic, optim.adam(config.learning_rate).init(critic))


def sample(config: Config, key: jax.Array, state: State, sources: Sources) -> Batch:
    """Returns transitions, the policy's actions after them, and the bound on Q."""
    del state
    statistics = statistics_of(sources)
    sarsa = sample_policy_sarsa(sources, key, config.batch_size)
    reward = reward_scale(config, statistics) * sarsa.transition.reward
    transition = sarsa.transition._replace(reward=reward)
    return Batch(sarsa._replace(transition=transition), q_bound(config, statistics))


def update(
    config: Config, state: State, step: jax.Array, key: jax.Array, batch: Batch
) -> tuple[State, Metrics]:
    """Returns the state after one step of the critics, each towards the mean of all targets."""
    del step, key
    transition, bound = batch.sarsa.transition, batch.bound
    following = transition.next_observation, batch.sarsa.next_action
    next_q = jnp.mean(q_values(config, state.target_critic, bound, *following), axis=0)
    backup = transition.reward + config.discount * transition.discount * next_q
    grads, metrics = optim.grad(
        lambda critic, *part: _critic_loss(critic, config, bound, *part),
        state.critic, transition.observation, transition.action, backup,
    )  # fmt: skip
    tx = optim.adam(config.learning_rate)
    critic, critic_opt = optim.step(tx, grads, state.critic_opt, state.critic)
    return State(critic, optim.polyak(critic, state.target_critic, config.tau), critic_opt), metrics


def _critic_loss(
    critic: Params,
    config: Config,
    bound: jax.Array,
    observation: jax.Array,
    action: jax.Array,
    backup: jax.Array,
) -> tuple[jax.Array, Metrics]:
    """Returns the squared Bellman error, summed over the critics."""
    return bellman_loss(q_values(config, critic, bound, observation, action), backup)


def q_values(
    config: Config, critic: Params, bound: jax.Array, observation: jax.Array, action: jax.Array
) -> jax.Array:
    """Returns Q [E, B] within the bound, in the units of the scaled rewards."""
    return soft_clip(_critics(config).apply(critic, observation, action), bound)


def _critics(config: Config) -> networks.Network:
    return networks.critics(config.hidden_dims, config.num_critics, config.init, config.layer_norm)


limits = q_limits
