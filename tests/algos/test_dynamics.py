"""Learned dynamics: what is learned, what is held out, and which networks are used."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import dynamics
from rlp.data.dataset import Dataset, make_dataset, unit_normalizer
from rlp.data.episodes import Episode, EpisodeSet
from rlp.errors import InputError
from rlp.evaluation import model_quality
from rlp.types import UNKNOWN, Sources, vectors
from tests.conftest import make_episode

NOISE = 0.1  # of a linear system's steps
SPEC = vectors(observation_dim=2, action_dim=1, max_episode_steps=50)


def linear_system(num_episodes: int = 40, noise: float = NOISE) -> Dataset:
    """Returns steps s' = 0.9 s + 0.5 a + noise, with reward s_0 + a."""
    rng, made = np.random.default_rng(0), []
    for _ in range(num_episodes):
        action = rng.uniform(-1, 1, (50, 1)).astype(np.float32)
        observation = np.zeros((51, 2), np.float32)
        observation[0] = 0.1 * rng.standard_normal(2)
        for t in range(50):
            noises = noise * rng.standard_normal(2)
            observation[t + 1] = 0.9 * observation[t] + 0.5 * action[t] + noises
        reward = observation[:-1, 0] + action[:, 0]
        made.append(Episode(observation, action, reward, False))
    return make_dataset(EpisodeSet("linear", "", made), unit_normalizer(2))


def setting(**changed: Any) -> dynamics.Config:
    small = {
        "model_hidden_dims": (32,), "num_models": 3, "num_elites": 2, "model_updates": 1500,
        "check_every": 250, "patience": 50, "model_batch_size": 64, "model_learning_rate": 3e-3,
        "latent_dim": 2, "held_out": 0.5,
    }  # fmt: skip
    return dynamics.Config(**small | changed)


def learned(config: dynamics.Config, data: Dataset) -> dynamics.State:
    """Returns the state after all updates."""

    @jax.jit
    def stretch(state: dynamics.State, first: jax.Array) -> dynamics.State:
        def body(state: dynamics.State, step: jax.Array) -> tuple[dynamics.State, None]:
            sample_key, key = jax.random.split(jax.random.fold_in(jax.random.key(1), step))
            batch = dynamics.sample(config, sample_key, state, Sources(data))
            return dynamics.update(config, state, step, key, batch)[0], None

        state, _ = jax.lax.scan(body, state, first + jnp.arange(config.check_every))
        return dynamics.check(config, state, Sources(data))

    state = dynamics.init(config, jax.random.key(0), SPEC, data.statistics)
    for first in range(0, config.model_updates, config.check_every):
        state = stretch(state, jnp.int32(first))
    return state


@pytest.mark.parametrize("kind", ["gaussian", "deterministic", "vae"])
def test_a_linear_system_is_learned(kind: Any):
    config, data = setting(model=kind), linear_system()
    state = learned(config, data)
    found = model_quality.one_step(config, state, data)
    std = np.asarray(state.scaling.target_std)[0]
    assert found.error.mean() < 1.3 * NOISE / std  # noise is all that is left
    loop = model_quality.open_loop(config, state, data)
    assert loop.model[2].max() < 0.7 * loop.persistence[2].min()
    np.testing.assert_allclose(loop.model[0], NOISE, rtol=0.25)
    np.testing.assert_allclose(loop.linear[0], NOISE, rtol=0.25)
    assert loop.sum_correlation > 0.8
    if kind == "deterministic":
        assert np.isnan(found.log_likelihood)
        assert found.coverage[-1].mean() < 0.8  # networks that agree know nothing of noise
    else:
        np.testing.assert_allclose(found.coverage[:, :-1].mean(axis=1), [0.5, 0.8, 0.95], atol=0.08)


def test_the_spread_is_that_of_the_noise():
    config, data = setting(), linear_system()
    state = learned(config, data)
    observation, action = jnp.zeros((1, 2)), jnp.zeros((1, 1))
    latent = jnp.zeros((2, 1, 2))
    model = dynamics.elite(config, state)
    predicted = dynamics.predict(config, model, observation, action, latent)
    np.testing.assert_allclose(predicted.std[..., :2], NOISE, rtol=0.3)
    unit = float(dynamics.reward_unit(data.statistics))
    assert float(predicted.std[..., 2].max()) < 0.1 / unit  # the reward has no noise
    np.testing.assert_allclose(predicted.mean[..., :2], 0, atol=0.05)


