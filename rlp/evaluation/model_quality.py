"""How good a learned model is, on episodes that it did not learn from, and off the data.

Errors are in units of the observations' standard deviations, or of rewards of mean size. Off the
data a simulator that can be set to a state says what really follows.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy

from rlp.algos import dynamics, model_rollouts
from rlp.algos.dynamics import Model
from rlp.data.dataset import Dataset

HORIZONS = (1, 5, 10, 25, 50)  # steps that a model is left alone
LEVELS = (0.5, 0.8, 0.95)  # of intervals
EVERY = 25  # steps between the starts in an episode
SUMMED = 25  # steps whose rewards are summed and compared
IN_DATA, RANDOM, OF_POLICY = "in the data", "random actions", "the policy's actions"
NUM_DRAWS = 50  # outcomes that each network draws, to find intervals


class OpenLoop(NamedTuple):
    """Errors after some steps without a look at the data, root mean squares over all starts."""

    model: np.ndarray  # [H, O], at each of HORIZONS
    linear: np.ndarray  # [H, O], of a linear model of the same data
    persistence: np.ndarray  # [H, O], if nothing changed
    reward: np.ndarray  # [H], of the model
    sum_correlation: float  # Pearson's, of sums of predicted and of true rewards; NaN: not known
    num_starts: np.ndarray  # [H]


class OneStep(NamedTuple):
    """Predictions of what follows a held-out step."""

    coverage: np.ndarray  # [L, O + 1], share of the truth within intervals of each of LEVELS
    log_likelihood: float  # nats a number that is predicted; NaN of a deterministic model
    error: np.ndarray  # [B], root mean square over the observation, in what observations change by
    disagreement: np.ndarray  # [B], of the networks


class Judged(NamedTuple):
    """What is found of the model of a member."""

    open_loop: OpenLoop
    one_step: OneStep
    errors: dict[str, tuple[np.ndarray, np.ndarray]]  # and disagreements [B], by kind of action

    @property
    def rank_correlations(self) -> dict[str, float]:
        """Spearman's, of disagreement and error, by kind of action; NaN of fewer than three."""
        return {
            name: float(scipy.stats.spearmanr(*pair).statistic) if len(pair[0]) > 2 else np.nan
            for name, pair in self.errors.items()
        }


def starts(data: Dataset, state: dynamics.State) -> np.ndarray:
    """Returns rows of held-out episodes with a known next state, EVERY steps apart."""
    row = np.flatnonzero(data.is_step & (np.asarray(data.timestep) % EVERY == 0))
    is_held = np.asarray(dynamics.is_held_out(data, state.salt, state.cut, jnp.asarray(row)))
    return row[is_held & np.asarray(dynamics.has_target(data))[row]]


def open_loop(config: Any, state: dynamics.State, data: Dataset) -> OpenLoop:
    """Returns the errors of a model that is given only the actions of held-out episodes."""
    elite, first = dynamics.elite(config, state), starts(data, state)
    observation, action = np.asarray(data.observation, np.float32), np.asarray(data.action)
    timestep, unit = np.asarray(data.timestep), float(dynamics.reward_unit(data.statistics))
    rewards = np.asarray(data.reward) / unit
    low, high = map(np.asarray, model_rollouts.reach(data))
    weights = _linear_model(data, state)
    predict = partial(_mean, config, elite)
    at, linear_at = observation[first], observation[first]
    found: list[tuple[np.ndarray, ...]] = []
    sums, correlation = np.zeros((2, len(first))), float("nan")
    for step in range(max(HORIZONS)):
        now = np.minimum(first + step, len(timestep) - 1)
        outcome = np.asarray(predict(jnp.asarray(at), jnp.asarray(action[now])))
        at = np.clip(outcome[:, :-1], low, high)
        linear_at = np.clip(_with_one(linear_at, action[now]) @ weights, low, high)
        sums += np.stack([outcome[:, -1], rewards[now]])
        after = np.minimum(now + 1, len(timestep) - 1)
        counts = timestep[after] == timestep[first] + step + 1  # the same episode
        if step + 1 == SUMMED and counts.sum() > 2:
            correlation = float(scipy.stats.pearsonr(*sums[:, counts]).statistic)
        if step + 1 in HORIZONS:
            wrong = [there - observation[after] for there in (at, linear_at, observation[first])]
            wrong.append(outcome[:, -1] - rewards[now])
            found.append((*(_root_mean_square(each[counts]) for each in wrong), counts.sum()))
    model, linear, persistence, reward, number = map(np.array, zip(*found, strict=True))
    return OpenLoop(model, linear, persistence, reward, correlation, number)


def one_step(config: Any, state: dynamics.State, data: Dataset, seed: int = 0) -> OneStep:
    """Returns how predictions of the next state and reward compare with held-out ones."""
    model, row = dynamics.elite(config, state), state.held_rows
    truth = dynamics.transitions(data, row)
    after = jnp.append(truth.next_observation, truth.reward[:, None], axis=1)
    given = truth.observation, truth.action, after
    coverage, likelihood = _intervals(config, model, *given, jax.random.key(seed))
    error, disagreement = errors(config, model, *given)
    is_known = config.model != "deterministic"
    return OneStep(
        np.asarray(coverage), float(likelihood) if is_known else np.nan, error, disagreement
    )


