"""TD3+BC: 2106.06860, on TD3 (1802.09477), as the authors' code and CORL's.

TD3 whose actor also minimises the squared distance to the data's action; lambda = alpha / mean |Q|
keeps the two on one scale (equation 5). Actor and targets move in every second update.
"""

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from rlp.algos.values import bellman_loss, q_limits, scale_rewards
from rlp.config import Discount, NonNegativeFloat, Positive, PositiveFloat, Share, config
from rlp.data.dataset import Dataset, sample_transitions
from rlp.nn import networks, optim
from rlp.types import Memory, Metrics, Params, Spec, Transition, no_memory, state_actor

NUM_CRITICS = 2
NEEDS_REWARDS: bool = True


@config
class Config:
    """Hyperparameters of TD3+BC; the defaults are the authors'.

    They are those of main.py and TD3_BC.py of sfujim/TD3_BC (8791ad7), whose observations are
    normalised.
    """

    num_updates: Positive = 1_000_000  # gradient updates
    batch_size: Positive = 256  # transitions in a batch
    hidden_dims: tuple[Positive, ...] = (256, 256)  # widths of the hidden layers
    init: networks.Init = "torch"  # how weights are drawn
    layer_norm: networks.NormSide = "none"  # in the critics, before or after the activations
    actor_learning_rate: NonNegativeFloat = 3e-4  # Adam's
    critic_learning_rate: NonNegativeFloat = 3e-4  # Adam's
    discount: Discount = 0.99  # gamma
    tau: Share = 0.005  # Polyak step of the targets
    policy_noise: NonNegativeFloat = 0.2  # standard deviation of the target action's noise (sigma)
    noise_clip: NonNegativeFloat = 0.5  # clip of that noise (c)
    policy_every: Positive = 2  # updates of the critics for one of actor and targets (d)
    alpha: NonNegativeFloat = 2.5  # weight of Q against cloning
    reward_scale: PositiveFloat = 1.0  # factor of the rewards
    return_range: NonNegativeFloat = 0.0  # that the data's returns are to have; 0: as they are
    normalize_reward: bool = False  # rewards in units of the data's mean |r| (not the paper's)


PRESETS: dict[str, dict[str, Any]] = {
    "light": {  # a good policy within minutes on two CPU cores
        "num_updates": 50_000,
    },
    "paper": {},
}


class State(NamedTuple):
    """What training carries."""

    actor: Params
    target_actor: Params
    critic: Params  # [E]
    target_critic: Params  # [E]
    actor_opt: Any
    critic_opt: Any


class Noise(NamedTuple):
    """All randomness of one update."""

    backup: jax.Array  # [B, A], standard normal


def sample(config: Config, key: jax.Array, dataset: Dataset) -> Transition:
    """Returns a batch of transitions."""
    return scale_rewards(config, dataset, sample_transitions(dataset, key, config.batch_size))


def init(config: Config, key: jax.Array, spec: Spec) -> State:
    """Returns the state before the first update."""
    actor_key, critic_key = jax.random.split(key)
    observation, action = jnp.zeros(spec.observation_dim), jnp.zeros(spec.action_dim)
    actor = _actor(config, spec.action_dim).init(actor_key, observation)
    critic = _critics(config).init(critic_key, observation, action)
    return State(
        actor=actor,
        target_actor=actor,
        critic=critic,
        target_critic=critic,
        actor_opt=optim.adam(config.actor_learning_rate).init(actor),
        critic_opt=optim.adam(config.critic_learning_rate).init(critic),
    )


def update(
    config: Config, state: State, step: jax.Array, key: jax.Array, batch: Transition
) -> tuple[State, Metrics]:
    """Returns the state after one update of the critics, and of actor and targets when due."""
    noise = Noise(jax.random.normal(key, batch.action.shape))
    return _update(config, state, step, batch, noise)


def _update(
    config: Config, state: State, step: jax.Array, batch: Transition, noise: Noise
) -> tuple[State, Metrics]:
    backup = _backup(config, state, batch, noise)
    grads, critic_metrics = optim.grad(
        lambda critic, *part: _critic_loss(critic, config, *part), state.critic, batch, backup
    )
    tx = optim.adam(config.critic_learning_rate)
    critic, critic_opt = optim.step(tx, grads, state.critic_opt, state.critic)
    state = state._replace(critic=critic, critic_opt=critic_opt)
    is_due = step % config.policy_every == config.policy_every - 1
    move_actor = functools.partial(_move_actor, config)
    state, actor_metrics = jax.lax.cond(is_due, move_actor, _keep_actor, state, batch)
    return state, {**critic_metrics, **actor_metrics}


