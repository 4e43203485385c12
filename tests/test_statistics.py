import numpy as np
import pytest
import scipy

from rlp import statistics


def test_intervals_are_seeded_and_stratified():
    scores = np.array([[0.0, 100.0], [1.1, 101.3], [2.0, 102.0], [0.7, 100.1]])
    limits = statistics.interval(statistics.mean, scores, seed=1)
    assert limits == statistics.interval(statistics.mean, scores, seed=1)
    assert limits != statistics.interval(statistics.mean, scores, seed=2)
    low, high = limits
    assert 50 <= low < scores.mean() < high <= 52  # a task's runs stand for that task only


def test_probability_of_improvement_counts_ties_half():
    x, y = np.array([[1.0], [2.0]]), np.array([[1.0], [0.0], [3.0]])
    assert statistics.probability_of_improvement(x, y) == (0.5 + 1 + 0 + 1 + 1 + 0) / 6


def test_intervals_of_few_runs_cover_as_often_as_they_say():
    rng = np.random.default_rng(0)

    def of_falls(number: int) -> np.ndarray:
        """Returns means of 100 episodes, of which each falls with a chance of 0.05."""
        return 950 - 900 * rng.binomial(100, 0.05, size=number) / 100

    for number in (3, 4, 5, 10):
        for draw, mean in ((rng.standard_normal, 0.0), (of_falls, 905.0)):
            intervals = [statistics.mean_interval(draw(number)) for _ in range(4000)]
            covered = np.mean([low <= mean <= high for low, high in intervals])
            assert covered == pytest.approx(0.95, abs=0.02)


def test_the_difference_of_unlike_groups_is_welch_s():
    x, y = np.array([1.0, 2.0, 6.0]), np.array([0.0, 10.0, 20.0, 50.0])
    found = scipy.stats.ttest_ind(x, y, equal_var=False).confidence_interval(0.95)
    assert statistics.difference_interval(x, y) == pytest.approx((found.low, found.high))
    assert statistics.difference_interval(np.ones(2), np.zeros(3)) == (1, 1)
    assert np.isnan(statistics.difference_interval(x, np.ones(1))).all()


def test_a_single_run_has_neither_interval_nor_spread():
    assert np.isnan(statistics.mean_interval(np.ones(1))).all()
    assert np.isnan(statistics.summary(np.ones(1))[1])
    assert statistics.summary(np.array([1.0, 3.0, 8.0]))[:3] == [4, pytest.approx(13**0.5), 3]


def test_falls_are_told_by_the_data_s_best():
    assert statistics.falls(np.array([[1.0, 19.0], [21.0, 100.0]]), 100.0) == 0.5
    assert np.isnan(statistics.falls(np.ones(3), -5.0))
