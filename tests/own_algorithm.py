"""An algorithm of one's own, as README says: clones the mean action of every state."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlp.config import config
from rlp.data.dataset import sample_steps
from rlp.nn import networks, optim
from rlp.types import Metrics, Sources, Spec, Statistics, Step, markov, no_limits, state_actor

SUPPORTS = frozenset({"continuous"})
NEEDS_REWARDS: bool = False


@config
class Config:
    """Hyperparameters of mine."""

    num_updates: int = 200  # gradient updates
    batch_size: int = 32  # steps in a batch
    learning_rate: float = 1e-2  # Adam's


class State(NamedTuple):
    """What training carries."""

    actor: Any
    opt_state: Any


def init(config: Config, key: jax.Array, spec: Spec, statistics: Statistics) -> State:
    """Returns the state before the first update."""
    del statistics
    actor = networks.mlp((16,), spec.action_dim).init(key, jnp.zeros(spec.observation_dim))
    return State(actor, optim.adam(config.learning_rate).init(actor))


def sample(config: Config, key: jax.Array, state: State, sources: Sources) -> Step:
    """Returns a batch of states and actions."""
    del state
    return sample_steps(sources, key, config.batch_size)


def update(
    config: Config, state: State, step: jax.Array, key: jax.Array, batch: Step
) -> tuple[State, Metrics]:
    """Returns the state after one step down the squared error."""
    del step, key

    def loss(actor: Any, batch: Step) -> tuple[jax.Array, Metrics]:
        error = jnp.mean(jnp.square(_action(actor, batch.observation) - batch.action))
        return error, {"actor_loss": error}

    grads, metrics = optim.grad(loss, state.actor, batch)
    tx = optim.adam(config.learning_rate)
    return State(*optim.step(tx, grads, state.opt_state, state.actor)), metrics


def _action(actor: Any, observation: jax.Array) -> jax.Array:
    return jnp.tanh(networks.mlp((16,), networks.output_dim(actor)).apply(actor, observation))


def act(
    config: Config, params: Any, observation: jax.Array, key: jax.Array, temperature: jax.Array
) -> jax.Array:
    """Returns an action, whatever the temperature."""
    del config, key, temperature
    return _action(params, observation)


policy = markov(act)
actor = state_actor
limits = no_limits
