"""Fitted Q evaluation: what a policy that is given would earn, from logged data (1903.08738).

Temporal differences towards the Q of a fixed policy: its actions in the rows of the data are in
`Sources.policy_action`, so it may be of any algorithm, and remember its episode. Nothing acts here.
Critics, their targets and a bound on Q are those of the other algorithms.
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
    num_critics: Positive = 2  # critics, whose mean counts
    init: networks.Init = "flax"  # how weights are drawn
    layer_norm: networks.NormSide = "after"  # in the critics, before or after the activations
    learning_rate: NonNegativeFloat = 3e-4  # Adam's
    discount: Discount = 0.99  # gamma
    tau: Share = 0.005  # Polyak step of the target critics
    reward_scale: PositiveFloat = 1.0  # factor of the rewards
    return_range: NonNegativeFloat = 0.0  # that the data's returns are to have; 0: as they are
    normalize_reward: bool = True  # rewards in units of the data's mean |r|


class State(NamedTuple):
    """What training carries."""

    critic: Params  # [E]
    target_critic: Params  # [E]
    critic_opt: Any


class Batch(NamedTuple):
    """What an update learns from."""

    sarsa: Sarsa  # [B], whose next action is the policy's
    bound: jax.Array  # [], on any Q


def init(config: Config, key: jax.Array, spec: Spec, statistics: Statistics) -> State:
    """Returns the state before the first update."""
    del statistics
    observation, action = jnp.zeros(spec.observation_dim), jnp.zeros(spec.action_dim)
    critic = _critics(config).init(key, observation, action)
    return State(critic, critic, optim.adam(config.learning_rate).init(critic))


def sample(config: Config, key: jax.Array, state: State, sources: Sources) -> Batch:
    """Returns transitions, what the policy does after them, and the bound on Q."""
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
    """Returns the squared Bellman error, the sum over the critics."""
    return bellman_loss(q_values(config, critic, bound, observation, action), backup)


def q_values(
    config: Config, critic: Params, bound: jax.Array, observation: jax.Array, action: jax.Array
) -> jax.Array:
    """Returns Q [E, B] in the units of the rewards that are learned, within the bound."""
    return soft_clip(_critics(config).apply(critic, observation, action), bound)


def _critics(config: Config) -> networks.Network:
    return networks.critics(config.hidden_dims, config.num_critics, config.init, config.layer_norm)


limits = q_limits
