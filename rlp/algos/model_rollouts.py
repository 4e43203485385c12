"""Rollouts in a learned model: short ones from states of the data, kept for an agent to learn from.

They are as in MBPO (1906.08253). What pessimism does to them:

- `none`: nothing;
- `mopo`: every step costs, the more the less certain a network is (2005.13239);
- `morel`: where the networks disagree more than nearly everywhere in the data, the rollout ends,
  and what follows is the worst that there can be (2005.05951);
- `mobile`: nothing; backups cost, the more the networks' differ (2301.00943, see `mobrac`).
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from rlp.algos import dynamics, terminations
from rlp.algos.dynamics import Model, Prediction
from rlp.config import NonNegativeFloat, Positive, Share, config
from rlp.data.dataset import Dataset, draw_rows
from rlp.system import memory
from rlp.types import Spec, Statistics, Transition

Pessimism = Literal["none", "mopo", "morel", "mobile"]
WIDER = 0.5  # of the range of the data, by which a rollout may leave it on either side
NUM_FAMILIAR = 1024  # states of the data on which the networks' usual disagreement is measured

Act = Callable[[jax.Array, jax.Array], jax.Array]  # (observation [S, O], key) -> action [S, A]


@config
class Config:
    """Hyperparameters of rollouts in the model."""

    pessimism: Pessimism = "mopo"  # what an uncertain model costs
    penalty: NonNegativeFloat = 1.0  # weight of what mopo and mobile subtract from rewards
    halt_quantile: Share = 0.99  # of the disagreement in the data, above which morel halts
    rollout_every: Positive = 1_000  # updates of the agent between rollouts
    num_rollouts: Positive = 50_000  # that start together, in states of the data
    rollout_length: Positive = 5  # steps of a rollout at most
    num_kept: Positive = 5  # times of rollouts that are kept
    rollout_noise: NonNegativeFloat = 0.0  # standard deviation of noise on the actions
    real_share: Share = 0.05  # of a batch: transitions of the data


class Rollouts(NamedTuple):
    """Steps in the model; the arrays are as long as those of all rollouts that are kept."""

    transition: Transition  # [R, ...]
    rows: jax.Array  # [R] int32, first those of steps: not behind the end of a rollout
    num_steps: jax.Array  # [] int32
    num_times: jax.Array  # [] int32, how often rollouts were made


def empty(config: Config, spec: Spec) -> Rollouts:
    """Returns no steps."""
    size = config.num_kept * config.rollout_length * config.num_rollouts
    observation, numbers = jnp.zeros((size, spec.observation_dim)), jnp.zeros(size)
    action = jnp.zeros((size, spec.action_dim))
    return Rollouts(
        transition=Transition(observation, action, numbers, numbers, observation),
        rows=jnp.arange(size, dtype=jnp.int32),
        num_steps=jnp.int32(0),
        num_times=jnp.int32(0),
    )


def check_memory(config: Config, observation_dim: int, action_dim: int) -> None:
    """Checks that the rollouts of one member fit in memory.

    Raises:
        InputError: if they do not.
    """
    size = config.num_kept * config.rollout_length * config.num_rollouts
    memory.check(
        f"{size:,} steps in the model",
        4 * size * (2 * observation_dim + action_dim + 3),
        memory.of_machine(),
        "choose shorter rollouts, fewer at a time or fewer that are kept (--rollout_length, "
        "--num_rollouts, --num_kept)",
    )


def sample(rollouts: Rollouts, key: jax.Array, size: int) -> Transition:
    """Returns steps drawn uniformly with replacement, [size, ...]; zeros while there are none."""
    number = jnp.maximum(rollouts.num_steps, 1)
    row = draw_rows(key, size, rollouts.rows, jnp.int32(0), number)
    return jax.tree.map(lambda leaf: leaf[row], rollouts.transition)


def extended(
    config: Any,
    model: Model,
    rollouts: Rollouts,
    act: Act,
    key: jax.Array,
    statistics: Statistics,
) -> Rollouts:
    """Returns the rollouts with new ones, which take the place of the oldest.

    Args:
        config: the setting, of model and rollouts.
        model: the networks.
        rollouts: those of before.
        act: the policy.
        key: of everything that is drawn.
        statistics: of the data.
    """
    data = statistics.data
    start_key, usual_key, steps_key = jax.random.split(key, 3)
    row = draw_rows(start_key, config.num_rollouts, data.step_rows, data.first, data.num_steps)
    (low, high), unit = reach(data), dynamics.reward_unit(statistics)
    limit = _usual_disagreement(config, model, data, usual_key)

    def take(carry: tuple[jax.Array, jax.Array], numbers: jax.Array) -> tuple[Any, Any]:
        observation, goes_on = carry
        action_key, model_key = jax.random.split(jax.random.wrap_key_data(numbers))
        action = act(observation, action_key)
        predicted, following, reward = _drawn(config, model, observation, action, model_key)
        following = jnp.clip(following, low[None], high[None])
        reward = jnp.clip(unit * reward, statistics.lowest_reward, statistics.highest_reward)
        ended = terminations.has_ended(config.termination, data.normalizer, following)
        if config.pessimism == "mopo":
            reward -= config.penalty * unit * uncertainty(model, predicted)
        if config.pessimism == "morel":
            is_lost = disagreement(model, predicted) > limit
            worst = jnp.minimum(statistics.lowest_reward, 0) / (1 - config.discount)
            reward, ended = jnp.where(is_lost, worst, reward), ended | is_lost
        step = Transition(observation, action, reward, 1.0 - ended, following)
        return (following, goes_on & ~ended), (step, goes_on)

    start = data.observation[row].astype(jnp.float32)
    # Keys as numbers: of those of a scan that is mapped, JAX's check says that they are used twice.
    numbers = jax.random.key_data(jax.random.split(steps_key, config.rollout_length))
    _, new = jax.lax.scan(take, (start, jnp.ones(len(start), bool)), numbers)
    return _with(config, rollouts, *new)


def _with(config: Any, rollouts: Rollouts, transition: Transition, is_step: jax.Array) -> Rollouts:
    """Returns the rollouts with new steps [L, S, ...], some of which are behind an end."""
    first = rollouts.num_times % config.num_kept * is_step.size

    def put(old: jax.Array, new: jax.Array) -> jax.Array:
        new = new.reshape(-1, *new.shape[2:])
        return jax.lax.dynamic_update_slice_in_dim(old, new, first, axis=0)

    size = len(rollouts.rows)
    was_step = jnp.zeros(size, bool).at[rollouts.rows].set(jnp.arange(size) < rollouts.num_steps)
    are_steps = put(was_step, is_step)
    return Rollouts(
        transition=jax.tree.map(put, rollouts.transition, transition),
        rows=jnp.argsort(~are_steps, stable=True).astype(jnp.int32),
        num_steps=jnp.sum(are_steps, dtype=jnp.int32),
        num_times=rollouts.num_times + 1,
    )


def _drawn(
    config: Any, model: Model, observation: jax.Array, action: jax.Array, key: jax.Array
) -> tuple[Prediction, jax.Array, jax.Array]:
    """Returns what the networks say, and observation and reward drawn of one of them for each."""
    keys, size = jax.random.split(key, 3), len(observation)
    latent = jax.random.normal(keys[0], (config.num_elites, size, config.latent_dim))
    predicted = dynamics.predict(config, model, observation, action, latent)
    which, state = jax.random.randint(keys[1], (size,), 0, config.num_elites), jnp.arange(size)
    mean, std = (leaf[which, state] for leaf in predicted)
    outcome = mean + std * jax.random.normal(keys[2], mean.shape)
    return predicted, outcome[:, :-1], outcome[:, -1]


def uncertainty(model: Model, predicted: Prediction) -> jax.Array:
    """Returns how uncertain the least certain network is, [B], in what observations change by.

    That is the root mean square of its standard deviations over the numbers of an observation, each
    in units of the standard deviation of that number's change in the data: MOPO's largest norm. A
    deterministic network has none: then it is the networks' disagreement.
    """
    std = (predicted.std / model.scaling.target_std[None, None])[..., :-1]
    aleatoric = jnp.max(jnp.sqrt(jnp.mean(jnp.square(std), axis=-1)), axis=0)
    return jnp.where(jnp.any(std > 0), aleatoric, disagreement(model, predicted))


def disagreement(model: Model, predicted: Prediction) -> jax.Array:
    """Returns the largest distance of two networks' means, [B], in the same units."""
    mean = (predicted.mean / model.scaling.target_std[None, None])[..., :-1]
    between = jnp.sqrt(jnp.mean(jnp.square(mean[:, None] - mean[None]), axis=-1))
    return jnp.max(between, axis=(0, 1))


def _usual_disagreement(config: Any, model: Model, data: Dataset, key: jax.Array) -> jax.Array:
    """Returns the quantile of the disagreement in the data above which morel halts, []."""
    row_key, key = jax.random.split(key)
    row = draw_rows(row_key, NUM_FAMILIAR, data.step_rows, data.first, data.num_steps)
    observation, action = data.observation[row].astype(jnp.float32), data.action[row]
    predicted, _, _ = _drawn(config, model, observation, action, key)
    return jnp.quantile(disagreement(model, predicted), config.halt_quantile)


def reach(data: Dataset) -> tuple[jax.Array, jax.Array]:
    """Returns the lowest and highest observation that a rollout may come to, [O]."""
    there = data.is_step[:, None]
    low = jnp.min(data.observation, axis=0, where=there, initial=jnp.inf)
    high = jnp.max(data.observation, axis=0, where=there, initial=-jnp.inf)
    return low - WIDER * (high - low), high + WIDER * (high - low)
