"""Deep Q-learning for discrete actions: DQN (1312.5602) with double targets (1509.06461).

Two other algorithms differ only in the loss, and are presets of this file:

    quantiles   QR-DQN (1710.10044): `num_quantiles` of the return instead of its mean (algorithm 1)
    cql         discrete CQL(H) (2006.04779, equation 4), with the logsumexp over all actions

The papers play Atari games; the defaults are for vector observations. The target moves a little in
every update. To copy it periodically, as in the papers, use `--tau=1 --target_every=2500`.
"""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from rlp.algos import conservative
from rlp.algos.values import q_limits, scale_rewards
from rlp.config import Discount, NonNegativeFloat, Positive, PositiveFloat, Share, config
from rlp.data.dataset import sample_n_steps, statistics_of
from rlp.nn import networks, optim
from rlp.types import (
    Limits,
    Metrics,
    Params,
    Sources,
    Spec,
    Statistics,
    Transition,
    markov,
)

SUPPORTS = frozenset({"discrete"})
NEEDS_REWARDS: bool = True


@config
class Config:
    """Hyperparameters of DQN."""

    num_updates: Positive = 100_000  # gradient updates
    batch_size: Positive = 128  # transitions in a batch
    hidden_dims: tuple[Positive, ...] = (128, 128)  # widths of the hidden layers
    init: networks.Init = "torch"  # how weights are drawn
    layer_norm: networks.NormSide = "none"  # before or after the activations
    learning_rate: NonNegativeFloat = 1e-3  # Adam's
    discount: Discount = 0.99  # gamma
    num_steps_ahead: Positive = 1  # rewards before the target's Q (n); fewer near an episode's end
    tau: Share = 0.01  # Polyak step of the target
    target_every: Positive = 1  # updates between such steps
    double: bool = True  # the network chooses the next action, its target only scores it
    num_quantiles: Positive = 1  # of the return; 1: its mean
    cql_weight: NonNegativeFloat = 0.0  # of logsumexp Q - Q of the data's action
    huber: PositiveFloat = 1.0  # error above which the loss is linear
    reward_scale: PositiveFloat = 1.0  # factor of the rewards
    return_range: NonNegativeFloat = 0.0  # span of the data's returns after scaling; 0: unscaled
    normalize_reward: bool = False  # rewards in units of the data's mean |r|


PRESETS: dict[str, dict[str, Any]] = {
    "double": {"num_steps_ahead": 3},
    "quantiles": {"num_steps_ahead": 3, "num_quantiles": 50},
    "cql": {  # chosen on CartPole's logged data, seeds 100 to 104
        "num_updates": 20_000,
        "hidden_dims": (256, 256),
        "learning_rate": 1e-4,
        "cql_weight": 1.0,
    },
}


class State(NamedTuple):
    """The training state."""

    critic: Params
    target_critic: Params
    critic_opt: Any


def init(config: Config, key: jax.Array, spec: Spec, statistics: Statistics) -> State:
    """Returns the state before the first update."""
    del statistics
    num_outputs = spec.action_dim * config.num_quantiles
    critic = _network(config, num_outputs).init(key, jnp.zeros(spec.observation_dim))
    return State(critic, critic, optim.adam(config.learning_rate).init(critic))


def sample(config: Config, key: jax.Array, state: State, sources: Sources) -> Transition:
    """Returns a batch of transitions over `num_steps_ahead` steps."""
    del state
    steps, discount = config.num_steps_ahead, config.discount
    batch = sample_n_steps(sources, key, config.batch_size, steps, discount)
    return scale_rewards(config, statistics_of(sources), batch)


def update(
    config: Config, state: State, step: jax.Array, key: jax.Array, batch: Transition
) -> tuple[State, Metrics]:
    """Returns the state after one update of the network, and of its target if it is due."""
    del key
    backup = _backup(config, state, batch)
    grads, metrics = optim.grad(
        lambda critic, *part: _loss(critic, config, *part), state.critic, batch, backup
    )
    tx = optim.adam(config.learning_rate)
    critic, critic_opt = optim.step(tx, grads, state.critic_opt, state.critic)
    is_due = step % config.target_every == config.target_every - 1
    target_critic = optim.polyak(critic, state.target_critic, config.tau * is_due)
    return State(critic, target_critic, critic_opt), metrics


