"""Flow Q-learning: 2502.02538, as in the authors' code (seohongpark/fql).

A flow is trained to turn noise into the data's actions (flow matching, equation 2). A one-step
policy is distilled from the flow and also maximises Q (equation 8). It keeps the flow's modes, but
the gradient of Q need not pass through the flow's many steps. The critics' mean is used, not their
minimum.

At temperature 0 the policy acts on zero noise; the authors evaluate with sampled noise.
"""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from rlp.algos.values import bellman_loss, q_limits, sample_scaled
from rlp.config import Discount, NonNegativeFloat, Positive, PositiveFloat, Share, config
from rlp.nn import networks, optim
from rlp.types import (
    Metrics,
    Params,
    Spec,
    Statistics,
    Transition,
    markov,
    state_actor,
)

NUM_CRITICS = 2
SUPPORTS = frozenset({"continuous"})
NEEDS_REWARDS: bool = True


@config
class Config:
    """Hyperparameters of FQL; the defaults are the authors'.

    They come from agents/fql.py of seohongpark/fql (719d044), which does not normalise
    observations. `alpha` is the authors' for OGBench; they tune it for each data set.
    """

    num_updates: Positive = 1_000_000  # gradient updates
    batch_size: Positive = 256  # transitions in a batch
    hidden_dims: tuple[Positive, ...] = (512, 512, 512, 512)  # widths of the hidden layers
    init: networks.Init = "glorot"  # how weights are drawn
    layer_norm: networks.NormSide = "after"  # in the critics, before or after the activations
    learning_rate: NonNegativeFloat = 3e-4  # Adam's, for everything
    discount: Discount = 0.99  # gamma
    tau: Share = 0.005  # Polyak step of the target critics
    alpha: NonNegativeFloat = 10.0  # weight of the distance to the flow's actions
    num_flow_steps: Positive = 10  # of Euler's method, from noise to an action
    normalize_q: bool = False  # divide the actor's Q by its mean magnitude
    reward_scale: PositiveFloat = 1.0  # factor of the rewards
    return_range: NonNegativeFloat = 0.0  # span of the data's returns after scaling; 0: unscaled
    normalize_reward: bool = False  # rewards in units of the data's mean |r| (not the paper's)


PRESETS: dict[str, dict[str, Any]] = {
    "light": {  # a good policy within minutes on two CPU cores
        "num_updates": 20_000,
        "hidden_dims": (256, 256),
        "normalize_q": True,
        "alpha": 0.3,
    },
    "paper": {"normalize": False},
}


class State(NamedTuple):
    """The training state."""

    actor: Params  # the one-step policy
    flow: Params
    critic: Params  # [E]
    target_critic: Params  # [E]
    actor_opt: Any
    flow_opt: Any
    critic_opt: Any


class Noise(NamedTuple):
    """All random numbers of one update: standard normal, except the time in [0, 1]."""

    following: jax.Array  # [B, A], for the action at s'
    start: jax.Array  # [B, A], start of the flow
    time: jax.Array  # [B, 1]
    action: jax.Array  # [B, A], which the policy and the flow turn into actions


def init(config: Config, key: jax.Array, spec: Spec, statistics: Statistics) -> State:
    """Returns the state before the first update."""
    del statistics
    actor_key, flow_key, critic_key = jax.random.split(key, 3)
    observation, action = jnp.zeros(spec.observation_dim), jnp.zeros(spec.action_dim)
    inputs = jnp.concatenate([observation, action])
    actor = _mlp(config, spec.action_dim).init(actor_key, inputs)
    flow = _mlp(config, spec.action_dim).init(flow_key, jnp.append(inputs, 0.0))
    critic = _critics(config).init(critic_key, observation, action)
    tx = optim.adam(config.learning_rate)
    return State(actor, flow, critic, critic, tx.init(actor), tx.init(flow), tx.init(critic))


def update(
    config: Config, state: State, step: jax.Array, key: jax.Array, batch: Transition
) -> tuple[State, Metrics]:
    """Returns the state after one update of flow, policy, critics and targets."""
    del step
    keys, shape = jax.random.split(key, 4), batch.action.shape
    following, start, action = (jax.random.normal(each, shape) for each in keys[:3])
    time = jax.random.uniform(keys[3], (shape[0], 1))
    return _update(config, state, batch, Noise(following, start, time, action))


def _update(config: Config, state: State, batch: Transition, noise: Noise) -> tuple[State, Metrics]:
    flow_grads, flow_metrics = optim.grad(
        lambda flow, *part: _flow_loss(flow, config, *part),
        state.flow, batch, noise.start, noise.time,
    )  # fmt: skip
    flow_action = _flow_action(config, state.flow, batch.observation, noise.action)
    actor_grads, actor_metrics = optim.grad(
        lambda actor, *part: _actor_loss(actor, config, state.critic, *part),
        state.actor, batch, noise.action, flow_action,
        whole=config.normalize_q,
    )  # fmt: skip
    backup = _backup(config, state, batch, noise.following)
    critic_grads, critic_metrics = optim.grad(
        lambda critic, *part: _critic_loss(critic, config, *part), state.critic, batch, backup
    )
    tx = optim.adam(config.learning_rate)
    flow, flow_opt = optim.step(tx, flow_grads, state.flow_opt, state.flow)
    actor, actor_opt = optim.step(tx, actor_grads, state.actor_opt, state.actor)
    critic, critic_opt = optim.step(tx, critic_grads, state.critic_opt, state.critic)
    target_critic = optim.polyak(critic, state.target_critic, config.tau)
    state = State(actor, flow, critic, target_critic, actor_opt, flow_opt, critic_opt)
    return state, {**flow_metrics, **actor_metrics, **critic_metrics}


