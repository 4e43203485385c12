"""Soft actor-critic: 1801.01290 and 1812.05905, with the minimum over its critics.

The policy maximises reward and entropy. The temperature of the entropy is learned so that the
entropy stays near a target. SAC learns online (`rlp.collect`). Offline, only the minimum over many
critics keeps it near the data: SAC-N and, with a term that keeps the critics diverse, EDAC
(2110.01548; as in snu-mllab/EDAC, 198d570, and CORL's edac.py). CQL builds on this file.
"""

import math
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from rlp.algos.values import bellman_loss, lowest, q_limits, sample_scaled
from rlp.config import Discount, NonNegativeFloat, Positive, PositiveFloat, Share, config
from rlp.errors import InputError
from rlp.nn import networks, optim
from rlp.nn.distributions import tanh_normal_sample
from rlp.types import (
    Limits,
    Metrics,
    Params,
    Spec,
    Statistics,
    Transition,
    markov,
    state_actor,
)

SUPPORTS = frozenset({"continuous"})
NEEDS_REWARDS: bool = True
Head = tuple[jax.Array, jax.Array]  # mean (before the tanh) and log standard deviation, [..., A]


@config
class Config:
    """Hyperparameters of SAC; the defaults are those of 1812.05905, appendix D."""

    num_updates: Positive = 1_000_000  # gradient updates
    batch_size: Positive = 256  # transitions in a batch
    hidden_dims: tuple[Positive, ...] = (256, 256)  # widths of the hidden layers
    num_critics: Positive = 2  # critics in the ensemble
    init: networks.Init = "flax"  # how weights are drawn
    layer_norm: networks.NormSide = "none"  # in the critics, before or after the activations
    actor_learning_rate: NonNegativeFloat = 3e-4  # Adam's for the actor and alpha
    critic_learning_rate: NonNegativeFloat = 3e-4  # Adam's for the critics
    discount: Discount = 0.99  # gamma
    tau: Share = 0.005  # Polyak step of the target critics
    reward_scale: PositiveFloat = 1.0  # factor of the rewards
    return_range: NonNegativeFloat = 0.0  # span of the data's returns after scaling; 0: unscaled
    normalize_reward: bool = False  # rewards in units of the data's mean |r| (not the paper's)
    alpha: PositiveFloat = 1.0  # temperature of the entropy; its initial value if it is learned
    learn_alpha: bool = True  # learn the temperature: the entropy approaches the target
    target_entropy: float = -1.0  # per dimension of an action: -1 is -A in all
    backup_entropy: bool = True  # subtract alpha log pi in the backup
    log_std_min: float = -20.0  # clip of the policy's log standard deviation
    log_std_max: float = 2.0  # clip of the policy's log standard deviation
    diversify: bool = False  # EDAC: keep the critics diverse, with weight `diversity`
    diversity: NonNegativeFloat = 1.0  # weight of the similarity of their gradients (eta, 0 to 5)


_SAC_N: dict[str, Any] = {
    "num_updates": 3_000_000,
    "hidden_dims": (256, 256, 256),
    "init": "edac",
    "log_std_min": -5.0,
    "num_critics": 10,  # 10 to 500 in the paper, depending on the task
    "normalize": False,
}
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "sac-n": _SAC_N,
    "edac": {**_SAC_N, "diversify": True},
}


class State(NamedTuple):
    """The training state."""

    actor: Params
    critic: Params  # [E]
    target_critic: Params  # [E]
    log_alpha: jax.Array
    actor_opt: Any
    critic_opt: Any
    alpha_opt: Any


class Noise(NamedTuple):
    """All random numbers of one update, standard normal."""

    policy: jax.Array  # [B, A]
    backup: jax.Array  # [B, A]


def init(config: Config, key: jax.Array, spec: Spec, statistics: Statistics) -> State:
    """Returns the state before the first update.

    Raises:
        InputError: if a single critic should be diverse.
    """
    del statistics
    if config.diversify and config.num_critics == 1:
        raise InputError("--diversify: it keeps several critics apart; give --num_critics")
    actor_key, critic_key = jax.random.split(key)
    observation, action = jnp.zeros(spec.observation_dim), jnp.zeros(spec.action_dim)
    actor = _mlp(config, 2 * spec.action_dim).init(actor_key, observation)
    critic = _critics(config).init(critic_key, observation, action)
    log_alpha = log_of(config.alpha)
    actor_tx, critic_tx = optimizers(config)
    return State(
        actor=actor,
        critic=critic,
        target_critic=critic,
        log_alpha=log_alpha,
        actor_opt=actor_tx.init(actor),
        critic_opt=critic_tx.init(critic),
        alpha_opt=actor_tx.init(log_alpha),
    )


