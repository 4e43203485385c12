"""Aggregates of returns over runs and tasks, with bootstrap intervals (2108.13264).

Scores are [R, T]: a run's final mean return in each task; runs of different tasks are independent.
As rliable's, whose generator cannot be seeded. D4RL (2004.07219) compares returns on a scale of its
own.
"""

from collections.abc import Callable

import numpy as np
import scipy  # loads scipy.stats when it is used: half a second

NUM_RESAMPLES = 2000
Statistic = Callable[..., float]  # from scores [R, T], one array or two
D4RL_REFERENCES = {  # returns of a random policy and of an expert, d4rl/infos.py
    "gym:HalfCheetah": (-280.178953, 12135.0),
    "gym:Hopper": (-20.272305, 3234.3),
    "gym:Walker2d": (1.629008, 4592.3),
}


def d4rl_score(env: str, returns: np.ndarray) -> np.ndarray | None:
    """Returns D4RL's normalised scores, 0 a random policy's and 100 an expert's.

    None for environments that have none, among them version 5 of gymnasium's, which pays otherwise.
    """
    name, _, version = env.partition("-v")
    if name not in D4RL_REFERENCES or version not in ("2", "3", "4"):
        return None
    random, expert = D4RL_REFERENCES[name]
    return 100 * (returns - random) / (expert - random)


def mean(scores: np.ndarray) -> float:
    """Returns the mean of all runs and tasks."""
    return float(np.mean(scores))


def iqm(scores: np.ndarray) -> float:
    """Returns the interquartile mean: of the middle half of all runs and tasks pooled."""
    return float(scipy.stats.trim_mean(scores.ravel(), 0.25))


def probability_of_improvement(x: np.ndarray, y: np.ndarray) -> float:
    """Returns P(x > y) + P(x = y) / 2 of runs x [R, T] and y [S, T], the mean over tasks."""
    num_x, num_y = len(x), len(y)
    ranks = scipy.stats.rankdata(np.concatenate([x, y]), axis=0)[:num_x]  # Mann and Whitney's U
    wins = ranks.sum(axis=0) - num_x * (num_x + 1) / 2
    return float(np.mean(wins / (num_x * num_y)))


def interval(
    statistic: Statistic,
    *scores: np.ndarray,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Returns a stratified bootstrap percentile interval of a statistic.

    In every resample, the runs of each task are drawn with replacement on their own.

    Args:
        statistic: a function of as many arrays as there are scores.
        *scores: [R, T] each; R may differ.
        seed: of the resamples.
        num_resamples: how many.
        confidence: the share of resamples between the limits.
    """
    rng = np.random.default_rng(seed)
    indices = [rng.integers(len(x), size=(num_resamples, *x.shape)) for x in scores]
    return percentile_interval(statistic, scores, indices, confidence)


def percentile_interval(
    statistic: Statistic,
    scores: tuple[np.ndarray, ...],
    indices: list[np.ndarray],
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Returns the interval given the runs drawn: `indices` [K, R, T] for each of the scores."""
    resampled = [
        statistic(*(np.take_along_axis(x, i, axis=0) for x, i in zip(scores, drawn, strict=True)))
        for drawn in zip(*indices, strict=True)
    ]
    outside = 100 * (1 - confidence) / 2
    low, high = np.percentile(resampled, [outside, 100 - outside])
    return float(low), float(high)