def _backup(config: Config, state: State, batch: Transition) -> jax.Array:
    """Returns r + gamma Z(s', a*) [B, quantiles], with a* the action of the highest mean."""
    target = _quantiles(config, state.target_critic, batch.next_observation)  # [B, A, quantiles]
    chooser = target
    if config.double:
        chooser = _quantiles(config, state.critic, batch.next_observation)
    best = jnp.argmax(jnp.mean(chooser, axis=-1), axis=-1)
    following = jnp.take_along_axis(target, best[:, None, None], axis=1)[:, 0]
    return batch.reward[:, None] + config.discount * batch.discount[:, None] * following


def _loss(
    critic: Params, config: Config, batch: Transition, backup: jax.Array
) -> tuple[jax.Array, Metrics]:
    """Returns the Huber loss of quantiles (1710.10044, equation 10) plus CQL's penalty.

    With one quantile it is half of the plain Huber loss.
    """
    quantiles = _quantiles(config, critic, batch.observation)
    taken = jnp.sum(batch.action[..., None] * quantiles, axis=1)  # [B, quantiles]
    error = backup[:, None, :] - taken[:, :, None]  # [B, quantiles, of the backup]
    fractions = (jnp.arange(config.num_quantiles) + 0.5) / config.num_quantiles
    weight = jnp.abs(fractions[None, :, None] - (error < 0))
    of_pairs = weight * optax.huber_loss(error, delta=config.huber) / config.huber
    bellman = jnp.mean(jnp.sum(jnp.mean(of_pairs, axis=2), axis=1))
    q, q_data = jnp.mean(quantiles, axis=-1), jnp.mean(taken, axis=-1)
    gap = jnp.mean(jax.nn.logsumexp(q, axis=-1) - q_data)
    loss = bellman + config.cql_weight * gap
    return loss, {
        "critic_loss": loss,
        "gap": gap,
        "q": jnp.mean(q_data),
        "min_q": jnp.min(q_data),
        "max_q": jnp.max(q_data),
        "min_backup": jnp.min(backup),
        "max_backup": jnp.max(backup),
    }


def _quantiles(config: Config, critic: Params, observation: jax.Array) -> jax.Array:
    """Returns the quantiles of the return for every action, [..., A, quantiles]."""
    output = _network(config, networks.output_dim(critic)).apply(critic, observation)
    return output.reshape(*output.shape[:-1], -1, config.num_quantiles)


def q_of(
    config: Config, state: State, statistics: Statistics, observation: jax.Array, action: jax.Array
) -> jax.Array:
    """Returns Q [E, B] of the critics, see `rlp.types.Algo`."""
    del statistics
    return jnp.sum(
        jnp.mean(_quantiles(config, state.critic, observation), axis=-1) * action, axis=-1
    )[None]


def _network(config: Config, output_dim: int) -> networks.Network:
    return networks.mlp(config.hidden_dims, output_dim, config.init, config.layer_norm)


def limits(config: Config, spec: Spec, statistics: Statistics) -> Limits:
    """Returns the bounds on Q and its backup; with a penalty there is no lower bound."""
    return conservative.open_below(config, q_limits(config, spec, statistics))


def actor(config: Config, state: State) -> Params:
    """Returns the network's parameters."""
    del config
    return state.critic


def _act(
    config: Config, params: Params, observation: jax.Array, key: jax.Array, temperature: jax.Array
) -> jax.Array:
    """Returns the choice with the highest mean as a one-hot [A], whatever the temperature."""
    del key, temperature
    chex.assert_rank(observation, 1)
    q = jnp.mean(_quantiles(config, params, observation), axis=-1)
    return jax.nn.one_hot(jnp.argmax(q), len(q))


policy = markov(_act, samples=False)
