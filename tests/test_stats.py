import numpy as np

from rlp import stats


def test_intervals_are_seeded_and_stratified():
    scores = np.array([[0.0, 100.0], [1.1, 101.3], [2.0, 102.0], [0.7, 100.1]])
    limits = stats.interval(stats.mean, scores, seed=1)
    assert limits == stats.interval(stats.mean, scores, seed=1)
    assert limits != stats.interval(stats.mean, scores, seed=2)
    low, high = limits
    assert 50 <= low < scores.mean() < high <= 52  # a task's runs stand for that task only


def test_probability_of_improvement_counts_ties_half():
    x, y = np.array([[1.0], [2.0]]), np.array([[1.0], [0.0], [3.0]])
    assert stats.probability_of_improvement(x, y) == (0.5 + 1 + 0 + 1 + 1 + 0) / 6


def test_d4rl_scores_are_0_for_random_and_100_for_expert():
    returns = np.array([-20.272305, 3234.3])
    scores = stats.d4rl_score("gym:Hopper-v4", returns)
    assert scores is not None
    np.testing.assert_allclose(scores, [0, 100], atol=1e-9)
    for env in ("gym:Hopper-v5", "walker-walk", "gym:Hopper-v2+gym:Hopper-v3", ""):
        assert stats.d4rl_score(env, returns) is None
