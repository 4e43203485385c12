"""Behaviour cloning: supervised learning of the actions in the data.

The deterministic head minimises the squared error of tanh(mean), as in CORL's `any_percent_bc.py`.
The stochastic head maximises the likelihood of a tanh-squashed normal; the categorical head
maximises the likelihood of discrete actions. %BC (2106.01345, section 5.1) is this algorithm on the
best episodes: `--top_fraction=0.1`.
"""

from typing import Any, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp

from rlp.algos.heads import check_head, choice_log_prob, choose
from rlp.config import NonNegativeFloat, Positive, config
from rlp.data.dataset import sample_steps
from rlp.nn import networks, optim
from rlp.nn.distributions import tanh_normal_log_prob, tanh_normal_sample
from rlp.types import (
    Metrics,
    Params,
    Sources,
    Spec,
    Statistics,
    Step,
    markov,
    no_limits,
    state_actor,
)

LOG_STD_MIN, LOG_STD_MAX = -5.0, 2.0
SUPPORTS = frozenset({"continuous", "discrete"})
NEEDS_REWARDS: bool = False


@config
class Config:
    """Hyperparameters of behaviour cloning."""

    num_updates: Positive = 20_000  # gradient updates
    batch_size: Positive = 256  # steps in a batch
    hidden_dims: tuple[Positive, ...] = (256, 256)  # widths of the hidden layers
    init: networks.Init = "torch"  # how weights are drawn
    head: Literal["deterministic", "stochastic", "categorical"] = "deterministic"  # of the actor
    learning_rate: NonNegativeFloat = 1e-3  # Adam's
    input_noise: NonNegativeFloat = 0.0  # standard deviation of noise on normalised observations


class State(NamedTuple):
    """The training state."""

    actor: Params
    opt_state: Any


class Noise(NamedTuple):
    """All random numbers of one update."""

    observation: jax.Array  # [B, O], standard normal


def init(config: Config, key: jax.Array, spec: Spec, statistics: Statistics) -> State:
    """Returns the state before the first update.

    Raises:
        InputError: if the head does not fit the kind of actions.
    """
    del statistics
    check_head(config.head, spec, "deterministic or stochastic")
    heads = 2 if config.head == "stochastic" else 1
    network = networks.mlp(config.hidden_dims, heads * spec.action_dim, config.init)
    actor = network.init(key, jnp.zeros(spec.observation_dim))
    return State(actor, optim.adam(config.learning_rate).init(actor))


def sample(config: Config, key: jax.Array, state: State, sources: Sources) -> Step:
    """Returns a batch of states and actions, including those without a known successor."""
    del state
    return sample_steps(sources, key, config.batch_size)


def update(
    config: Config, state: State, step: jax.Array, key: jax.Array, batch: Step
) -> tuple[State, Metrics]:
    """Returns the state after one update of the actor."""
    del step
    return _update(config, state, batch, Noise(jax.random.normal(key, batch.observation.shape)))


def _update(config: Config, state: State, batch: Step, noise: Noise) -> tuple[State, Metrics]:
    grads, metrics = optim.grad(
        lambda actor, *part: _actor_loss(actor, config, *part), state.actor, batch, noise
    )
    tx = optim.adam(config.learning_rate)
    return State(*optim.step(tx, grads, state.opt_state, state.actor)), metrics


def _actor_loss(
    actor: Params, config: Config, batch: Step, noise: Noise
) -> tuple[jax.Array, Metrics]:
    observation = batch.observation + config.input_noise * noise.observation
    if config.head == "categorical":
        loss = -jnp.mean(choice_log_prob(_output(config, actor, observation), batch.action))
        return loss, {"actor_loss": loss}
    mean, log_std = _head(config, actor, observation)
    error = jnp.mean(jnp.square(jnp.tanh(mean) - batch.action))
    if config.head == "deterministic":
        return error, {"actor_loss": error}
    loss = -jnp.mean(tanh_normal_log_prob(mean, log_std, batch.action))
    return loss, {"actor_loss": loss, "error": error, "log_std": jnp.mean(log_std)}


def _head(config: Config, actor: Params, observation: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns mean (before the tanh) and log standard deviation, [..., A] each."""
    output = _output(config, actor, observation)
    if config.head == "deterministic":
        return output, jnp.full_like(output, -jnp.inf)
    mean, log_std = jnp.split(output, 2, axis=-1)
    return mean, jnp.clip(log_std, LOG_STD_MIN, LOG_STD_MAX)


def _output(config: Config, actor: Params, observation: jax.Array) -> jax.Array:
    return networks.mlp(config.hidden_dims, networks.output_dim(actor)).apply(actor, observation)


def _act(
    config: Config, params: Params, observation: jax.Array, key: jax.Array, temperature: jax.Array
) -> jax.Array:
    """Returns an action [A], or a one-hot choice; the deterministic head ignores temperature."""
    chex.assert_rank(observation, 1)
    if config.head == "categorical":
        return choose(_output(config, params, observation), key, temperature)
    mean, log_std = _head(config, params, observation)
    noise = temperature * jax.random.normal(key, mean.shape)
    action, _ = tanh_normal_sample(mean, log_std, noise)
    return action


limits = no_limits
actor = state_actor
policy = markov(_act)