def errors(
    config: Any, model: Model, observation: Any, action: Any, after: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Returns errors and disagreements of predictions [B], in what observations change by.

    Args:
        config: the setting.
        model: the networks.
        observation: [B, O].
        action: [B, A].
        after: [B, O + 1], what really follows, and the reward, which does not count.
    """
    found = _errors(config, model, *map(jnp.asarray, (observation, action, after)))
    error, disagreement = map(np.asarray, found)
    return error, disagreement


@jax.jit
def _errors(config: Any, model: Model, observation: Any, action: Any, after: Any) -> Any:
    latent = _no_latent(config, observation)
    predicted = dynamics.predict(config, model, observation, action, latent)
    wrong = (jnp.mean(predicted.mean, axis=0) - after) / model.scaling.target_std[None]
    error = jnp.sqrt(jnp.mean(jnp.square(wrong[:, :-1]), axis=-1))
    return error, model_rollouts.disagreement(model, predicted)


@jax.jit
def _mean(config: Any, model: Model, observation: jax.Array, action: jax.Array) -> jax.Array:
    """Returns the mean of what the networks expect, [B, O + 1]."""
    latent = _no_latent(config, observation)
    return jnp.mean(dynamics.predict(config, model, observation, action, latent).mean, axis=0)


def _no_latent(config: Any, observation: jax.Array) -> jax.Array:
    """Returns the latent variable at its mean, [E, B, Z]."""
    return jnp.zeros((config.num_elites, len(observation), config.latent_dim))


@jax.jit
def _intervals(
    config: Any,
    model: Model,
    observation: jax.Array,
    action: jax.Array,
    after: jax.Array,
    key: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Returns how many numbers are within the intervals of each level, and their log-likelihood.

    A prediction is a mixture: of the networks, and of a vae's latent variable.
    """
    latent_key, noise_key = jax.random.split(key)
    size = NUM_DRAWS, config.num_elites, len(observation)
    latent = jax.random.normal(latent_key, (*size, config.latent_dim))
    predict = partial(dynamics.predict, config, model, observation, action)
    mean, std = (leaf.reshape(-1, *leaf.shape[2:]) for leaf in jax.vmap(predict)(latent))
    drawn = mean + std * jax.random.normal(noise_key, mean.shape)
    tails = [jnp.quantile(drawn, jnp.array([(1 - p) / 2, (1 + p) / 2]), axis=0) for p in LEVELS]
    within = [jnp.mean((after >= low) & (after <= high), axis=0) for low, high in tails]
    std = jnp.maximum(std, 1e-6)  # of a deterministic model
    density = jax.scipy.stats.norm.logpdf(after[None], mean, std).sum(axis=-1)
    density = jax.nn.logsumexp(density, axis=0) - jnp.log(len(density))
    scale = jnp.sum(jnp.log(model.scaling.target_std))  # the density is of scaled numbers
    return jnp.stack(within), jnp.mean(density + scale) / after.shape[-1]


def _linear_model(data: Dataset, state: dynamics.State) -> np.ndarray:
    """Returns the weights [O + A + 1, O] of least squares over steps that are not held out."""
    every = jnp.arange(len(data.reward))
    is_held = dynamics.is_held_out(data, state.salt, state.cut, every)
    row = np.flatnonzero(np.asarray(dynamics.has_target(data) & ~is_held))
    observation = np.asarray(data.observation, np.float32)
    inputs = _with_one(observation[row], np.asarray(data.action)[row])
    return np.linalg.lstsq(inputs, observation[row + 1], rcond=None)[0]


def _with_one(observation: np.ndarray, action: np.ndarray) -> np.ndarray:
    return np.concatenate([observation, action, np.ones((len(action), 1), np.float32)], axis=1)


def _root_mean_square(x: np.ndarray) -> np.ndarray:
    """Returns the root of the mean of squares over the first axis; NaN where there is nothing."""
    return np.sqrt(np.mean(np.square(x), axis=0)) if len(x) else np.full(x.shape[1:], np.nan)


def off_data(
    config: Any,
    model: Model,
    observation: np.ndarray,
    action: np.ndarray,
    step: Callable[[np.ndarray, np.ndarray], np.ndarray | None],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns errors and disagreements where a simulator can say what follows.

    Args:
        config: the setting.
        model: the networks.
        observation: [B, O], normalised.
        action: [B, A], that are taken there, for example others than in the data.
        step: from an observation and an action to the next observation, normalised; None where the
            simulator's state is not known.
    """
    after = [step(*pair) for pair in zip(observation, action, strict=True)]
    known = [number for number, each in enumerate(after) if each is not None]
    if not known:
        return np.zeros(0), np.zeros(0)
    truth = np.array([after[number] for number in known], np.float32)
    without_reward = np.pad(truth, ((0, 0), (0, 1)))
    return errors(config, model, observation[known], action[known], without_reward)
