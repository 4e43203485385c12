"""What TD3+BC and ReBRAC have of TD3 (1802.09477): a deterministic policy, critics, their targets.

The backup is of the target policy's action with clipped noise, and actor and targets move once in
`policy_every` updates of the critics. A config of these algorithms has the fields that are used.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from rlp.algos.values import bellman_loss
from rlp.nn import networks, optim
from rlp.system import target
from rlp.types import Metrics, Params, Spec, Statistics, Transition, markov

ActorLoss = Callable[..., tuple[jax.Array, Metrics]]  # of (actor, config, critic, batch)


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


def init(config: Any, key: jax.Array, spec: Spec, num_critics: int) -> State:
    """Returns the state before the first update; targets are copies."""
    actor_key, critic_key = jax.random.split(key)
    observation, action = jnp.zeros(spec.observation_dim), jnp.zeros(spec.action_dim)
    actor = _actor(config, spec.action_dim).init(actor_key, observation)
    critic = _critics(config, num_critics).init(critic_key, observation, action)
    return State(
        actor=actor,
        target_actor=actor,
        critic=critic,
        target_critic=critic,
        actor_opt=optim.adam(config.actor_learning_rate).init(actor),
        critic_opt=optim.adam(config.critic_learning_rate).init(critic),
    )


def target_action(config: Any, state: State, observation: jax.Array, noise: Noise) -> jax.Array:
    """Returns the target policy's action [B, A] with clipped noise (equation 14)."""
    smoothing = config.policy_noise * noise.backup
    smoothing = jnp.clip(smoothing, -config.noise_clip, config.noise_clip)
    return jnp.clip(policy_action(config, state.target_actor, observation) + smoothing, -1, 1)


def target_q(config: Any, state: State, observation: jax.Array, action: jax.Array) -> jax.Array:
    """Returns the minimum over the target critics [B]."""
    return jnp.min(q_values(config, state.target_critic, observation, action), axis=0)


def update_critics(
    config: Any, state: State, batch: Transition, backup: jax.Array, decay: jax.Array | float = 1.0
) -> tuple[State, Metrics]:
    """Returns the state after a step of the critics towards backups [B], the rate times `decay`."""
    grads, metrics = optim.grad(
        lambda critic, *part: critic_loss(critic, config, *part), state.critic, batch, backup
    )
    tx = optim.adam(config.critic_learning_rate * decay)
    critic, critic_opt = optim.step(tx, grads, state.critic_opt, state.critic)
    return state._replace(critic=critic, critic_opt=critic_opt), metrics


def update_actor_when(
    is_due: jax.Array,
    loss: ActorLoss,
    config: Any,
    state: State,
    batch: Transition,
    decay: jax.Array | float = 1.0,
    follows_old_actor: bool = False,
) -> tuple[State, Metrics]:
    """Returns the state after a step of the actor on the new critics and of all targets, when due.

    Metrics are `policy_every` times as large, and 0 when it is not: the mean over all is right.

    Args:
        is_due: whether it is.
        loss: of the actor, given the critics and the batch; it may use values of the whole batch.
        config: the setting.
        state: the state.
        batch: the transitions.
        decay: factor of the learning rate.
        follows_old_actor: whether the target goes towards the actor from before its step.
    """

    def move(state: State) -> tuple[State, Metrics]:
        grads, metrics = optim.grad(
            lambda actor, part: loss(actor, config, state.critic, part),
            state.actor,
            batch,
            whole=True,
        )
        tx = optim.adam(config.actor_learning_rate * decay)
        actor, actor_opt = optim.step(tx, grads, state.actor_opt, state.actor)
        leader = state.actor if follows_old_actor else actor
        state = state._replace(
            actor=actor,
            target_actor=optim.polyak(leader, state.target_actor, config.tau),
            target_critic=optim.polyak(state.critic, state.target_critic, config.tau),
            actor_opt=actor_opt,
        )
        return state, {name: config.policy_every * value for name, value in metrics.items()}

    def keep(state: State) -> tuple[State, Metrics]:
        _, metrics = jax.eval_shape(move, state)
        return state, {name: jnp.zeros(()) for name in metrics}

    return target.cond(is_due, move, keep, state)


def critic_loss(
    critic: Params, config: Any, batch: Transition, backup: jax.Array
) -> tuple[jax.Array, Metrics]:
    """Returns the squared Bellman error, the sum over the critics."""
    return bellman_loss(q_values(config, critic, batch.observation, batch.action), backup)


def q_values(config: Any, critic: Params, observation: jax.Array, action: jax.Array) -> jax.Array:
    """Returns Q [E, B]."""
    num_critics = len(jax.tree.leaves(critic)[0])
    return _critics(config, num_critics).apply(critic, observation, action)


def q_of(
    config: Any, state: State, statistics: Statistics, observation: jax.Array, action: jax.Array
) -> jax.Array:
    """Returns Q [E, B] of the critics, see `rlp.types.Algo`."""
    del statistics
    return q_values(config, state.critic, observation, action)


def policy_action(config: Any, actor: Params, observation: jax.Array) -> jax.Array:
    """Returns the action [..., A]."""
    return jnp.tanh(_actor(config, networks.output_dim(actor)).apply(actor, observation))


def _critics(config: Any, size: int) -> networks.Network:
    return networks.critics(config.hidden_dims, size, config.init, config.layer_norm)


def _actor(config: Any, action_dim: int) -> networks.Network:
    return networks.mlp(config.hidden_dims, action_dim, config.init)


def _act(
    config: Any, params: Params, observation: jax.Array, key: jax.Array, temperature: jax.Array
) -> jax.Array:
    """Returns an action [A]; the policy is deterministic, whatever the temperature."""
    del key, temperature
    chex.assert_rank(observation, 1)
    return policy_action(config, params, observation)


policy = markov(_act, samples=False)
