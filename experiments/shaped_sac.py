"""SAC with lowered rewards: towards a transformer's pessimistic prediction, or by a constant.

A causal transformer reads the last K steps, each as one token of (observation, action, previous
reward, time). It predicts the reward of each step and the return to go, both as normal
distributions. The bound is `margin` standard deviations below the predicted reward. The critics
learn

    r' = (1 - weight) r + weight min(r, bound) - reduction

The transformer learns from logged data in a phase before the policy's. Online it is frozen, or
continues to learn from what the policy collects, or there is none.
"""

import math
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from rlp.algos import sac
from rlp.config import Discount, NonNegativeFloat, Positive, PositiveFloat, Share, config
from rlp.data.dataset import NOT_KNOWN, Dataset, draw_rows, from_each
from rlp.nn import networks, optim
from rlp.nn.transformers import sequence_model
from rlp.types import (
    Metrics,
    Params,
    Phase,
    Sources,
    Spec,
    Statistics,
    Transition,
    markov,
    no_limits,
)

SUPPORTS = frozenset({"continuous"})
NEEDS_REWARDS: bool = True
LOG_STD_MIN, LOG_STD_MAX = -5.0, 2.0  # of predictions, in standard deviations of the data
REWARD, RETURN = 0, 1  # indices of the predictions


@config
class Config:
    """Hyperparameters; SAC's are those of `rlp.collect`, except the number of critics."""

    num_updates: Positive = 50_000  # gradient updates
    batch_size: Positive = 256  # transitions in a batch
    hidden_dims: tuple[Positive, ...] = (256, 256)  # widths of the hidden layers
    num_critics: Positive = 1  # critics, whose minimum is used
    learning_rate: NonNegativeFloat = 1e-3  # Adam's for actor, critics and alpha
    discount: Discount = 0.99  # gamma
    tau: Share = 0.005  # Polyak step of the target critics
    weight: Share = 0.0  # of the bound in a reward above it
    margin: NonNegativeFloat = 1.0  # standard deviations from the predicted reward to the bound
    reduction: NonNegativeFloat = 0.0  # subtracted from every reward
    model: Literal["none", "frozen", "learning"] = "none"  # the transformer, online
    model_updates: int = 0  # first updates, on logged data, which train the transformer
    model_batch_size: Positive = 64  # histories in a batch of the transformer
    context: Positive = 8  # steps of a history (K)
    embed_dim: Positive = 64  # width of the tokens
    num_layers: Positive = 2  # of the transformer
    num_heads: Positive = 2  # of attention; divides embed_dim
    dropout: Share = 0.1  # of embeddings, attention weights and the outputs of layers
    model_learning_rate: NonNegativeFloat = 3e-4  # AdamW's for the transformer
    weight_decay: NonNegativeFloat = 1e-2  # AdamW's
    clip_norm: PositiveFloat = 1.0  # largest norm of the transformer's gradient


class Model(NamedTuple):
    """The transformer, and the mean and standard deviation of its inputs and targets."""

    network: Params
    mean: jax.Array  # [O + A + 3]: observation, action, timestep, reward, return to go
    std: jax.Array  # [O + A + 3]


class State(NamedTuple):
    """The training state."""

    agent: sac.State
    model: Model | None
    model_opt: Any


class History(NamedTuple):
    """Up to K consecutive steps of one episode, padded on the left."""

    observation: jax.Array  # [K, O]
    action: jax.Array  # [K, A] in [-1, 1]
    timestep: jax.Array  # [K] int32
    reward: jax.Array  # [K]
    return_to_go: jax.Array  # [K], or NOT_KNOWN
    mask: jax.Array  # [K] bool, False for padding


class Prediction(NamedTuple):
    """Normal distributions of reward and return to go."""

    mean: jax.Array  # [..., 2]
    std: jax.Array  # [..., 2]


def init(config: Config, key: jax.Array, spec: Spec, statistics: Statistics) -> State:
    """Returns the state before the first update."""
    agent_key, model_key = jax.random.split(key)
    agent = sac.init(_of_agent(config), agent_key, spec, statistics)
    if config.model == "none":
        return State(agent, None, None)
    width, length = spec.observation_dim + spec.action_dim + 3, config.context
    rows, mask = jnp.zeros((length, width - 1)), jnp.ones(length, bool)
    network = _network(config).init(model_key, rows, mask)
    model = Model(network, *_moments(statistics.data, width))
    return State(agent, model, _tx(config).init(network))


