import numpy as np
import pytest

from rlp.selection import select


def test_the_better_of_two_certain_policies_is_known_after_two_trials():
    found = select([np.array([1.0]), np.array([3.0])], num_trials=10)
    assert found.mean[0] == pytest.approx(2.0, abs=0.1)  # the one that was tried first
    assert found.mean[1:].tolist() == [3.0] * 9
    assert (found.random, found.best, found.num_policies) == (2.0, 3.0, 2)


def test_trials_make_the_choice_better_and_never_the_best_worse():
    rng = np.random.default_rng(0)
    episodes = [rng.normal(mean, 50, 100) for mean in rng.normal(500, 50, 20)]
    found = select(episodes)
    assert found.mean[0] == pytest.approx(found.random, abs=5)
    assert found.random < found.mean[9] < found.mean[49] < found.mean[-1] < found.best
    assert found.best < max(each.mean() for each in episodes)  # 8 of the 20 are there to choose
    assert (found.low <= found.mean).all()
    assert (found.mean <= found.high).all()


def test_the_size_of_returns_does_not_matter():
    """The bound is made for returns in [0, 1]: unscaled ones would make it too small or large."""
    rng = np.random.default_rng(0)
    episodes = [rng.random(30) + 0.1 * number for number in range(5)]
    small, large = (select([factor * each for each in episodes]) for factor in (1e-3, 1e3))
    np.testing.assert_allclose(1e6 * small.mean, large.mean, rtol=1e-6)


def test_policies_may_have_different_numbers_of_episodes_and_all_the_same_return():
    found = select([np.zeros(3), np.zeros(5)], num_trials=4, num_repeats=3)
    assert found.mean.tolist() == [0.0] * 4


def test_a_policy_is_not_tried_again_before_the_others_were():
    """With as many trials as policies each was tried, so the best of certain ones is known."""
    episodes = [np.array([float(number)]) for number in range(6)]
    assert select(episodes, num_trials=6, num_policies=6).mean[-1] == 5.0
