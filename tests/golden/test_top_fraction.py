"""The best episodes, against kzl/decision-transformer's choice."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rlp.data.episodes import (
    EpisodeSet,
    top_fraction,
)
from tests.conftest import make_episode

pytestmark = pytest.mark.golden


@pytest.mark.parametrize("percent", [1, 10, 25, 50, 75, 100])
def test_top_fraction_is_the_rule_of_the_decision_transformer(
    golden: Callable[[str], Any], percent: int
):
    vectors = golden("dt_batch")
    made = []
    for index, (length, total) in enumerate(
        zip(vectors["pct_lengths"], vectors["pct_returns"], strict=True)
    ):
        episode = make_episode(int(length))
        reward = np.zeros(int(length))
        reward[-1] = total
        observation = np.full_like(episode.observation, index)
        made.append(episode._replace(observation=observation, reward=reward))
    kept = top_fraction(EpisodeSet("x", "", made), percent / 100)
    chosen = [int(episode.observation[0, 0]) for episode in kept.episodes]
    expected = vectors[f"pct_selected_{percent}"].tolist()
    assert (sorted(chosen) if percent == 100 else chosen) == (
        sorted(expected) if percent == 100 else expected
    )