def test_whole_episodes_are_held_out():
    data, config = linear_system(num_episodes=10), setting(held_out=0.2)
    state = dynamics.init(config, jax.random.key(0), SPEC, data.statistics)
    rows = jnp.arange(len(data.reward))
    is_held = np.asarray(dynamics.is_held_out(data, state.salt, state.cut, rows))
    assert sorted(is_held.reshape(10, 51).sum(axis=1)) == [0] * 8 + [51] * 2
    assert is_held[np.asarray(state.held_rows)].all()
    assert np.asarray(data.has_successor)[np.asarray(state.held_rows)].all()
    batch = dynamics.sample(config, jax.random.key(1), state, Sources(data))
    held = {tuple(row) for row in np.asarray(data.observation)[is_held].tolist()}
    drawn = np.asarray(batch.transition.observation).reshape(-1, 2).tolist()
    weight = np.asarray(batch.weight).reshape(-1)
    assert [tuple(row) in held for row in drawn] == [each == 0 for each in weight]
    assert 0 < weight.mean() < 1
    other = dynamics.init(config, jax.random.key(5), SPEC, data.statistics)
    assert not np.array_equal(other.held_rows, state.held_rows)  # each member has its own


@pytest.mark.parametrize(("num_episodes", "expected"), [(2, 1), (3, 1), (10, 1)])
def test_at_least_one_episode_is_held_out_and_one_is_not(num_episodes: int, expected: int):
    data = linear_system(num_episodes)
    state = dynamics.init(setting(held_out=0.05), jax.random.key(0), SPEC, data.statistics)
    rows = 51 * jnp.arange(num_episodes)
    assert int(dynamics.is_held_out(data, state.salt, state.cut, rows).sum()) == expected


def test_each_network_has_a_bootstrap_sample_of_its_own():
    data = linear_system(num_episodes=2)
    config = setting(model_batch_size=4000)
    state = dynamics.init(config, jax.random.key(0), SPEC, data.statistics)
    batch = dynamics.sample(config, jax.random.key(1), state, Sources(data))
    again = dynamics.sample(config, jax.random.key(2), state, Sources(data))
    seen = [
        {tuple(row) for row in np.asarray(each.transition.observation)[:, network].tolist()}
        for each in (batch, again)
        for network in range(3)
    ]
    shares = [len(each) / 100 for each in seen]
    np.testing.assert_allclose(shares, 1 - np.exp(-1), atol=0.12)  # of draws with replacement
    assert seen[:3] == seen[3:]  # the same sample in every batch
    assert seen[0] != seen[1] != seen[2]


def test_steps_whose_next_state_is_not_known_are_left_out():
    whole, cut = make_episode(5, 0, observation_dim=2), make_episode(5, 1, observation_dim=2)
    cut = cut._replace(observation=cut.observation[:-1], terminated=True)
    action = np.zeros((5, 1), np.float32)
    made = [each._replace(action=action) for each in (whole, cut)]
    data = make_dataset(EpisodeSet("", "", made), unit_normalizer(2))
    assert np.asarray(data.has_successor).sum() == 10  # a terminated step needs no next state
    assert (
        np.asarray(dynamics.has_target(data)).tolist()
        == [True] * 5 + [False] + [True] * 4 + [False] * 2
    )
    scaling = dynamics.init(setting(), jax.random.key(0), SPEC, data.statistics).scaling
    assert np.abs(scaling.target_mean).max() < 3


def test_training_stops_where_no_network_gets_better():
    data, config = linear_system(10), setting(patience=1)
    state = dynamics.init(config, jax.random.key(0), SPEC, data.statistics)
    batch = dynamics.sample(config, jax.random.key(1), state, Sources(data))
    update = jax.jit(
        lambda state: dynamics.update(config, state, jnp.int32(0), jax.random.key(3), batch)
    )
    state = dynamics.check(config, state, Sources(data))
    moved, _ = update(state)
    assert not np.array_equal(*(jax.tree.leaves(each.params)[0] for each in (state, moved)))
    stopped = dynamics.check(config, state, Sources(data))  # as good as before
    same, metrics = update(stopped)
    chex.assert_trees_all_equal(same, stopped)
    np.testing.assert_allclose(metrics["model_loss"], stopped.best_loss.mean(), rtol=1e-5)


def test_the_elite_are_the_best_networks_as_they_were_at_their_best():
    config = setting()
    state = dynamics.init(config, jax.random.key(0), SPEC, UNKNOWN)
    state = state._replace(
        best_loss=jnp.array([3.0, 1.0, 2.0]),
        params=jax.tree.map(jnp.zeros_like, state.params),
    )
    chosen = dynamics.elite(config, state)
    expected = jax.tree.map(lambda leaf: leaf[jnp.array([1, 2])], state.best)
    chex.assert_trees_all_equal(chosen.params, expected)


def test_an_elite_larger_than_the_ensemble_is_refused():
    with pytest.raises(InputError, match="--num_elites=4: more than --num_models=3"):
        dynamics.init(setting(num_elites=4), jax.random.key(0), SPEC, UNKNOWN)