def _backup(config: Config, state: State, batch: Transition, noise: Noise) -> jax.Array:
    """Returns r + gamma min Q(s', a') [B], a' the target's action with clipped noise."""
    smoothing = config.policy_noise * noise.backup
    smoothing = jnp.clip(smoothing, -config.noise_clip, config.noise_clip)
    action = _policy(config, state.target_actor, batch.next_observation)
    action = jnp.clip(action + smoothing, -1, 1)
    next_q = jnp.min(_q(config, state.target_critic, batch.next_observation, action), axis=0)
    return batch.reward + config.discount * batch.discount * next_q


def _critic_loss(
    critic: Params, config: Config, batch: Transition, backup: jax.Array
) -> tuple[jax.Array, Metrics]:
    """Returns the squared Bellman error, the sum over the critics."""
    return bellman_loss(_q(config, critic, batch.observation, batch.action), backup)


def _move_actor(config: Config, state: State, batch: Transition) -> tuple[State, Metrics]:
    """Returns the state after a step of the actor on the new critics, and one of all targets."""
    grads, metrics = optim.grad(
        lambda actor, part: _actor_loss(actor, config, state.critic, part),
        state.actor, batch,
        whole=True,
    )  # fmt: skip
    tx = optim.adam(config.actor_learning_rate)
    actor, actor_opt = optim.step(tx, grads, state.actor_opt, state.actor)
    state = state._replace(
        actor=actor,
        target_actor=optim.polyak(actor, state.target_actor, config.tau),
        target_critic=optim.polyak(state.critic, state.target_critic, config.tau),
        actor_opt=actor_opt,
    )
    return state, {name: config.policy_every * value for name, value in metrics.items()}


def _keep_actor(state: State, batch: Transition) -> tuple[State, Metrics]:
    """Returns the state as it is; metrics of 0, so that the mean over all updates is right."""
    del batch
    return state, {"actor_loss": jnp.zeros(()), "error": jnp.zeros(())}


def _actor_loss(
    actor: Params, config: Config, critic: Params, batch: Transition
) -> tuple[jax.Array, Metrics]:
    """Returns -lambda Q1(s, pi(s)) + (pi(s) - a)^2, lambda = alpha / mean |Q1| held constant."""
    action = _policy(config, actor, batch.observation)
    first = jax.tree.map(lambda leaf: leaf[:1], critic)
    q = _q(config, first, batch.observation, action)[0]
    scale = config.alpha / optim.mean_of_all(jnp.abs(q))
    error = jnp.mean(jnp.square(action - batch.action))
    loss = error - scale * jnp.mean(q)
    return loss, {"actor_loss": loss, "error": error}


def _critics(config: Config) -> networks.Network:
    return networks.critics(config.hidden_dims, NUM_CRITICS, config.init, config.layer_norm)


def _q(config: Config, critic: Params, observation: jax.Array, action: jax.Array) -> jax.Array:
    """Returns Q [E, B]."""
    return _critics(config).apply(critic, observation, action)


def _policy(config: Config, actor: Params, observation: jax.Array) -> jax.Array:
    """Returns the action [..., A]."""
    network = _actor(config, networks.output_dim(actor))
    return jnp.tanh(network.apply(actor, observation))


def _actor(config: Config, action_dim: int) -> networks.Network:
    return networks.mlp(config.hidden_dims, action_dim, config.init)


limits = q_limits
actor = state_actor
init_memory = no_memory


def act(
    config: Config,
    params: Params,
    memory: Memory,
    observation: jax.Array,
    reward: jax.Array,
    key: jax.Array,
    temperature: jax.Array,
) -> tuple[jax.Array, Memory]:
    """Returns an action [A]; the policy is deterministic, whatever the temperature."""
    del reward, key, temperature
    chex.assert_rank(observation, 1)
    return _policy(config, params, observation), memory
