"""Trajectory Transformer: 2106.02039, as the authors' code (jannerm/trajectory-transformer).

A GPT models trajectories as sequences of tokens, the bins of each number of observation, action,
reward and value (the discounted sum of the rewards after this one): supervised learning. Acting
searches for the sequence with the highest rewards, and takes its first action.
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from rlp.algos import beam_search, bins
from rlp.algos.beam_search import Prefix, Search
from rlp.algos.dt import Depth, Dropout
from rlp.config import Discount, NonNegativeFloat, Positive, PositiveFloat, Share, config
from rlp.data.trajectories import rewards, sample_trajectories, values
from rlp.errors import InputError
from rlp.nn import optim
from rlp.nn.transformers import Decoder, trajectory_transformer
from rlp.types import (
    Acting,
    Metrics,
    Params,
    Sources,
    Spec,
    Statistics,
    Trajectory,
    no_limits,
    state_actor,
)

SUPPORTS = frozenset({"continuous"})
NEEDS_REWARDS: bool = True
NEEDS_EPISODES = True  # values are known of whole ones; the bins, of all data before training
BETA2 = 0.95  # of Adam, the authors'
Bins = Annotated[int, "from 2 to 1000", lambda value: 2 <= value <= 1000]


@config
class Config:
    """Hyperparameters of the Trajectory Transformer; the defaults are the authors'.

    They are those of config/offline.py of jannerm/trajectory-transformer (344304c), `train` and
    `plan`, and of scripts/train.py for a data set of a million transitions: 50 epochs of 3,906
    updates, of which the first warms up, and the rate decays until the 20th. The horizon is that of
    halfcheetah.
    """

    num_updates: Positive = 195_300  # gradient updates
    batch_size: Positive = 256  # trajectories in a batch
    context: Positive = 10  # transitions of a trajectory (K)
    num_bins: Bins = 100  # of each dimension
    embed_dim: Positive = 128  # width of the tokens
    num_layers: Depth = 4  # of the transformer
    num_heads: Positive = 4  # of attention; divides embed_dim
    discount: Discount = 0.99  # gamma, of values and plans
    last_reward: float = -100.0  # of a step that terminates, instead of its own; 0: its own
    action_weight: PositiveFloat = 5.0  # of the loss on action tokens
    learning_rate: NonNegativeFloat = 6e-4  # AdamW's
    weight_decay: NonNegativeFloat = 0.1  # AdamW's, of kernels
    warmup_updates: Positive = 3_906  # over which the rate grows from 0
    decay_updates: Positive = 78_120  # after which it is a tenth, by a cosine that goes on
    clip_norm: PositiveFloat = 1.0  # of the gradient
    dropout: Dropout = 0.1  # of embeddings, attention weights and what the layers add
    beam_width: Positive = 128  # sequences that a plan keeps
    num_expansions: Positive = 2  # that it makes of each, with other actions
    horizon: Positive = 5  # transitions that it looks ahead; the rest of the context is the past
    action_cut: Share = 0.6  # least likely part of the actions' mass, which is never drawn


PRESETS: dict[str, dict[str, Any]] = {
    "light": {  # sized for two CPU cores
        "num_updates": 10_000,
        "batch_size": 64,
        "context": 5,
        "learning_rate": 1e-3,
        "warmup_updates": 500,
        "decay_updates": 10_000,
        "beam_width": 16,
        "horizon": 3,
    },
    "paper": {},
}


class State(NamedTuple):
    """What training carries."""

    actor: Params  # the `network`, and the `edges` [D, num_bins + 1] of the bins of a transition
    opt_state: Any


class Memory(NamedTuple):
    """What acting remembers."""

    token: jax.Array  # [P, D] int32, the last transitions; of the newest, the reward is to come
    timestep: jax.Array  # [] int32, of the next step


def init(config: Config, key: jax.Array, spec: Spec, statistics: Statistics) -> State:
    """Returns the state before the first update, with the bins of the data.

    Raises:
        InputError: if a plan does not fit the context, or the heads do not share the width.
    """
    if config.horizon > config.context:
        raise InputError(
            f"--horizon={config.horizon}: a plan must fit the --context={config.context}"
        )
    if config.embed_dim % config.num_heads:
        raise InputError(f"--num_heads={config.num_heads}: must divide embed_dim")
    dim = _transition_dim(spec)
    network = _network(config, dim).init(key)
    actor = {"network": network, "edges": _edges(config, dim, statistics)}
    return State(actor, _tx(config, jnp.int32(0)).init(network))


def _edges(config: Config, dim: int, statistics: Statistics) -> jax.Array:
    """Returns the edges of the bins [D, num_bins + 1]; without data, equal bins from -1 to 1."""
    data = statistics.data
    if data is None:
        return jnp.tile(jnp.linspace(-1, 1, config.num_bins + 1), (dim, 1))
    reward = rewards(data, config.last_reward)
    value = values(data, reward, config.discount)
    observation = data.observation.astype(jnp.float32)
    rows = jnp.concatenate([observation, data.action, reward[:, None], value[:, None]], axis=1)
    return bins.quantile_edges(rows, data.is_step, config.num_bins)


def sample(config: Config, key: jax.Array, state: State, sources: Sources) -> Trajectory:
    """Returns a batch of trajectories."""
    del state
    return sample_trajectories(
        sources, key, config.batch_size, config.context, config.discount, config.last_reward
    )


def update(
    config: Config, state: State, step: jax.Array, key: jax.Array, batch: Trajectory
) -> tuple[State, Metrics]:
    """Returns the state after one update of the transformer."""
    network, edges = state.actor["network"], state.actor["edges"]
    token = jax.vmap(jax.vmap(partial(_tokens, edges)))(batch)  # [B, K, D]
    keys = jax.random.split(key, len(token))
    grads, metrics = optim.grad(
        lambda network, *part: _loss(network, config, *part),
        network, token, _weight(config, batch), keys,
        rows=token[0].size,
    )  # fmt: skip
    tx = _tx(config, step)
    network, opt_state = optim.step(tx, grads, state.opt_state, network)
    return State({"network": network, "edges": edges}, opt_state), metrics


def _tx(config: Config, step: jax.Array) -> Any:
    warmup, end = config.warmup_updates, config.decay_updates
    progress = jnp.maximum(step + 1 - warmup, 0) / max(end - warmup, 1)
    decay = jnp.maximum((1 + jnp.cos(jnp.pi * progress)) / 2, 0.1)
    rate = config.learning_rate * jnp.minimum((step + 1) / warmup, decay)
    return optim.adamw(rate, config.weight_decay, config.clip_norm, BETA2, _kernels)


def _kernels(network: Params) -> Params:
    """Returns which parameters are weights of a matrix product."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: path[-1].key in ("kernel", "output"), network
    )