def log_of(alpha: jax.Array | float) -> jax.Array:
    """Returns the logarithm of a temperature; for 0 that of the smallest normal float32."""
    return jnp.log(jnp.maximum(alpha, jnp.finfo(jnp.float32).tiny))


def optimizers(config: Any) -> tuple[Any, Any]:
    """Returns Adam for the actor and alpha, and for the critics."""
    return optim.adam(config.actor_learning_rate), optim.adam(config.critic_learning_rate)


def update(
    config: Config, state: State, step: jax.Array, key: jax.Array, batch: Transition
) -> tuple[State, Metrics]:
    """Returns the state after one update of actor, critics, targets and alpha."""
    del step
    keys, shape = jax.random.split(key), batch.action.shape
    return _update(config, state, batch, Noise(*(jax.random.normal(key, shape) for key in keys)))


def _update(config: Config, state: State, batch: Transition, noise: Noise) -> tuple[State, Metrics]:
    alpha = jnp.exp(state.log_alpha)
    following = batch.next_observation
    action, log_prob = sample_actions(_head(config, state.actor, following), noise.backup[:, None])
    next_q = _q(config, state.target_critic, following, action)
    target = backup(config, alpha, batch, next_q, log_prob)
    actor_grads, actor_metrics = optim.grad(
        lambda actor, *part: _actor_loss(actor, config, state.critic, alpha, *part),
        state.actor, batch, noise.policy,
    )  # fmt: skip
    critic_grads, critic_metrics = optim.grad(
        lambda critic, *part: _critic_loss(critic, config, *part), state.critic, batch, target
    )
    state = step_networks(config, state, actor_grads, critic_grads)
    state, alpha_metrics = step_alpha(
        config, state, actor_metrics["log_prob"], batch.action.shape[-1]
    )
    return state, {**actor_metrics, **critic_metrics, "alpha": alpha, **alpha_metrics}


