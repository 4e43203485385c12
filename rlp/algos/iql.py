"""Implicit Q-learning: 2110.06169, as in the authors' code (ikostrikov/implicit_q_learning).

An expectile of Q over the data's actions replaces the maximum over actions, so actions outside the
data are never scored (equations 5 and 6). The policy is a regression on the data's actions,
weighted by exp(temperature * advantage) (equation 7). The order is the authors': value, then actor
and critics with the new value, then targets. Critics get discrete actions as one-hots.
"""

from typing import Any, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp

from rlp.algos.heads import check_head, choice_log_prob, choose
from rlp.algos.values import bellman_loss, q_limits, sample_scaled
from rlp.config import Discount, NonNegativeFloat, Positive, PositiveFloat, Share, config
from rlp.nn import networks, optim
from rlp.nn.distributions import normal_log_prob
from rlp.types import (
    Metrics,
    Params,
    Spec,
    Statistics,
    Transition,
    markov,
    state_actor,
)

LOG_STD_MIN, LOG_STD_MAX = -5.0, 2.0
NUM_CRITICS = 2
SUPPORTS = frozenset({"continuous", "discrete"})
NEEDS_REWARDS: bool = True


@config
class Config:
    """Hyperparameters of IQL; the defaults are the authors' for locomotion.

    They come from configs/mujoco_config.py, train_offline.py, policy.py and common.py of
    ikostrikov/implicit_q_learning (09d7002), which does not normalise observations.
    """

    num_updates: Positive = 1_000_000  # gradient updates
    batch_size: Positive = 256  # transitions in a batch
    hidden_dims: tuple[Positive, ...] = (256, 256)  # widths of the hidden layers
    init: networks.Init = "orthogonal"  # how weights are drawn
    layer_norm: networks.NormSide = "none"  # in the critics, before or after the activations
    head: Literal["normal", "categorical"] = "normal"  # of the actor
    actor_learning_rate: NonNegativeFloat = 3e-4  # Adam's
    value_learning_rate: NonNegativeFloat = 3e-4  # Adam's
    critic_learning_rate: NonNegativeFloat = 3e-4  # Adam's
    decay_actor_learning_rate: bool = True  # along a cosine, to 0 at the last update
    discount: Discount = 0.99  # gamma
    tau: Share = 0.005  # Polyak step of the target critics (alpha in the paper)
    expectile: Share = 0.7  # V is this expectile of Q over actions (tau in the paper)
    temperature: NonNegativeFloat = 3.0  # inverse: weights are exp(temperature * advantage), beta
    weight_max: PositiveFloat = 100.0  # upper limit of the weights
    reward_scale: PositiveFloat = 1.0  # factor of the rewards
    return_range: NonNegativeFloat = 0.0  # span of the data's returns after scaling; 0: unscaled
    normalize_reward: bool = False  # rewards in units of the data's mean |r| (not the paper's)


PRESETS: dict[str, dict[str, Any]] = {
    "light": {  # a good policy within minutes on two CPU cores
        "num_updates": 30_000,
        "normalize_reward": True,
    },
    "paper": {"normalize": False, "return_range": 1000.0},
}


class State(NamedTuple):
    """The training state."""

    actor: Params
    value: Params
    critic: Params  # [E]
    target_critic: Params  # [E]
    actor_opt: Any
    value_opt: Any
    critic_opt: Any


def init(config: Config, key: jax.Array, spec: Spec, statistics: Statistics) -> State:
    """Returns the state before the first update.

    Raises:
        InputError: if the head does not fit the kind of actions.
    """
    del statistics
    check_head(config.head, spec, "normal")
    actor_key, value_key, critic_key = jax.random.split(key, 3)
    observation, action = jnp.zeros(spec.observation_dim), jnp.zeros(spec.action_dim)
    actor = {
        "mlp": _mlp(config, spec.action_dim).init(actor_key, observation),
        "log_std": jnp.zeros(spec.action_dim),
    }
    value = _mlp(config, 1).init(value_key, observation)
    critic = _critics(config).init(critic_key, observation, action)
    return State(
        actor=actor,
        value=value,
        critic=critic,
        target_critic=critic,
        actor_opt=optim.adam(config.actor_learning_rate).init(actor),
        value_opt=optim.adam(config.value_learning_rate).init(value),
        critic_opt=optim.adam(config.critic_learning_rate).init(critic),
    )