def _tokens(edges: jax.Array, step: Trajectory) -> jax.Array:
    """Returns the tokens [D] of one transition; behind the end of the episode, all are the last."""
    numbers = [step.observation, step.action, step.reward[None], step.value[None]]
    token = bins.tokens(edges, jnp.concatenate(numbers))
    return jnp.where(step.is_step, token, edges.shape[1] - 1)


def _weight(config: Config, batch: Trajectory) -> jax.Array:
    """Returns the weights of the tokens in the loss, [B, K, D]."""
    num_others = batch.observation.shape[-1], batch.action.shape[-1], 2
    weights = [jnp.ones(num_others[0]), jnp.full(num_others[1], config.action_weight), jnp.ones(2)]
    return batch.mask[..., None] * jnp.concatenate(weights)[None, None]


def _loss(
    network: Params, config: Config, token: jax.Array, weight: jax.Array, keys: jax.Array
) -> tuple[jax.Array, Metrics]:
    """Returns the weighted cross-entropy of all tokens but the first, and metrics.

    Args:
        network: the parameters.
        config: of their architecture.
        token: [B, K, D].
        weight: of each token in the mean, [B, K, D].
        keys: of dropout, [B].
    """
    size, _, dim = token.shape
    token, weight = (x.reshape(size, -1) for x in (token, weight))
    length = token.shape[1]
    visible = jnp.broadcast_to(beam_search.visible(length, dim), (size, length, length))
    logits, _ = _network(config, dim).apply(
        network, token, jnp.arange(length), visible, keys=keys, dropout=config.dropout
    )
    target = jax.nn.one_hot(token[:, 1:], config.num_bins + 1)
    log_prob = jnp.sum(target * jax.nn.log_softmax(logits[:, :-1]), axis=-1)
    loss = -jnp.mean(weight[:, 1:] * log_prob)
    return loss, {"actor_loss": loss}


def _network(config: Config, transition_dim: int) -> Decoder:
    return trajectory_transformer(
        transition_dim, config.num_bins, config.context, config.embed_dim, config.num_layers,
        config.num_heads,
    )  # fmt: skip


def _transition_dim(spec: Spec) -> int:
    """Returns D, the tokens of a transition."""
    return spec.observation_dim + spec.action_dim + 2


def _init_memory(config: Config, spec: Spec, target: jax.Array) -> Memory:
    """Returns the memory of no step."""
    del target
    past = config.context - config.horizon
    return Memory(jnp.zeros((past, _transition_dim(spec)), jnp.int32), jnp.int32(0))


def _act(
    config: Config,
    params: Params,
    memory: Memory,
    observation: jax.Array,
    reward: jax.Array,
    key: jax.Array,
    temperature: jax.Array,
) -> tuple[jax.Array, Memory]:
    """Returns the first action [A] of a plan; the memory has one more step.

    The search draws with keys of its own, so that in the same episode a plan is the same.
    """
    del key, temperature
    chex.assert_rank(observation, 1)
    (num_past, dim), edges = memory.token.shape, params["edges"]
    [rewarded] = bins.tokens(edges[-2:-1], reward[None])
    past = memory.token.at[-1:, -2].set(rewarded)
    observed = bins.tokens(edges[: len(observation)], observation)
    prefix = Prefix(
        jnp.append(past.reshape(-1), observed), dim * jnp.maximum(num_past - memory.timestep, 0)
    )
    search = Search(
        config.horizon, config.beam_width, config.num_expansions, config.action_cut,
        config.discount,
    )  # fmt: skip
    read = partial(_network(config, dim).apply, params["network"])
    centers = bins.centers(edges)
    search_key = jax.random.fold_in(jax.random.key(0), memory.timestep)
    plan = beam_search.plan(search, read, centers, len(observation), prefix, search_key)
    acted = plan.token[: dim - len(observation) - 2]
    of_bins = centers[len(observation) : -2]
    action = jnp.take_along_axis(of_bins, acted[:, None], axis=1, mode="clip")[:, 0]
    newest = jnp.concatenate([observed, acted, jnp.zeros(2, jnp.int32)])
    memory = Memory(jnp.concatenate([past, newest[None]])[1:], memory.timestep + 1)
    return jnp.clip(action, -1, 1), memory


limits = no_limits
actor = state_actor
policy = Acting(_init_memory, _act, samples=False, options=("beam_width", "horizon"))
