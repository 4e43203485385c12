"""Decision Transformer: 2106.01345, as in the authors' code (kzl/decision-transformer, gym).

A GPT reads the last K steps as tokens (return to go, observation, action). It learns, supervised,
to predict the data's action from the observation's token. To act, it is given a target return; the
part that is still missing is the return to go.
"""

from typing import Annotated, Any, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp

from rlp.algos.heads import check_head, choice_log_prob, choose
from rlp.config import NonNegativeFloat, Positive, PositiveFloat, config
from rlp.data.dataset import sample_segments
from rlp.errors import InputError
from rlp.nn import optim, transformers
from rlp.nn.networks import Network
from rlp.types import (
    Acting,
    Metrics,
    Params,
    Segment,
    Sources,
    Spec,
    Statistics,
    no_limits,
    state_actor,
)

SUPPORTS = frozenset({"continuous", "discrete"})
NEEDS_REWARDS: bool = True
# The dropout rate is rounded to k / 256, and 1 would drop everything. Each layer adds compile time.
Dropout = Annotated[float, "from 0 to 0.99", lambda value: 0 <= value <= 0.99]
Depth = Annotated[int, "from 1 to 100", lambda value: 1 <= value <= 100]


@config
class Config:
    """Hyperparameters of the Decision Transformer; the defaults are the authors' for gym.

    They come from gym/experiment.py of kzl/decision-transformer (e2d82e6), which normalises
    observations. Weights are drawn as in its GPT-2 and in torch's layers.
    """

    num_updates: Positive = 100_000  # gradient updates
    batch_size: Positive = 64  # segments in a batch
    context: Positive = 20  # steps in a segment (K)
    embed_dim: Positive = 128  # width of the tokens
    num_layers: Depth = 3  # of the transformer
    num_heads: Positive = 1  # of attention; divides embed_dim
    head: Literal["deterministic", "categorical"] = "deterministic"  # of the actions
    mode: Literal["normal", "delayed"] = "normal"  # delayed: all reward in an episode's last step
    return_scale: PositiveFloat = 1000.0  # divisor of returns to go
    learning_rate: NonNegativeFloat = 1e-4  # AdamW's
    weight_decay: NonNegativeFloat = 1e-4  # AdamW's
    warmup_updates: Positive = 10_000  # updates in which the learning rate grows from 0
    clip_norm: PositiveFloat = 0.25  # largest norm of the gradient
    dropout: Dropout = 0.1  # of embeddings, attention weights and the outputs of layers


PRESETS: dict[str, dict[str, Any]] = {
    "light": {  # a good policy within minutes on two CPU cores
        "num_updates": 15_000,
        "context": 5,
        "learning_rate": 1e-3,
        "warmup_updates": 500,
    },
    "paper": {},
}


class State(NamedTuple):
    """The training state."""

    actor: Params
    opt_state: Any


class Memory(NamedTuple):
    """The memory for acting."""

    segment: Segment  # the last K steps
    missing: jax.Array  # [], return to go, not scaled
    timestep: jax.Array  # [] int32, of the next step


def init(config: Config, key: jax.Array, spec: Spec, statistics: Statistics) -> State:
    """Returns the state before the first update.

    Raises:
        InputError: if a segment is longer than every episode, `num_heads` does not divide the
            width, or the head does not fit the kind of actions.
    """
    del statistics
    check_head(config.head, spec, "deterministic")
    if config.context > spec.max_episode_steps:
        raise InputError(
            f"--context={config.context}: the longest episode has {spec.max_episode_steps} steps"
        )
    if config.embed_dim % config.num_heads:
        raise InputError(f"--num_heads={config.num_heads}: must divide embed_dim")
    network = _network(config, spec.action_dim, spec.max_episode_steps)
    actor = network.init(key, _empty(config, spec))
    return State(actor, _tx(config, jnp.int32(0)).init(actor))


def sample(config: Config, key: jax.Array, state: State, sources: Sources) -> Segment:
    """Returns a batch of segments."""
    del state
    delayed = config.mode == "delayed"
    return sample_segments(sources, key, config.batch_size, config.context, delayed)


