"""ReBRAC: 2305.09836, as the authors' code (tinkoff-ai/ReBRAC).

TD3 with a penalty on the squared distance to the data's action in actor and critic, each weight its
own (equations 3 and 4), LayerNorm in the critics, three layers and large batches. Actor and
targets move in every second update, the first among them, and the target actor towards the actor
from before its step, as in their code. Where the data ends without terminating, the next action is
not known, and the critic's penalty is left out; the authors drop those steps.
"""

from typing import Any

import jax
import jax.numpy as jnp

from rlp.algos import td3
from rlp.algos.td3 import Noise, State, policy_action, q_values
from rlp.algos.values import lowest, q_limits, scale_rewards
from rlp.config import Discount, NonNegativeFloat, Positive, PositiveFloat, Share, config
from rlp.data.dataset import sample_sarsa, statistics_of
from rlp.nn import networks, optim
from rlp.types import (
    Limits,
    Metrics,
    Params,
    Sarsa,
    Sources,
    Spec,
    Statistics,
    Transition,
    state_actor,
)

SUPPORTS = frozenset({"continuous"})
NEEDS_REWARDS: bool = True


@config
class Config:
    """Hyperparameters of ReBRAC; the defaults are the authors'.

    They are those of src/algorithms/rebrac.py and src/networks.py of tinkoff-ai/ReBRAC (694385b),
    whose observations are not normalised. The authors tune the two penalties for each data set
    (configs/rebrac): 0.05 and 0.1 on walker2d-medium, 0.001 and 0.01 on halfcheetah-medium.
    """

    num_updates: Positive = 1_000_000  # gradient updates
    batch_size: Positive = 1024  # transitions in a batch
    hidden_dims: tuple[Positive, ...] = (256, 256, 256)  # widths of the hidden layers
    num_critics: Positive = 2  # whose lowest Q counts
    init: networks.Init = "edac"  # how weights are drawn
    layer_norm: networks.NormSide = "after"  # in the critics, before or after the activations
    actor_learning_rate: NonNegativeFloat = 1e-3  # Adam's
    critic_learning_rate: NonNegativeFloat = 1e-3  # Adam's
    decay_learning_rates: bool = False  # both by a cosine, to 0 at the end (not the paper's)
    discount: Discount = 0.99  # gamma
    tau: Share = 0.005  # Polyak step of the targets
    policy_noise: NonNegativeFloat = 0.2  # standard deviation of noise on the target's action
    noise_clip: NonNegativeFloat = 0.5  # clip of that noise
    policy_every: Positive = 2  # updates of the critics for one of actor and targets
    actor_penalty: NonNegativeFloat = 1.0  # weight of the squared distance in the actor (beta 1)
    critic_penalty: NonNegativeFloat = 1.0  # weight of the squared distance in the backup (beta 2)
    normalize_q: bool = True  # divide the actor's Q by its mean magnitude
    reward_scale: PositiveFloat = 1.0  # factor of the rewards
    return_range: NonNegativeFloat = 0.0  # that the data's returns are to have; 0: as they are
    normalize_reward: bool = False  # rewards in units of the data's mean |r| (not the paper's)


PRESETS: dict[str, dict[str, Any]] = {
    "light": {  # a good policy within minutes on two CPU cores
        "num_updates": 30_000,
        "batch_size": 256,
        "num_critics": 4,
        "decay_learning_rates": True,
        "discount": 0.98,
        "actor_penalty": 0.1,  # less where the data has actions of all kinds
        "critic_penalty": 0.01,
    },
    "paper": {"normalize": False},
}


def init(config: Config, key: jax.Array, spec: Spec, statistics: Statistics) -> State:
    """Returns the state before the first update."""
    del statistics
    return td3.init(config, key, spec, config.num_critics)


def sample(config: Config, key: jax.Array, state: State, sources: Sources) -> Sarsa:
    """Returns a batch of transitions with the actions after them."""
    del state
    batch = sample_sarsa(sources, key, config.batch_size)
    transition = scale_rewards(config, statistics_of(sources), batch.transition)
    return batch._replace(transition=transition)


def update(
    config: Config, state: State, step: jax.Array, key: jax.Array, batch: Sarsa
) -> tuple[State, Metrics]:
    """Returns the state after one update of the critics, and of actor and targets when due."""
    noise = Noise(jax.random.normal(key, batch.next_action.shape))
    return _update(config, state, step, batch, noise)


def _update(
    config: Config, state: State, step: jax.Array, batch: Sarsa, noise: Noise
) -> tuple[State, Metrics]:
    transition, decay = batch.transition, 1.0
    if config.decay_learning_rates:
        decay = optim.cosine_decay(step, config.num_updates)
    backup = _backup(config, state, batch, noise)
    state, critic_metrics = td3.update_critics(config, state, transition, backup, decay)

    is_due = step % config.policy_every == 0
    state, actor_metrics = td3.update_actor_when(
        is_due, _actor_loss, config, state, transition, decay, follows_old_actor=True
    )
    return state, {**critic_metrics, **actor_metrics}


def _backup(config: Config, state: State, batch: Sarsa, noise: Noise) -> jax.Array:
    """Returns r + gamma (min Q(s', a') - beta 2 |a' - data's next action|^2), [B].

    a' is the target's action with clipped noise.
    """
    transition, following = batch.transition, batch.transition.next_observation
    action = td3.target_action(config, state, following, noise)
    distance = batch.has_next_action * _distance(action, batch.next_action)
    next_q = td3.target_q(config, state, following, action) - config.critic_penalty * distance
    return transition.reward + config.discount * transition.discount * next_q


def _actor_loss(
    actor: Params, config: Config, critic: Params, batch: Transition
) -> tuple[jax.Array, Metrics]:
    """Returns beta 1 |pi(s) - a|^2 - lambda min Q(s, pi(s)), lambda = 1 / mean |Q| constant."""
    action = policy_action(config, actor, batch.observation)
    q = lowest(q_values(config, critic, batch.observation, action))
    scale = 1 / optim.mean_of_all(jnp.abs(q)) if config.normalize_q else 1.0
    distance = jnp.mean(_distance(action, batch.action))
    loss = config.actor_penalty * distance - scale * jnp.mean(q)
    return loss, {"actor_loss": loss, "distance": distance}


def _distance(action: jax.Array, other: jax.Array) -> jax.Array:
    """Returns the squared distance [B] of actions [B, A]."""
    return jnp.sum(jnp.square(action - other), axis=-1)


def limits(config: Config, spec: Spec, statistics: Statistics) -> Limits:
    """Returns the bounds on Q and its backup, which the penalty may lower.

    Two actions in [-1, 1] differ by 2 at most in each dimension.
    """
    farthest = 4.0 * spec.action_dim
    return q_limits(config, spec, statistics, lowest_extra=-config.critic_penalty * farthest)


actor = state_actor
policy = td3.policy
q_of = td3.q_of
