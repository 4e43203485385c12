"""TD3+BC: 2106.06860, on TD3 (1802.09477), as the authors' code and CORL's.

TD3 whose actor also minimises the squared distance to the data's action; lambda = alpha / mean |Q|
keeps the two on one scale (equation 5). Actor and targets move in every second update.
"""

from typing import Any

import jax
import jax.numpy as jnp

from rlp.algos import td3
from rlp.algos.td3 import Noise, State, policy_action, q_values
from rlp.algos.values import q_limits, sample_scaled
from rlp.config import Discount, NonNegativeFloat, Positive, PositiveFloat, Share, config
from rlp.nn import networks, optim
from rlp.types import Metrics, Params, Spec, Statistics, Transition, state_actor

NUM_CRITICS = 2
SUPPORTS = frozenset({"continuous"})
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


def init(config: Config, key: jax.Array, spec: Spec, statistics: Statistics) -> State:
    """Returns the state before the first update."""
    del statistics
    return td3.init(config, key, spec, NUM_CRITICS)


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
    state, critic_metrics = td3.update_critics(config, state, batch, backup)
    is_due = step % config.policy_every == config.policy_every - 1
    state, actor_metrics = td3.update_actor_when(is_due, _actor_loss, config, state, batch)
    return state, {**critic_metrics, **actor_metrics}


def _backup(config: Config, state: State, batch: Transition, noise: Noise) -> jax.Array:
    """Returns r + gamma min Q(s', a') [B], a' the target's action with clipped noise."""
    action = td3.target_action(config, state, batch.next_observation, noise)
    next_q = td3.target_q(config, state, batch.next_observation, action)
    return batch.reward + config.discount * batch.discount * next_q


def _actor_loss(
    actor: Params, config: Config, critic: Params, batch: Transition
) -> tuple[jax.Array, Metrics]:
    """Returns -lambda Q1(s, pi(s)) + (pi(s) - a)^2, lambda = alpha / mean |Q1| held constant."""
    action = policy_action(config, actor, batch.observation)
    first = jax.tree.map(lambda leaf: leaf[:1], critic)
    q = q_values(config, first, batch.observation, action)[0]
    scale = config.alpha / optim.mean_of_all(jnp.abs(q))
    error = jnp.mean(jnp.square(action - batch.action))
    loss = error - scale * jnp.mean(q)
    return loss, {"actor_loss": loss, "error": error}


sample = sample_scaled
limits = q_limits
actor = state_actor
policy = td3.policy
q_of = td3.q_of