def update(
    config: Config, state: State, step: jax.Array, key: jax.Array, batch: Transition
) -> tuple[State, Metrics]:
    """Returns the state after one update of value, actor, critics and targets."""
    del key
    target_q = jnp.min(_q(config, state.target_critic, batch), axis=0)
    value_grads, value_metrics = optim.grad(
        lambda value, *part: _value_loss(value, config, *part), state.value, batch, target_q
    )
    value_tx = optim.adam(config.value_learning_rate)
    value, value_opt = optim.step(value_tx, value_grads, state.value_opt, state.value)

    new_value, new_next_value = (
        _value(config, value, x) for x in (batch.observation, batch.next_observation)
    )
    actor_grads, actor_metrics = optim.grad(
        lambda actor, *part: _actor_loss(actor, config, *part),
        state.actor, batch, target_q - new_value,
    )  # fmt: skip
    decay = 1.0
    if config.decay_actor_learning_rate:
        decay = optim.cosine_decay(step, config.num_updates)
    actor_tx = optim.adam(config.actor_learning_rate * decay)
    actor, actor_opt = optim.step(actor_tx, actor_grads, state.actor_opt, state.actor)

    backup = batch.reward + config.discount * batch.discount * new_next_value
    critic_grads, critic_metrics = optim.grad(
        lambda critic, *part: _critic_loss(critic, config, *part), state.critic, batch, backup
    )
    critic_tx = optim.adam(config.critic_learning_rate)
    critic, critic_opt = optim.step(critic_tx, critic_grads, state.critic_opt, state.critic)
    target_critic = optim.polyak(critic, state.target_critic, config.tau)
    state = State(actor, value, critic, target_critic, actor_opt, value_opt, critic_opt)
    return state, {**value_metrics, **actor_metrics, **critic_metrics}


def _value_loss(
    value: Params, config: Config, batch: Transition, target_q: jax.Array
) -> tuple[jax.Array, Metrics]:
    v = _value(config, value, batch.observation)
    loss = jnp.mean(_expectile_loss(config.expectile, target_q - v))
    return loss, {"value_loss": loss, "v": jnp.mean(v)}


def _expectile_loss(expectile: jax.Array | float, difference: jax.Array) -> jax.Array:
    """Returns |expectile - 1[difference < 0]| difference^2 (equation 4)."""
    weight = jnp.where(difference < 0, 1 - expectile, expectile)
    return weight * jnp.square(difference)


def _actor_loss(
    actor: Params, config: Config, batch: Transition, advantage: jax.Array
) -> tuple[jax.Array, Metrics]:
    log_prob = _log_prob(config, actor, batch)
    weight = _weight(config, advantage)
    loss = -jnp.mean(weight * log_prob)
    return loss, {
        "actor_loss": loss,
        "advantage": jnp.mean(advantage),
        "weight": jnp.mean(weight),
        "clipped_weights": jnp.mean(weight >= config.weight_max),
    }


def _log_prob(config: Config, actor: Params, batch: Transition) -> jax.Array:
    """Returns the log-likelihood [B] of the data's actions."""
    if config.head == "categorical":
        return choice_log_prob(_output(config, actor, batch.observation), batch.action)
    return normal_log_prob(*_head(config, actor, batch.observation), batch.action)


def _weight(config: Config, advantage: jax.Array) -> jax.Array:
    return jnp.minimum(jnp.exp(config.temperature * advantage), config.weight_max)


def _critic_loss(
    critic: Params, config: Config, batch: Transition, backup: jax.Array
) -> tuple[jax.Array, Metrics]:
    """Returns the squared Bellman error, summed over the critics."""
    return bellman_loss(_q(config, critic, batch), backup)


def _critics(config: Config) -> networks.Network:
    return networks.critics(config.hidden_dims, NUM_CRITICS, config.init, config.layer_norm)


def _q(config: Config, critic: Params, batch: Transition) -> jax.Array:
    """Returns Q [E, B] for the actions in the data."""
    return _critics(config).apply(critic, batch.observation, batch.action)


def q_of(
    config: Config, state: State, statistics: Statistics, observation: jax.Array, action: jax.Array
) -> jax.Array:
    """Returns Q [E, B] of the critics, see `rlp.types.Algo`."""
    del statistics
    return _critics(config).apply(state.critic, observation, action)


def _value(config: Config, value: Params, observation: jax.Array) -> jax.Array:
    """Returns V [B]."""
    return _mlp(config, 1).apply(value, observation)[..., 0]


def _head(config: Config, actor: Params, observation: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns mean and log standard deviation [..., A] of a normal without squashing."""
    mean = jnp.tanh(_output(config, actor, observation))
    log_std = jnp.clip(actor["log_std"], LOG_STD_MIN, LOG_STD_MAX)
    return mean, jnp.broadcast_to(log_std, mean.shape)


def _output(config: Config, actor: Params, observation: jax.Array) -> jax.Array:
    """Returns the mean before the tanh, or the logits of the choices, [..., A]."""
    network = _mlp(config, networks.output_dim(actor["mlp"]))
    return network.apply(actor["mlp"], observation)


def _mlp(config: Config, output_dim: int) -> networks.Network:
    return networks.mlp(config.hidden_dims, output_dim, config.init)


def _act(
    config: Config, params: Params, observation: jax.Array, key: jax.Array, temperature: jax.Array
) -> jax.Array:
    """Returns an action [A], or a one-hot choice."""
    chex.assert_rank(observation, 1)
    if config.head == "categorical":
        return choose(_output(config, params, observation), key, temperature)
    mean, log_std = _head(config, params, observation)
    noise = temperature * jax.random.normal(key, mean.shape)
    return jnp.clip(mean + jnp.exp(log_std) * noise, -1, 1)


sample = sample_scaled
limits = q_limits
actor = state_actor
policy = markov(_act)
