"""Learned dynamics: an ensemble of networks that predict what follows an action.

Three kinds, which all predict the change of the observation and the reward:

- `gaussian`: a mean and a variance each, as in PETS (1805.12114) and MBPO (1906.08253);
- `deterministic`: a mean only, trained on squared errors;
- `vae`: a conditional variational autoencoder (1312.6114, 1506.02216), whose encoder sees the next
  observation. A latent variable, normal before anything is seen, chooses among what may follow.

The gaussian kind follows yihaosun1124/OfflineRL-Kit (6e578d1): inputs normalised, a bootstrap
sample of the data for each network, learned bounds of the variance, each network as it was at its
best on held-out data, and the best of them as the elite. Unlike there, targets are normalised, too,
whole episodes are held out, and best means most likely.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from rlp.config import NonNegativeFloat, Positive, ShareBelowOne, config
from rlp.data.dataset import STD_FLOOR, Dataset, transitions_at
from rlp.errors import InputError
from rlp.nn import networks, optim
from rlp.system import target
from rlp.types import Metrics, Params, Sources, Spec, Statistics, Transition

Kind = Literal["gaussian", "deterministic", "vae"]
NUM_HELD_OUT = 1024  # transitions of held-out episodes that a check looks at
CLEARLY = 0.01  # nats a number by which a network must be better to count as better
HIGHEST, LOWEST = 0.5, -10.0  # where the bounds of the log-variances begin
EPISODES, BOOTSTRAP, CHECKS = range(3)  # streams of what is drawn once and for all
UNSEEN = 1e6  # the loss of a network that was not checked yet: the state must be finite


@config
class Config:
    """Hyperparameters of the dynamics."""

    model: Kind = "gaussian"  # kind of the networks that predict
    model_updates: Positive = 20_000  # of all updates, the first: they train the model
    model_batch_size: Positive = 256  # transitions in a batch of each network
    model_hidden_dims: tuple[Positive, ...] = (200, 200, 200, 200)  # widths of the hidden layers
    latent_dim: Positive = 8  # numbers of the latent variable of a vae
    num_models: Positive = 7  # networks in the ensemble
    num_elites: Positive = 5  # that are used: the best on held-out episodes
    model_learning_rate: NonNegativeFloat = 1e-3  # AdamW's, which a cosine takes to 0
    model_weight_decay: NonNegativeFloat = 2.5e-5  # AdamW's
    bound_weight: NonNegativeFloat = 0.01  # of the distance between the bounds of the variance
    held_out: ShareBelowOne = 0.1  # share of the episodes that checks look at; at least one
    check_every: Positive = 500  # updates of the model between checks
    patience: Positive = 5  # checks without a better network before the model's training stops


class Scaling(NamedTuple):
    """Mean and standard deviation of inputs and targets over the data."""

    input_mean: jax.Array  # [O + A]
    input_std: jax.Array  # [O + A]
    target_mean: jax.Array  # [O + 1], of the change of the observation, and of the reward
    target_std: jax.Array  # [O + 1]


class State(NamedTuple):
    """What training carries."""

    params: Params  # [E]
    opt_state: Any
    best: Params  # [E], each network as it was at its best
    best_loss: jax.Array  # [E], on the held-out transitions
    num_checks: jax.Array  # [] int32, since a network was better than before
    scaling: Scaling
    salt: jax.Array  # [] uint32, chooses the held-out episodes and the bootstrap samples
    cut: jax.Array  # [], episodes whose number is below it are held out
    held_rows: jax.Array  # [H] int32, rows of held-out transitions


class Model(NamedTuple):
    """What predicts: the elite of the networks."""

    params: Params  # [E]
    scaling: Scaling


class Prediction(NamedTuple):
    """What may follow an action, by each network."""

    mean: jax.Array  # [E, B, O + 1], the next observation, and the reward in `reward_unit`
    std: jax.Array  # [E, B, O + 1]


class Batch(NamedTuple):
    """Transitions for each network."""

    transition: Transition  # [B, E, ...]
    weight: jax.Array  # [B, E], 0 of held-out ones


def init(config: Config, key: jax.Array, spec: Spec, statistics: Statistics) -> State:
    """Returns the state before the first update.

    Raises:
        InputError: if the elite is larger than the ensemble.
    """
    if config.num_elites > config.num_models:
        raise InputError(
            f"--num_elites={config.num_elites}: more than --num_models={config.num_models}"
        )
    params_key, salt_key = jax.random.split(key)
    keys = jax.random.split(params_key, config.num_models)
    params = jax.vmap(lambda key: _init_network(config, key, spec))(keys)
    salt = jax.random.bits(salt_key)
    scaling, cut, rows = _of_data(config, salt, spec, statistics.data)
    return State(
        params=params,
        opt_state=_tx(config, jnp.int32(0)).init(params),
        best=params,
        best_loss=jnp.full(config.num_models, UNSEEN),
        num_checks=jnp.int32(0),
        scaling=scaling,
        salt=salt,
        cut=cut,
        held_rows=rows,
    )


def _of_data(
    config: Config, salt: jax.Array, spec: Spec, data: Dataset | None
) -> tuple[Scaling, jax.Array, jax.Array]:
    """Returns the scaling, where the numbers of episodes are cut, and rows to check on."""
    inputs, targets = spec.observation_dim + spec.action_dim, spec.observation_dim + 1
    if data is None:
        zeros, ones = jnp.zeros, jnp.ones
        scaling = Scaling(zeros(inputs), ones(inputs), zeros(targets), ones(targets))
        return scaling, jnp.zeros(()), jnp.zeros(NUM_HELD_OUT, jnp.int32)
    begins = data.is_step & (data.timestep == 0)
    count = jnp.sum(begins)
    numbers = _episode_numbers(salt, jnp.arange(len(begins)))
    most = jnp.clip(jnp.round(config.held_out * count), 1, jnp.maximum(count - 1, 1))
    cut = jnp.sort(jnp.where(begins, numbers, 2.0))[most.astype(jnp.int32)]
    return _scaling(data), cut, _held_rows(data, salt, cut)


def _scaling(data: Dataset) -> Scaling:
    def of(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        mean = jnp.mean(x, axis=0, where=counts)
        return mean, jnp.maximum(jnp.std(x, axis=0, where=counts), STD_FLOOR)

    counts = has_target(data)[:, None]
    whole = transitions(data, jnp.arange(len(data.reward)))
    return Scaling(*of(_inputs(whole.observation, whole.action)), *of(_targets(whole)))


def has_target(data: Dataset) -> jax.Array:
    """Returns in which rows it is known what follows [N]: where an episode ends, it may be not."""
    follows = jnp.append(data.timestep[1:] == data.timestep[:-1] + 1, False)
    return data.has_successor & follows


def _held_rows(data: Dataset, salt: jax.Array, cut: jax.Array) -> jax.Array:
    """Returns rows of held-out transitions [H], evenly spaced; some twice where there are fewer."""
    is_held = is_held_out(data, salt, cut, jnp.arange(len(data.reward))) & has_target(data)
    first = jnp.argsort(~is_held, stable=True)
    place = jnp.arange(NUM_HELD_OUT) * jnp.sum(is_held) // NUM_HELD_OUT
    return first[place].astype(jnp.int32)


def is_held_out(data: Dataset, salt: jax.Array, cut: jax.Array, row: jax.Array) -> jax.Array:
    """Returns whether these rows are of episodes that networks do not learn from."""
    return _episode_numbers(salt, row - data.timestep[row]) < cut


def _episode_numbers(salt: jax.Array, first_row: jax.Array) -> jax.Array:
    """Returns a random number in [0, 1) for the episodes that begin in these rows."""
    return _random(jax.random.uniform, salt, EPISODES, first_row)


def _random(
    draw: Callable[[jax.Array], jax.Array], salt: jax.Array, stream: int, number: jax.Array
) -> jax.Array:
    """Returns what is drawn for each of these numbers, always the same for the same salt."""
    key = jax.random.fold_in(jax.random.key(salt), stream)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, number.reshape(-1))
    return jax.vmap(draw)(keys).reshape(number.shape)


def transitions(data: Dataset, row: jax.Array) -> Transition:
    """Returns the transitions of these rows as a model learns them, with rewards in its units."""
    found = transitions_at(data, row)
    return found._replace(reward=found.reward / reward_unit(data.statistics))


def reward_unit(statistics: Statistics) -> jax.Array:
    """Returns the unit of the rewards that a model predicts: the mean |r| of the data."""
    return jnp.maximum(statistics.mean_abs_reward, 1e-6)


def sample(config: Config, key: jax.Array, state: State, sources: Sources) -> Batch:
    """Returns a batch for each network, from its own bootstrap sample of the data.

    That sample is never stored: the i-th of as many draws as there are transitions is a random
    number that i and the network determine.
    """
    data, number = sources.offline, sources.offline.num_transitions.astype(jnp.uint32)
    draw = jax.random.bits(key, (config.model_batch_size, config.num_models)) % number
    of_network = draw * config.num_models + jnp.arange(config.num_models, dtype=jnp.uint32)[None]
    place = _random(jax.random.bits, state.salt, BOOTSTRAP, of_network) % number
    row = data.transition_rows[place.astype(jnp.int32)]
    is_held = is_held_out(data, state.salt, state.cut, row)
    return Batch(transitions(data, row), (has_target(data)[row] & ~is_held).astype(jnp.float32))


def update(
    config: Config, state: State, step: jax.Array, key: jax.Array, batch: Batch
) -> tuple[State, Metrics]:
    """Returns the state after one update of all networks, or unchanged where training stopped."""
    noise = jax.random.normal(key, (*batch.weight.shape, config.latent_dim))

    def move(state: State) -> tuple[State, Metrics]:
        grads, metrics = optim.grad(
            lambda params, *part: _loss(params, config, state.scaling, *part),
            state.params, batch, noise,
            rows=config.num_models,
        )  # fmt: skip
        params, opt_state = optim.step(_tx(config, step), grads, state.opt_state, state.params)
        return state._replace(params=params, opt_state=opt_state), metrics

    def keep(state: State) -> tuple[State, Metrics]:
        return state, {"model_loss": jnp.mean(state.best_loss)}

    state, metrics = target.cond(state.num_checks >= config.patience, keep, move, state)
    return state, {**metrics, "model_held_out_loss": jnp.mean(state.best_loss)}


def _loss(
    params: Params, config: Config, scaling: Scaling, batch: Batch, noise: jax.Array
) -> tuple[jax.Array, Metrics]:
    """Returns the mean loss of a number that is predicted, the sum over the networks."""

    def of_network(
        params: Params, transition: Transition, weight: jax.Array, noise: jax.Array
    ) -> jax.Array:
        losses = _losses(config, params, scaling, transition, noise)
        width = config.bound_weight * jnp.sum(params["highest"] - params["lowest"])
        return jnp.mean(weight * losses) + width / len(params["highest"])

    loss = jnp.sum(jax.vmap(of_network, (0, 1, 1, 1))(params, *batch, noise))
    return loss, {"model_loss": loss / config.num_models}


def _losses(
    config: Config, params: Params, scaling: Scaling, transition: Transition, noise: jax.Array
) -> jax.Array:
    """Returns a network's loss of each transition [B], a mean over the numbers, in nats.

    Those of a gaussian and of a deterministic network leave out log(2 pi) / 2.
    """
    inputs, targets = _scaled(scaling, transition)
    if config.model != "vae":
        mean, log_variance = _decode(config, params, inputs)
        errors = jnp.square(targets - mean)
        if config.model == "deterministic":
            return jnp.mean(errors, axis=-1) / 2
        return jnp.mean(errors * jnp.exp(-log_variance) + log_variance, axis=-1) / 2
    latent_mean, latent_log_variance = _encode(config, params, inputs, targets)
    latent = latent_mean + jnp.exp(latent_log_variance / 2) * noise
    mean, log_variance = _decode(config, params, jnp.concatenate([inputs, latent], axis=-1))
    errors = jnp.square(targets - mean) * jnp.exp(-log_variance) + log_variance
    divergence = jnp.square(latent_mean) + jnp.exp(latent_log_variance) - 1 - latent_log_variance
    return (jnp.sum(errors, axis=-1) + jnp.sum(divergence, axis=-1)) / 2 / targets.shape[-1]


def check(config: Config, state: State, sources: Sources) -> State:
    """Returns the state with the networks kept that are better than ever on held-out episodes.

    A vae draws the same latent variables in all checks, so that none is better by chance.
    """
    held = transitions(sources.offline, state.held_rows)
    key = jax.random.fold_in(jax.random.key(state.salt), CHECKS)
    noise = jax.random.normal(key, (config.num_models, len(held.reward), config.latent_dim))

    def of_network(params: Params, noise: jax.Array) -> jax.Array:
        loss = jnp.mean(_losses(config, params, state.scaling, held, noise))
        return jnp.log(2 * loss) / 2 if config.model == "deterministic" else loss

    loss = jax.vmap(of_network)(state.params, noise)
    is_better = loss < state.best_loss - CLEARLY

    def better(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(is_better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return state._replace(
        best=jax.tree.map(better, state.params, state.best),
        best_loss=better(loss, state.best_loss),
        num_checks=jnp.where(is_better.any(), 0, state.num_checks + 1),
    )


def elite(config: Config, state: State) -> Model:
    """Returns the best networks, each as it was at its best."""
    chosen = jnp.argsort(state.best_loss)[: config.num_elites]
    return Model(jax.tree.map(lambda leaf: leaf[chosen], state.best), state.scaling)


def predict(
    config: Config, model: Model, observation: jax.Array, action: jax.Array, latent: jax.Array
) -> Prediction:
    """Returns what each network says of actions [B, A] in states [B, O].

    Args:
        config: the setting.
        model: the networks.
        observation: [B, O].
        action: [B, A].
        latent: standard normal, [E, B, Z], which a vae makes different outcomes of.
    """
    scaling = model.scaling
    inputs = _standardized(_inputs(observation, action), scaling.input_mean, scaling.input_std)
    now = jnp.pad(observation, ((0, 0), (0, 1)))  # rewards do not change from anything

    def of_network(params: Params, latent: jax.Array) -> Prediction:
        seen = jnp.concatenate([inputs, latent], axis=-1) if config.model == "vae" else inputs
        mean, log_variance = _decode(config, params, seen)
        std = jnp.exp(log_variance / 2)
        if config.model == "deterministic":
            std = jnp.zeros_like(std)
        unit = scaling.target_std[None]
        return Prediction(now + scaling.target_mean[None] + unit * mean, unit * std)

    return jax.vmap(of_network)(model.params, latent)


def _init_network(config: Config, key: jax.Array, spec: Spec) -> Params:
    inputs, targets = spec.observation_dim + spec.action_dim, spec.observation_dim + 1
    keys = jax.random.split(key)
    bounds = {"highest": jnp.full(targets, HIGHEST), "lowest": jnp.full(targets, LOWEST)}
    if config.model != "vae":
        decoder = _mlp(config, 2 * targets).init(keys[0], jnp.zeros(inputs))
        return {"decoder": decoder, **bounds}
    latent = config.latent_dim
    decoder = _mlp(config, 2 * targets).init(keys[0], jnp.zeros(inputs + latent))
    encoder = _mlp(config, 2 * latent).init(keys[1], jnp.zeros(inputs + targets))
    return {"decoder": decoder, "encoder": encoder, **bounds}


def _decode(config: Config, params: Params, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns means and log-variances [B, O + 1] of the scaled targets, within the bounds."""
    highest, lowest = params["highest"][None], params["lowest"][None]
    mean, log_variance = _halves(config, params["decoder"], inputs)
    log_variance = highest - jax.nn.softplus(highest - log_variance)
    return mean, lowest + jax.nn.softplus(log_variance - lowest)