def _moments(data: Dataset | None, width: int) -> tuple[jax.Array, jax.Array]:
    """Returns mean and standard deviation of the data's steps; without data, 0 and 1."""
    if data is None:
        return jnp.zeros(width), jnp.ones(width)
    rows = jnp.concatenate(
        [
            data.observation, data.action, data.timestep[:, None],
            data.reward[:, None], data.return_to_go[:, None],
        ],
        axis=1,
    )  # fmt: skip
    where = data.is_step[:, None]
    return jnp.mean(rows, 0, where=where), jnp.maximum(jnp.std(rows, 0, where=where), 1e-3)


def sample(
    config: Config, key: jax.Array, state: State, sources: Sources
) -> tuple[Transition, History]:
    """Returns a batch of transitions, each with the history that ends with it."""
    del state
    return sample_histories(sources, key, config.batch_size, config.context)


def sample_for_model(config: Config, key: jax.Array, state: State, sources: Sources) -> History:
    """Returns a batch of histories."""
    del state
    return sample_histories(sources, key, config.model_batch_size, config.context)[1]


def sample_histories(
    sources: Sources, key: jax.Array, batch_size: int, length: int
) -> tuple[Transition, History]:
    """Returns transitions drawn uniformly, and the histories [B, K] that end with them."""

    def of_row(dataset: Dataset, row: jax.Array) -> tuple[Transition, History]:
        back = jnp.arange(length - 1, -1, -1)
        rows, mask = jnp.maximum(row - back, 0), back <= dataset.timestep[row]
        history = History(
            dataset.observation[rows], dataset.action[rows], dataset.timestep[rows],
            dataset.reward[rows], dataset.return_to_go[rows], mask,
        )  # fmt: skip
        last = history.observation[-1], history.action[-1], history.reward[-1]
        return Transition(*last, dataset.discount[row], dataset.observation[row + 1]), history

    def draw(dataset: Dataset, key: jax.Array, size: int) -> tuple[Transition, History]:
        rows, number = dataset.transition_rows, dataset.num_transitions
        drawn = draw_rows(key, size, rows, dataset.first, number)
        return jax.vmap(partial(of_row, dataset))(drawn)

    return from_each(sources, key, batch_size, draw)


def update(
    config: Config,
    state: State,
    step: jax.Array,
    key: jax.Array,
    batch: tuple[Transition, History],
) -> tuple[State, Metrics]:
    """Returns the state after one update of the agent, and of the transformer if it is learning."""
    agent_key, model_key = jax.random.split(key)
    transition, history = batch
    shaped = shaped_reward(config, state.model, history, transition.reward)
    agent, metrics = sac.update(
        _of_agent(config), state.agent, step, agent_key, transition._replace(reward=shaped)
    )
    metrics["reduction"] = jnp.mean(transition.reward - shaped)
    state = state._replace(agent=agent)
    if config.model == "learning":
        fewer = jax.tree.map(lambda x: x[: config.model_batch_size], history)
        state, of_model = update_model(config, state, step, model_key, fewer)
        metrics |= of_model
    return state, metrics


def shaped_reward(
    config: Config, model: Model | None, history: History, reward: jax.Array
) -> jax.Array:
    """Returns the rewards [B] that critics learn for the last steps of histories [B]."""
    lowered = reward - config.reduction
    if model is None:
        return lowered
    found = predict(config, model, history, slice(-1, None))
    bound = (found.mean - config.margin * found.std)[..., 0, REWARD]
    return lowered - config.weight * jnp.maximum(reward - bound, 0)


def update_model(
    config: Config, state: State, step: jax.Array, key: jax.Array, batch: History
) -> tuple[State, Metrics]:
    """Returns the state after one update of the transformer."""
    del step
    model = state.model
    assert model is not None
    is_known = jnp.stack([batch.mask, batch.mask & (batch.return_to_go != NOT_KNOWN)], axis=-1)
    weight = is_known / jnp.maximum(jnp.mean(is_known, axis=(0, 1), keepdims=True), 1e-6)
    grads, metrics = optim.grad(
        lambda network, *part: _model_loss(network, config, model, *part),
        model.network, batch, weight, jax.random.split(key, len(weight)),
        rows=config.context,
    )  # fmt: skip
    network, opt = optim.step(_tx(config), grads, state.model_opt, model.network)
    return state._replace(model=model._replace(network=network), model_opt=opt), metrics


