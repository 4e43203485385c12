"""Choosing one of several policies by a few trial episodes: Unifloral's protocol (2504.11453).

It is a bandit over the policies. Each trial is an episode of the policy with the highest upper
confidence bound. The score is the true mean of the policy that then looks best. Returns are scaled
to [0, 1], which the bound assumes; Unifloral does not scale them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

NUM_TRIALS = 200
NUM_POLICIES = 8  # to choose from
NUM_REPEATS = 1000
EXPLORATION = 2.0  # alpha of the bound: mean + sqrt(alpha log(trials) / trials of the policy)


class Selection(NamedTuple):
    """The return of the chosen policy after each number of trials."""

    trials: np.ndarray  # [T], 1 to T
    mean: np.ndarray  # [T], over the repetitions
    low: np.ndarray  # [T], 2.5 % of the repetitions are below it
    high: np.ndarray  # [T], 2.5 % of the repetitions are above it
    random: float  # return of a policy chosen at random
    best: float  # return of the best policy available, mean over the repetitions
    num_policies: int
    num_repeats: int


def select(
    episodes: Sequence[np.ndarray],
    num_trials: int = NUM_TRIALS,
    num_policies: int = NUM_POLICIES,
    num_repeats: int = NUM_REPEATS,
    seed: int = 0,
) -> Selection:
    """Returns the result of choosing by trial episodes.

    Args:
        episodes: the returns of each policy, from which trials are drawn.
        num_trials: largest number of trials.
        num_policies: policies to choose from; each repetition draws them without replacement.
        num_repeats: repetitions of the whole procedure.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    means = np.array([returns.mean() for returns in episodes])
    lowest, highest = (f([f(returns) for returns in episodes]) for f in (np.min, np.max))
    size, count = highest - lowest or 1.0, min(num_policies, len(episodes))
    numbers = np.tile(np.arange(len(episodes)), (num_repeats, 1))
    policies = rng.permuted(numbers, axis=1)[:, :count]  # [R, P]
    lengths = np.array([len(returns) for returns in episodes])
    padded = np.zeros((len(episodes), lengths.max()))
    for number, returns in enumerate(episodes):
        padded[number, : len(returns)] = (returns - lowest) / size
    sums, pulls = np.zeros(policies.shape), np.zeros(policies.shape)
    rows, chosen = np.arange(num_repeats), []
    for trial in range(num_trials):
        with np.errstate(divide="ignore", invalid="ignore"):  # untried policies come first
            bound = sums / pulls + np.sqrt(EXPLORATION * np.log(trial + 1) / pulls)
        bound = np.where(pulls == 0, np.inf, bound)
        arm = _argmax(rng, bound)
        policy = policies[rows, arm]
        episode = (rng.random(num_repeats) * lengths[policy]).astype(int)
        sums[rows, arm] += padded[policy, episode]
        pulls[rows, arm] += 1
        believed = np.where(pulls == 0, -np.inf, sums / np.maximum(pulls, 1))
        chosen.append(means[policies[rows, _argmax(rng, believed)]])
    low, high = np.percentile(chosen, [2.5, 97.5], axis=1)
    return Selection(
        trials=np.arange(1, num_trials + 1),
        mean=np.mean(chosen, axis=1),
        low=low,
        high=high,
        random=float(means.mean()),
        best=float(means[policies].max(axis=1).mean()),
        num_policies=count,
        num_repeats=num_repeats,
    )


def _argmax(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """Returns where each row of values [R, P] is highest; ties are broken at random."""
    is_highest = values == values.max(axis=1, keepdims=True)
    return np.argmax(is_highest * (1 - rng.random(values.shape)), axis=1)