def _flow_loss(
    flow: Params, config: Config, batch: Transition, start: jax.Array, time: jax.Array
) -> tuple[jax.Array, Metrics]:
    """Returns the squared error of the velocity on the path from noise to the data's action."""
    there = (1 - time) * start + time * batch.action
    velocity = _velocity(config, flow, batch.observation, there, time)
    loss = jnp.mean(jnp.square(velocity - (batch.action - start)))
    return loss, {"flow_loss": loss}


def _flow_action(
    config: Config, flow: Params, observation: jax.Array, noise: jax.Array
) -> jax.Array:
    """Returns the actions [B, A] that the flow makes from noise, by Euler's method."""
    action, steps = noise, config.num_flow_steps
    for number in range(steps):
        time = jnp.full((len(noise), 1), number / steps)
        action += _velocity(config, flow, observation, action, time) / steps
    return jnp.clip(action, -1, 1)


def _actor_loss(
    actor: Params,
    config: Config,
    critic: Params,
    batch: Transition,
    noise: jax.Array,
    flow_action: jax.Array,
) -> tuple[jax.Array, Metrics]:
    """Returns alpha (pi(s, z) - flow(s, z))^2 - Q; with `normalize_q`, Q is divided by mean |Q|."""
    action = _one_step(config, actor, batch.observation, noise)
    distance = jnp.mean(jnp.square(action - flow_action))
    q = jnp.mean(_q(config, critic, batch.observation, jnp.clip(action, -1, 1)), axis=0)
    scale = 1 / optim.mean_of_all(jnp.abs(q)) if config.normalize_q else 1.0
    loss = config.alpha * distance - scale * jnp.mean(q)
    return loss, {"actor_loss": loss, "distance": distance}


def _backup(config: Config, state: State, batch: Transition, noise: jax.Array) -> jax.Array:
    """Returns r + gamma Q(s', pi(s', z)) [B], with the mean Q of the target critics."""
    following = batch.next_observation
    action = jnp.clip(_one_step(config, state.actor, following, noise), -1, 1)
    next_q = jnp.mean(_q(config, state.target_critic, following, action), axis=0)
    return batch.reward + config.discount * batch.discount * next_q


def _critic_loss(
    critic: Params, config: Config, batch: Transition, backup: jax.Array
) -> tuple[jax.Array, Metrics]:
    """Returns the squared Bellman error, averaged over the critics."""
    loss, metrics = bellman_loss(_q(config, critic, batch.observation, batch.action), backup)
    loss = loss / NUM_CRITICS
    return loss, {**metrics, "critic_loss": loss}


def _q(config: Config, critic: Params, observation: jax.Array, action: jax.Array) -> jax.Array:
    """Returns Q [E, B]."""
    return _critics(config).apply(critic, observation, action)


def q_of(
    config: Config, state: State, statistics: Statistics, observation: jax.Array, action: jax.Array
) -> jax.Array:
    """Returns Q [E, B] of the critics, see `rlp.types.Algo`."""
    del statistics
    return _q(config, state.critic, observation, action)


def _one_step(config: Config, actor: Params, observation: jax.Array, noise: jax.Array) -> jax.Array:
    """Returns the policy's actions [..., A], not clipped."""
    inputs = jnp.concatenate([observation, noise], axis=-1)
    return _mlp(config, networks.output_dim(actor)).apply(actor, inputs)


def _velocity(
    config: Config, flow: Params, observation: jax.Array, action: jax.Array, time: jax.Array
) -> jax.Array:
    inputs = jnp.concatenate([observation, action, time], axis=-1)
    return _mlp(config, networks.output_dim(flow)).apply(flow, inputs)


def _critics(config: Config) -> networks.Network:
    return networks.critics(
        config.hidden_dims, NUM_CRITICS, config.init, config.layer_norm, activation="gelu"
    )


def _mlp(config: Config, output_dim: int) -> networks.Network:
    return networks.mlp(config.hidden_dims, output_dim, config.init, activation="gelu")


def _act(
    config: Config, params: Params, observation: jax.Array, key: jax.Array, temperature: jax.Array
) -> jax.Array:
    """Returns an action [A]."""
    chex.assert_rank(observation, 1)
    noise = temperature * jax.random.normal(key, (networks.output_dim(params),))
    return jnp.clip(_one_step(config, params, observation, noise), -1, 1)


sample = sample_scaled
limits = q_limits
actor = state_actor
policy = markov(_act)
