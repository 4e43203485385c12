"""Rollouts in a model that is known: s' = s + a in each number, with reward s_0."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp import testing
from rlp.algos import dynamics, mobrac, model_rollouts, terminations
from rlp.algos.dynamics import Model, Prediction, Scaling
from rlp.algos.model_rollouts import Rollouts
from rlp.testing import SPEC
from rlp.types import Transition

STEPS, STARTS = 3, 5
APART = 0.25  # what the two networks differ by, either way of the mean


def setting(**changed: Any) -> mobrac.Config:
    small: dict[str, Any] = {
        "num_rollouts": STARTS, "rollout_length": STEPS, "num_kept": 2, "num_elites": 2,
        "pessimism": "none", "termination": "never", "discount": 0.9,
    }  # fmt: skip
    return mobrac.Config(**small | changed)


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Two networks without noise, whose means differ by twice a number that can be set."""
    how = {"apart": 0.0, "std": 0.0}

    def predict(
        config: Any, model: Model, observation: jax.Array, action: jax.Array, latent: jax.Array
    ) -> Prediction:
        del config, model, latent
        after = observation + jnp.pad(action, ((0, 0), (0, 2)), constant_values=0.1)
        mean = jnp.append(after, observation[:, :1], axis=1)
        sides = jnp.array([-how["apart"], how["apart"]])[:, None, None]
        std = jnp.array([0.5 * how["std"], how["std"]])[:, None, None]
        return Prediction(mean[None] + sides, jnp.broadcast_to(std, (2, *mean.shape)))

    monkeypatch.setattr(dynamics, "predict", predict)
    return how


def act(observation: jax.Array, key: jax.Array) -> jax.Array:
    del key
    return jnp.full((len(observation), 2), 0.1)


def extended(config: mobrac.Config, seed: int = 0, before: Rollouts | None = None) -> Rollouts:
    scaling = Scaling(jnp.zeros(6), jnp.ones(6), jnp.zeros(5), jnp.ones(5))
    data = testing.dataset()
    rollouts = model_rollouts.empty(config, SPEC) if before is None else before
    return model_rollouts.extended(
        config, Model({}, scaling), rollouts, act, jax.random.key(seed), data.statistics
    )


def steps(rollouts: Rollouts) -> Transition:
    """Returns the steps [L, S, ...] of the rollouts that were made first."""
    size = STEPS * STARTS
    return jax.tree.map(
        lambda leaf: np.asarray(leaf[:size]).reshape(STEPS, STARTS, *leaf.shape[1:]),
        rollouts.transition,
    )


def test_rollouts_begin_in_the_data_and_follow_the_model(apart: dict[str, float]):
    del apart
    rollouts, data = extended(setting()), testing.dataset()
    found = steps(rollouts)
    known = np.asarray(data.observation)[np.asarray(data.is_step)]
    for start in found.observation[0]:
        assert (np.abs(known - start).max(axis=1) == 0).any()
    low, high = map(np.asarray, model_rollouts.reach(data))
    expected = np.clip(found.observation + 0.1, low, high)
    np.testing.assert_allclose(found.next_observation, expected, rtol=1e-5)
    np.testing.assert_array_equal(found.observation[1:], found.next_observation[:-1])
    rewards = np.asarray(data.reward)[np.asarray(data.is_step)]
    unit = float(dynamics.reward_unit(data.statistics))
    expected = np.clip(unit * found.observation[..., 0], rewards.min(), rewards.max())
    np.testing.assert_allclose(found.reward, expected, rtol=1e-5)
    assert (found.discount == 1).all()
    assert int(rollouts.num_steps) == STEPS * STARTS


def test_the_oldest_are_replaced(apart: dict[str, float]):
    del apart
    first = extended(setting())
    second = extended(setting(), 1, first)
    third = extended(setting(), 2, second)
    size = STEPS * STARTS
    for one, other, expected in ((first, second, True), (second, third, False)):
        left, right = (each.transition.observation[:size] for each in (one, other))
        assert np.array_equal(left, right) == expected
    kept, still = (each.transition.observation[size:] for each in (second, third))
    np.testing.assert_array_equal(kept, still)
    assert [int(each.num_steps) for each in (first, second, third)] == [size, 2 * size, 2 * size]
    drawn = model_rollouts.sample(first, jax.random.key(0), 100)
    assert (np.asarray(drawn.action) == np.float32(0.1)).all()  # the second half is still empty


def test_what_is_behind_an_end_is_never_drawn(
    apart: dict[str, float], monkeypatch: pytest.MonkeyPatch
):
    del apart
    monkeypatch.setitem(terminations.ENDS, "high", lambda observation: observation[0] > 0)
    rollouts = extended(setting(termination="high"))
    found = steps(rollouts)
    np.testing.assert_array_equal(found.discount == 0, found.next_observation[..., 0] > 0)
    goes_on = np.cumprod(np.r_[np.ones((1, STARTS)), found.discount[:-1]], axis=0)
    assert 0 < goes_on.mean() < 1
    assert int(rollouts.num_steps) == goes_on.sum()
    rows = np.asarray(rollouts.rows)[: int(rollouts.num_steps)]
    assert set(rows) == set(np.flatnonzero(goes_on))


def test_mopo_pays_for_the_least_certain_network(apart: dict[str, float]):
    plain = steps(extended(setting()))
    apart["std"] = 0.2
    config = setting(pessimism="mopo", penalty=3.0)
    found, unit = steps(extended(config)), dynamics.reward_unit(testing.dataset().statistics)
    np.testing.assert_allclose(
        found.reward[0].mean(), plain.reward[0].mean() - 3 * unit * 0.2, atol=0.3
    )
    spread = found.next_observation - found.observation - 0.1
    assert 0.05 < spread[0].std() < 0.25


def test_morel_ends_where_networks_disagree(apart: dict[str, float]):
    apart["apart"] = APART
    never = extended(setting(pessimism="morel", halt_quantile=1.0))
    assert int(never.num_steps) == STEPS * STARTS
    assert (steps(never).discount == 1).all()
    usual = model_rollouts._usual_disagreement

    def smaller(*args: Any) -> jax.Array:
        return usual(*args) - 0.01

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_rollouts, "_usual_disagreement", smaller)
        always = extended(setting(pessimism="morel"))
    found, statistics = steps(always), testing.dataset().statistics
    assert int(always.num_steps) == STARTS
    assert (found.discount == 0).all()
    worst = min(float(statistics.lowest_reward), 0) / (1 - 0.9)
    np.testing.assert_allclose(found.reward, worst, rtol=1e-5)


def test_disagreement_is_the_largest_distance_of_two_means():
    scaling = Scaling(jnp.zeros(1), jnp.ones(1), jnp.zeros(3), jnp.array([2.0, 4.0, 1.0]))
    mean = jnp.array([[[0.0, 0.0, 9.0]], [[2.0, 4.0, 0.0]], [[6.0, 12.0, 0.0]]])
    predicted = Prediction(mean, jnp.ones_like(mean))
    found = model_rollouts.disagreement(Model({}, scaling), predicted)
    np.testing.assert_allclose(found, [3.0])  # of (6 / 2, 12 / 4), whatever the reward
    certain = model_rollouts.uncertainty(Model({}, scaling), predicted)
    np.testing.assert_allclose(certain, [np.sqrt((1 / 4 + 1 / 16) / 2)], rtol=1e-6)
