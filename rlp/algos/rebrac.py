"""ReBRAC: 2305.09836, as the authors' code (tinkoff-ai/ReBRAC).

TD3 with a penalty on the squared distance to the data's action in actor and critic, each weight its
own (equations 3 and 4), LayerNorm in the critics, three layers and large batches. Actor and
targets move in every second update, the first among them, and the target actor towards the actor
from before its step, as in their code. Where the data ends without terminating, the next action is
not known, and the critic's penalty is left out; the authors drop those steps.
"""

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from rlp.algos.values import bellman_loss, lowest, q_limits, scale_rewards
from rlp.config import Discount, NonNegativeFloat, Positive, PositiveFloat, Share, config
from rlp.data.dataset import Dataset, sample_sarsa
from rlp.nn import networks, optim
from rlp.types import (
    Limits,
    Memory,
    Metrics,
    Params,
    Sarsa,
    Spec,
    Transition,
    no_memory,
    state_actor,
)

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
    decay_learning_rates: bool = (
        False  # both by a cosine, to 0 at the last update (not the paper's)
    )
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


def sample(config: Config, key: jax.Array, dataset: Dataset) -> Sarsa:
    """Returns a batch of transitions with the actions after them."""
    batch = sample_sarsa(dataset, key, config.batch_size)
    return batch._replace(transition=scale_rewards(config, dataset, batch.transition))


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
    config: Config, state: State, step: jax.Array, key: jax.Array, batch: Sarsa
) -> tuple[State, Metrics]:
    """Returns the state after one update of the critics, and of actor and targets when due."""
    noise = Noise(jax.random.normal(key, batch.next_action.shape))
    return _update(config, state, step, batch, noise)


def _update(
    config: Config, state: State, step: jax.Array, batch: Sarsa, noise: Noise
) -> tuple[State, Metrics]:
    backup = _backup(config, state, batch, noise)
    transition = batch.transition
    grads, critic_metrics = optim.grad(
        lambda critic, *part: _critic_loss(critic, config, *part), state.critic, transition, backup
    )
    decay = optim.decay(step, config.num_updates, decays=config.decay_learning_rates)
    tx = optim.adam(config.critic_learning_rate * decay)
    critic, critic_opt = optim.step(tx, grads, state.critic_opt, state.critic)
    state = state._replace(critic=critic, critic_opt=critic_opt)
    is_due = step % config.policy_every == 0
    move_actor = functools.partial(_move_actor, config, decay)
    state, actor_metrics = jax.lax.cond(is_due, move_actor, _keep_actor, state, transition)
    return state, {**critic_metrics, **actor_metrics}


def _backup(config: Config, state: State, batch: Sarsa, noise: Noise) -> jax.Array:
    """Returns r + gamma (min Q(s', a') - beta 2 |a' - data's next action|^2), [B].

    a' is the target's action with clipped noise.
    """
    transition = batch.transition
    smoothing = config.policy_noise * noise.backup
    smoothing = jnp.clip(smoothing, -config.noise_clip, config.noise_clip)
    action = _policy(config, state.target_actor, transition.next_observation)
    action = jnp.clip(action + smoothing, -1, 1)
    next_q = jnp.min(_q(config, state.target_critic, transition.next_observation, action), axis=0)
    distance = batch.has_next_action * _distance(action, batch.next_action)
    next_q -= config.critic_penalty * distance
    discount = config.discount * transition.discount
    return transition.reward + discount * next_q


def _distance(action: jax.Array, other: jax.Array) -> jax.Array:
    """Returns the squared distance [B] of actions [B, A]."""
    return jnp.sum(jnp.square(action - other), axis=-1)


def _critic_loss(
    critic: Params, config: Config, batch: Transition, backup: jax.Array
) -> tuple[jax.Array, Metrics]:
    """Returns the squared Bellman error, the sum over the critics."""
    return bellman_loss(_q(config, critic, batch.observation, batch.action), backup)


def _move_actor(
    config: Config, decay: jax.Array, state: State, batch: Transition
) -> tuple[State, Metrics]:
    """Returns the state after a step of the actor on the new critics, and one of all targets."""
    grads, metrics = optim.grad(
        lambda actor, part: _actor_loss(actor, config, state.critic, part),
        state.actor, batch,
        whole=True,
    )  # fmt: skip
    tx = optim.adam(config.actor_learning_rate * decay)
    actor, actor_opt = optim.step(tx, grads, state.actor_opt, state.actor)
    state = state._replace(
        actor=actor,
        target_actor=optim.polyak(state.actor, state.target_actor, config.tau),  # as it was
        target_critic=optim.polyak(state.critic, state.target_critic, config.tau),
        actor_opt=actor_opt,
    )
    return state, {name: config.policy_every * value for name, value in metrics.items()}


def _keep_actor(state: State, batch: Transition) -> tuple[State, Metrics]:
    """Returns the state as it is; metrics of 0, so that the mean over all updates is right."""
    del batch
    return state, {"actor_loss": jnp.zeros(()), "distance": jnp.zeros(())}


def _actor_loss(
    actor: Params, config: Config, critic: Params, batch: Transition
) -> tuple[jax.Array, Metrics]:
    """Returns beta 1 |pi(s) - a|^2 - lambda min Q(s, pi(s)), lambda = 1 / mean |Q| constant."""
    action = _policy(config, actor, batch.observation)
    q = lowest(_q(config, critic, batch.observation, action))
    scale = 1 / optim.mean_of_all(jnp.abs(q)) if config.normalize_q else 1.0
    distance = jnp.mean(_distance(action, batch.action))
    loss = config.actor_penalty * distance - scale * jnp.mean(q)
    return loss, {"actor_loss": loss, "distance": distance}


def _critics(config: Config) -> networks.Network:
    return networks.critics(config.hidden_dims, config.num_critics, config.init, config.layer_norm)


def _q(config: Config, critic: Params, observation: jax.Array, action: jax.Array) -> jax.Array:
    """Returns Q [E, B]."""
    return _critics(config).apply(critic, observation, action)


def _policy(config: Config, actor: Params, observation: jax.Array) -> jax.Array:
    """Returns the action [..., A]."""
    network = _actor(config, networks.output_dim(actor))
    return jnp.tanh(network.apply(actor, observation))


def _actor(config: Config, action_dim: int) -> networks.Network:
    return networks.mlp(config.hidden_dims, action_dim, config.init)


def limits(config: Config, dataset: Dataset) -> Limits:
    """Returns the bounds on Q and its backup, which the penalty may lower.

    Two actions in [-1, 1] differ by 2 at most in each dimension.
    """
    farthest = 4.0 * dataset.action.shape[-1]
    return q_limits(config, dataset, lowest_extra=-config.critic_penalty * farthest)


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