def _model_loss(
    network: Params,
    config: Config,
    model: Model,
    history: History,
    weight: jax.Array,
    keys: jax.Array,
) -> tuple[jax.Array, Metrics]:
    """Returns the negative log-likelihood of rewards and returns, in units of the data's std.

    The weights [B, K, 2] are 0 where there is no step, or its return is not known yet.
    """
    mean, log_std = _predict(config, model._replace(network=network), history, keys=keys)
    target = jnp.stack([history.reward, history.return_to_go], axis=-1)
    target = (jnp.where(weight > 0, target, 0) - _of_targets(model.mean)) / _of_targets(model.std)
    error = (target - mean) * jnp.exp(-log_std)
    surprise = jnp.square(error) / 2 + log_std + math.log(2 * math.pi) / 2
    of_reward, of_return = jnp.mean(weight * surprise, axis=(0, 1))
    loss = of_reward + of_return
    return loss, {"model_loss": loss, "reward_loss": of_reward, "to_go_loss": of_return}


def predict(
    config: Config, model: Model, history: History, asking: slice = slice(None)
) -> Prediction:
    """Returns predictions for the steps `asking` of histories [..., K], in their own units."""
    mean, log_std = _predict(config, model, history, asking)
    unit = _of_targets(model.std, mean.ndim)
    return Prediction(mean * unit + _of_targets(model.mean, mean.ndim), jnp.exp(log_std) * unit)


def _predict(
    config: Config,
    model: Model,
    history: History,
    asking: slice = slice(None),
    keys: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Returns means and log standard deviations [..., Q, 2] in standard deviations of the data."""
    numbers = [history.observation, history.action, history.timestep[..., None]]
    rows = jnp.concatenate([*numbers, history.reward[..., None]], axis=-1)
    shape = (1,) * (rows.ndim - 1)
    mean, std = (x[:-1].reshape(*shape, -1) for x in (model.mean, model.std))
    rows = (rows - mean) / std
    before = jnp.pad(rows[..., :-1, -1:], [(0, 0)] * (rows.ndim - 2) + [(1, 0), (0, 0)])
    rows = jnp.concatenate([rows[..., :-1], before], axis=-1)  # a step sees the previous reward
    output = _network(config).apply(model.network, rows, history.mask, asking, keys, config.dropout)
    mean, log_std = jnp.split(output, 2, axis=-1)
    return mean, jnp.clip(log_std, LOG_STD_MIN, LOG_STD_MAX)


def _of_targets(moment: jax.Array, ndim: int = 3) -> jax.Array:
    """Returns the part of a mean or std for reward and return, with `ndim` axes."""
    return moment[-2:].reshape(*(1,) * (ndim - 1), 2)


def _network(config: Config) -> networks.Network:
    return sequence_model(4, config.embed_dim, config.num_layers, config.num_heads)


def _tx(config: Config) -> Any:
    return optim.adamw(config.model_learning_rate, config.weight_decay, config.clip_norm)


def _of_agent(config: Config) -> sac.Config:
    """Returns SAC's setting, without entropy in backups, so that Q contains only rewards."""
    return sac.Config(
        hidden_dims=config.hidden_dims,
        num_critics=config.num_critics,
        actor_learning_rate=config.learning_rate,
        critic_learning_rate=config.learning_rate,
        discount=config.discount,
        tau=config.tau,
        backup_entropy=False,
    )


def actor(config: Config, state: State) -> Params:
    """Returns the policy, and the networks that measure its rewards and values."""
    del config
    model = {} if state.model is None else state.model._asdict()
    return {"actor": state.agent.actor, "critic": state.agent.critic, "model": model}


def model_of(params: Params) -> Model | None:
    """Returns the transformer in the parameters that `actor` returns."""
    return Model(**params["model"]) if params["model"] else None


def q_values(
    config: Config, params: Params, observation: jax.Array, action: jax.Array
) -> jax.Array:
    """Returns the critics' minimum Q [N] for actions [N, A] in states [N, O]."""
    critics = networks.critics(config.hidden_dims, config.num_critics)
    return jnp.min(critics.apply(params["critic"], observation, action), axis=0)


def _act(
    config: Config, params: Params, observation: jax.Array, key: jax.Array, temperature: jax.Array
) -> jax.Array:
    """Returns an action [A]."""
    agent, nothing = _of_agent(config), jnp.float32(0)
    action, _ = sac.policy.act(agent, params["actor"], (), observation, nothing, key, temperature)
    return action


limits = no_limits
policy = markov(_act)
PHASES = (
    Phase("model", sample_for_model, update_model, lambda config: config.model_updates),
    Phase("policy", sample, update),
)