def sample_actions(head: Head, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns N actions per state [B, N, A] for noise [B, N, A], and their log-densities [B, N]."""
    mean, log_std = (jnp.broadcast_to(x[:, None], noise.shape) for x in head)
    return tanh_normal_sample(mean, log_std, noise)


def backup(
    config: Any, alpha: jax.Array, batch: Transition, next_q: jax.Array, log_prob: jax.Array
) -> jax.Array:
    """Returns r + gamma Q(s', a') [B], with the minimum over critics, the maximum over actions.

    Args:
        config: the setting.
        alpha: the temperature.
        batch: the transitions.
        next_q: [E, B, N], of the target critics.
        log_prob: [B, N], log-densities of the actions, which the soft backup subtracts.
    """
    q = jnp.min(next_q, axis=0)
    best = jnp.argmax(q, axis=1, keepdims=True)
    value = jnp.take_along_axis(q, best, axis=1)[:, 0]
    if config.backup_entropy:
        value -= alpha * jnp.take_along_axis(log_prob, best, axis=1)[:, 0]
    return batch.reward + config.discount * batch.discount * value


def _critic_loss(
    critic: Params, config: Config, batch: Transition, target: jax.Array
) -> tuple[jax.Array, Metrics]:
    """Returns the squared Bellman error, summed over the critics, plus EDAC's diversity term."""
    q = _q(config, critic, batch.observation, batch.action[:, None])[..., 0]  # [E, B]
    loss, metrics = bellman_loss(q, target)
    metrics["backup"] = jnp.mean(target)
    if config.diversify:
        alike = _likeness(config, critic, batch)
        loss, metrics["likeness"] = loss + config.diversity * alike, alike
    return loss, metrics


def _likeness(config: Config, critic: Params, batch: Transition) -> jax.Array:
    """Returns how similar the critics' gradients with respect to the data's actions are.

    It is the cosine between two gradients, summed over all ordered pairs and divided by E - 1. The
    maximum E means that all are equal (2110.01548, equation 6).
    """

    def slope(one: Params) -> jax.Array:
        """Returns the gradient [B, A] of one critic [1] with respect to the actions."""
        return jax.grad(
            lambda action: jnp.sum(_q(config, one, batch.observation, action[:, None]))
        )(batch.action)

    slopes = jax.vmap(slope)(jax.tree.map(lambda leaf: leaf[:, None], critic))  # [E, B, A]
    slopes /= jnp.linalg.norm(slopes, axis=-1, keepdims=True) + 1e-10
    cosines = jnp.einsum("eba,fba->efb", slopes, slopes)
    others = 1 - jnp.eye(config.num_critics)
    return jnp.mean(jnp.sum(others[..., None] * cosines, axis=(0, 1))) / (config.num_critics - 1)


def _actor_loss(
    actor: Params,
    config: Config,
    critic: Params,
    alpha: jax.Array,
    batch: Transition,
    noise: jax.Array,
) -> tuple[jax.Array, Metrics]:
    """Returns alpha log pi - min Q."""
    head = _head(config, actor, batch.observation)
    action, log_prob = sample_actions(head, noise[:, None])
    loss = jnp.mean(alpha * log_prob - lowest(_q(config, critic, batch.observation, action)))
    return loss, {"actor_loss": loss, "log_prob": jnp.mean(log_prob)}


def step_networks(config: Any, state: Any, actor_grads: Params, critic_grads: Params) -> Any:
    """Returns a state, SAC's or an extension, after a step of actor, critics and targets."""
    actor_tx, critic_tx = optimizers(config)
    actor, actor_opt = optim.step(actor_tx, actor_grads, state.actor_opt, state.actor)
    critic, critic_opt = optim.step(critic_tx, critic_grads, state.critic_opt, state.critic)
    return state._replace(
        actor=actor,
        actor_opt=actor_opt,
        critic=critic,
        critic_opt=critic_opt,
        target_critic=optim.polyak(critic, state.target_critic, config.tau),
    )


def step_alpha(
    config: Any, state: Any, log_prob: jax.Array, action_dim: int
) -> tuple[Any, Metrics]:
    """Returns a state after a step of alpha towards the target entropy, if it is learned."""
    if not config.learn_alpha:
        return state, {}

    def loss(log_alpha: jax.Array) -> jax.Array:
        return -log_alpha * (log_prob + config.target_entropy * action_dim)

    value, grad = jax.value_and_grad(loss)(state.log_alpha)
    tx, _ = optimizers(config)
    log_alpha, alpha_opt = optim.step(tx, grad, state.alpha_opt, state.log_alpha)
    return state._replace(log_alpha=log_alpha, alpha_opt=alpha_opt), {"alpha_loss": value}


def _critics(config: Config) -> networks.Network:
    return networks.critics(config.hidden_dims, config.num_critics, config.init, config.layer_norm)


def _q(config: Config, critic: Params, observation: jax.Array, action: jax.Array) -> jax.Array:
    return q_values(_critics(config), critic, observation, action)


def q_values(
    network: networks.Network, critic: Params, observation: jax.Array, action: jax.Array
) -> jax.Array:
    """Returns Q [E, B, N] for N actions [B, N, A] in each state [B, O]."""
    shape = (*action.shape[:2], observation.shape[-1])  # [B, N, O]
    return network.apply(critic, jnp.broadcast_to(observation[:, None], shape), action)


def q_of(
    config: Config, state: State, statistics: Statistics, observation: jax.Array, action: jax.Array
) -> jax.Array:
    """Returns Q [E, B] of the critics, see `rlp.types.Algo`."""
    del statistics
    return _q(config, state.critic, observation, action[:, None])[..., 0]


def _head(config: Config, actor: Params, observation: jax.Array) -> Head:
    network = _mlp(config, networks.output_dim(actor))
    mean, log_std = jnp.split(network.apply(actor, observation), 2, axis=-1)
    return mean, jnp.clip(log_std, config.log_std_min, config.log_std_max)


def _mlp(config: Config, output_dim: int) -> networks.Network:
    return networks.mlp(config.hidden_dims, output_dim, config.init)


def limits(config: Any, spec: Spec, statistics: Statistics) -> Limits:
    """Returns the bounds on Q and its backup.

    With `backup_entropy` a backup adds alpha times the policy's entropy. For actions in [-1, 1] the
    entropy is at most log 2 per dimension, and at least about that of the narrowest normal. A
    learned alpha enters with its initial value: while the entropy is above its target, it only
    falls.
    """
    alpha = config.alpha * spec.action_dim if config.backup_entropy else 0.0
    narrowest = config.log_std_min + 0.5 * math.log(2 * math.pi * math.e)
    return q_limits(config, spec, statistics, alpha * narrowest, alpha * math.log(2))


def _act(
    config: Config, params: Params, observation: jax.Array, key: jax.Array, temperature: jax.Array
) -> jax.Array:
    """Returns an action [A]."""
    return act(_head(config, params, observation), key, temperature)


def act(head: Head, key: jax.Array, temperature: jax.Array) -> jax.Array:
    """Returns an action [A] from a head in one state."""
    chex.assert_rank(head, 1)
    mean, log_std = head
    action, _ = tanh_normal_sample(mean, log_std, temperature * jax.random.normal(key, mean.shape))
    return action


sample = sample_scaled
actor = state_actor
policy = markov(_act)
