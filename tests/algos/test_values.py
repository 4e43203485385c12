from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy

from rlp.algos import cql, iql, rebrac, td3bc, values
from rlp.data.dataset import Dataset, make_dataset, unit_normalizer
from rlp.data.episodes import Episode, EpisodeSet
from rlp.types import vectors


def test_the_lowest_of_an_ensemble_and_its_gradient():
    q = jnp.array([[1.0, 5.0, 2.0], [3.0, 4.0, 2.0]])
    np.testing.assert_array_equal(values.lowest(q), [1, 4, 2])
    grads = jax.grad(lambda q: jnp.sum(values.lowest(q)))(q)
    np.testing.assert_array_equal(grads, [[1, 0, 1], [0, 1, 0]])  # of equal ones, the first


def test_a_soft_clip_bends_at_the_bound_and_nowhere_else():
    q = jnp.array([-1e4, -9.0, 0.0, 3.0, 9.0, 10.0, 12.0, 1e4])
    clipped = values.soft_clip(q, jnp.float32(10))
    np.testing.assert_allclose(clipped[1:5], q[1:5], atol=0.02)
    assert np.all(np.diff(clipped) >= 0)
    assert np.all(np.abs(clipped) <= 10 * (1 + 1e-6))  # rounding
    slope = jax.vmap(jax.grad(values.soft_clip), (0, None))(q, jnp.float32(10))
    np.testing.assert_allclose(slope[1:5], 1, atol=0.05)
    np.testing.assert_allclose(slope[jnp.array([0, -1])], 0, atol=1e-6)


def test_a_soft_clip_without_any_reward():
    value, slope = jax.value_and_grad(values.soft_clip)(jnp.float32(1), jnp.float32(0))
    assert abs(float(value)) < 1e-6
    assert np.isfinite(slope)


def of_rewards(*rewards: float) -> Dataset:
    reward = np.array(rewards, np.float32)
    one = Episode(np.ones((len(reward) + 1, 1)), np.zeros((len(reward), 2)), reward, False)
    return make_dataset(EpisodeSet("", "", [one]), unit_normalizer(1))


@pytest.mark.parametrize(
    ("rewards", "low", "high"),
    [((0.5, 1.0), 0, 10), ((-2.0, -1.0), -20, 0), ((-3.0, 2.0), -30, 20), ((0.0, 0.0), 0, 0)],
)
def test_bounds_are_those_of_the_lowest_and_the_highest_reward(
    rewards: tuple[float, ...], low: float, high: float
):
    dataset = of_rewards(*rewards)
    assert {"min_q", "max_q", "min_backup", "max_backup"} == limits(iql, dataset).keys()
    for algo in (iql, td3bc):
        assert limits(algo, dataset)["max_q"] == pytest.approx((low, high), rel=1e-5)
        doubled = limits(algo, dataset, reward_scale=2.0)["max_q"]
        assert doubled == pytest.approx((2 * low, 2 * high), rel=1e-5)


@pytest.mark.parametrize("normalize_reward", [True, False])
def test_returns_have_the_range_that_is_asked_for(normalize_reward: bool):
    made = [
        Episode(np.ones((3, 1)), np.zeros((2, 2)), np.array(rewards, np.float32), False)
        for rewards in ([1, 2], [-1, 0.5], [2, 3])
    ]
    fragment = Episode(
        np.ones((3, 1)), np.zeros((2, 2)), np.full(2, 50, np.float32), False, is_fragment=True
    )
    dataset = make_dataset(EpisodeSet("", "", [*made, fragment]), unit_normalizer(1))
    config = iql.Config(return_range=11.0, normalize_reward=normalize_reward)
    scaled = values.reward_scale(config, dataset.statistics)
    assert scaled == pytest.approx(11 / 5.5)  # the best return is 5, the worst -0.5


def limits(algo: Any, dataset: Dataset, **setting: Any) -> dict[str, tuple[float, ...]]:
    found = algo.limits(algo.Config(discount=0.9, **setting), vectors(1, 2, 10), dataset.statistics)
    return {name: tuple(map(float, pair)) for name, pair in found.items()}


def test_bounds_count_what_a_backup_adds():
    dataset = of_rewards(0.0, 1.0)
    farthest = 2 * 2**2  # two dimensions, from -1 to 1
    assert limits(rebrac, dataset, critic_penalty=0.0)["min_q"] == pytest.approx((0, 10))
    low, high = limits(rebrac, dataset, critic_penalty=3.0)["min_backup"]
    assert (low, high) == pytest.approx((-0.9 * 3 * farthest / 0.1, 10))
    assert limits(cql, dataset, num_actions=0)["min_q"] == pytest.approx((0, 10))
    low, high = limits(
        cql, dataset, num_actions=0, backup_entropy=True, alpha=0.5, log_std_min=-5.0
    )["max_q"]
    assert high == pytest.approx(10 + 9 * 0.5 * 2 * np.log(2))  # of uniform actions
    narrowest = scipy.stats.norm(scale=np.exp(-5)).entropy()
    assert low == pytest.approx(9 * 0.5 * 2 * narrowest)


def test_the_penalty_of_cql_has_no_low_bound():
    dataset = of_rewards(0.0, 1.0)
    assert limits(cql, dataset)["min_q"] == (-np.inf, pytest.approx(10))
    assert limits(cql, dataset, cql_weight=0.0)["min_q"] == pytest.approx((0, 10))


def test_where_rewards_are_costs_the_penalty_tolerates_a_fifth_of_the_low_bound():
    costs = of_rewards(-1.0, -1.0)
    assert limits(cql, costs)["max_q"] == (-np.inf, pytest.approx(2))