def update(
    config: Config, state: State, step: jax.Array, key: jax.Array, batch: Segment
) -> tuple[State, Metrics]:
    """Returns the state after one update of the transformer."""
    num_steps = jnp.maximum(jnp.sum(batch.mask), 1)  # a replay may have no complete episode yet
    weight = batch.mask * (batch.mask.shape[0] / num_steps)
    keys = jax.random.split(key, len(weight))
    grads, metrics = optim.grad(
        lambda actor, *part: _loss(actor, config, *part),
        state.actor, batch, weight, keys,
        rows=3 * config.context,
    )  # fmt: skip
    tx = _tx(config, step)
    state = State(*optim.step(tx, grads, state.opt_state, state.actor))
    return state, metrics


def _tx(config: Config, step: jax.Array) -> Any:
    rate = config.learning_rate * jnp.minimum((step + 1) / config.warmup_updates, 1)
    return optim.adamw(rate, config.weight_decay, config.clip_norm)


def _loss(
    actor: Params, config: Config, batch: Segment, weight: jax.Array, keys: jax.Array
) -> tuple[jax.Array, Metrics]:
    """Returns the squared error of the actions, or their negative log-likelihood, and metrics.

    The weights [B, K] are 0 for padding and make the loss a mean over the real steps of the batch.
    The keys [B] are for dropout.
    """
    predicted = _predict(config, actor, batch, keys)
    if config.head == "categorical":
        error = -choice_log_prob(predicted, batch.action)
    else:
        error = jnp.mean(jnp.square(jnp.tanh(predicted) - batch.action), axis=-1)
    loss = jnp.mean(jnp.sum(weight * error, axis=1))
    return loss, {"actor_loss": loss}


def _predict(
    config: Config, actor: Params, segment: Segment, keys: jax.Array | None = None
) -> jax.Array:
    """Returns the actions [..., K, A] before the tanh, or the logits of choices.

    There is no dropout without keys [B].
    """
    num_timesteps = len(actor["embed_timestep"]["embedding"])
    network = _network(config, actor["action"]["bias"].shape[-1], num_timesteps)
    segment = segment._replace(return_to_go=segment.return_to_go / config.return_scale)
    return network.apply(actor, segment, keys, config.dropout)


def _network(config: Config, action_dim: int, num_timesteps: int) -> Network:
    return transformers.decision_transformer(
        action_dim, config.embed_dim, config.num_layers, config.num_heads, num_timesteps
    )


def _init_memory(config: Config, spec: Spec, target: jax.Array) -> Memory:
    """Returns the memory before the first step, with the return to aim for."""
    return Memory(_empty(config, spec), target, jnp.int32(0))


def _act(
    config: Config,
    params: Params,
    memory: Memory,
    observation: jax.Array,
    reward: jax.Array,
    key: jax.Array,
    temperature: jax.Array,
) -> tuple[jax.Array, Memory]:
    """Returns an action [A], or a one-hot choice, and the memory with one more step.

    The deterministic head ignores temperature.
    """
    chex.assert_rank(observation, 1)
    missing = memory.missing - reward if config.mode == "normal" else memory.missing
    new = Segment(
        observation=observation,
        action=jnp.zeros_like(memory.segment.action[0]),  # its prediction does not attend to it
        return_to_go=missing,
        timestep=memory.timestep,
        mask=jnp.asarray(True),
    )
    segment = jax.tree.map(
        lambda old, last: jnp.append(old[1:], last[None], 0), memory.segment, new
    )
    output = _predict(config, params, segment)[-1]
    is_choice = config.head == "categorical"
    action = choose(output, key, temperature) if is_choice else jnp.tanh(output)
    segment = segment._replace(action=jnp.append(segment.action[:-1], action[None], 0))
    return action, Memory(segment, missing, memory.timestep + 1)


def _empty(config: Config, spec: Spec) -> Segment:
    """Returns a segment that is all padding."""
    return Segment(
        observation=jnp.zeros((config.context, spec.observation_dim)),
        action=jnp.zeros((config.context, spec.action_dim)),
        return_to_go=jnp.zeros(config.context),
        timestep=jnp.zeros(config.context, jnp.int32),
        mask=jnp.zeros(config.context, bool),
    )


limits = no_limits
actor = state_actor
policy = Acting(_init_memory, _act, aims=True, samples=False)