def _encode(
    config: Config, params: Params, inputs: jax.Array, targets: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns means and log-variances [B, Z] of the latent variable, given what followed."""
    mean, log_variance = _halves(
        config, params["encoder"], jnp.concatenate([inputs, targets], axis=-1)
    )
    return mean, jnp.clip(log_variance, LOWEST, math.log(4))


def _halves(config: Config, params: Params, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    output = _mlp(config, networks.output_dim(params)).apply(params, inputs)
    mean, log_variance = jnp.split(output, 2, axis=-1)
    return mean, log_variance


def _mlp(config: Config, output_dim: int) -> networks.Network:
    return networks.mlp(config.model_hidden_dims, output_dim, activation="silu")


def _inputs(observation: jax.Array, action: jax.Array) -> jax.Array:
    return jnp.concatenate([observation, action], axis=-1)


def _targets(transition: Transition) -> jax.Array:
    change = transition.next_observation - transition.observation
    return jnp.concatenate([change, transition.reward[..., None]], axis=-1)


def _scaled(scaling: Scaling, transition: Transition) -> tuple[jax.Array, jax.Array]:
    """Returns inputs [B, O + A] and targets [B, O + 1] with mean 0 and standard deviation 1."""
    inputs = _inputs(transition.observation, transition.action)
    return (
        _standardized(inputs, scaling.input_mean, scaling.input_std),
        _standardized(_targets(transition), scaling.target_mean, scaling.target_std),
    )


def _standardized(x: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
    return (x - mean[None]) / std[None]


def _tx(config: Config, step: jax.Array) -> Any:
    rate = config.model_learning_rate * optim.cosine_decay(step, config.model_updates)
    return optim.adamw(rate, config.model_weight_decay, jnp.inf)
