"""Aggregates and intervals against rliable's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rlp import statistics

pytestmark = pytest.mark.golden


def test_point_estimates(golden: Callable[[str], Any]):
    vectors = golden("stats")
    x, y = vectors["scores_x"], vectors["scores_y"]
    for name, scores in (("x", x), ("y", y)):
        assert statistics.iqm(scores) == pytest.approx(vectors[f"iqm_{name}"], abs=1e-9)
        assert statistics.mean(scores) == pytest.approx(vectors[f"mean_{name}"], abs=1e-9)
    assert statistics.iqm(vectors["scores_odd"]) == pytest.approx(vectors["iqm_odd"], abs=1e-9)
    assert statistics.iqm(x[:, :1]) == pytest.approx(vectors["iqm_task0_x"], abs=1e-9)
    expected = vectors["poi_x_over_y"]
    assert statistics.probability_of_improvement(x, y) == pytest.approx(expected, abs=1e-9)
    assert statistics.probability_of_improvement(x, x) == pytest.approx(0.5)


def test_intervals_of_given_resamples(golden: Callable[[str], Any]):
    vectors = golden("stats")
    x, y = vectors["scores_x"], vectors["scores_y"]
    for number, statistic in enumerate((statistics.iqm, statistics.mean)):
        assert statistic(x) == pytest.approx(vectors["boot_point"][number], abs=1e-9)
        limits = statistics.percentile_interval(statistic, (x,), [vectors["boot_indices"]])
        np.testing.assert_allclose(limits, vectors["boot_ci"][:, number], atol=1e-9)
    indices = [vectors["poi_boot_indices_x"], vectors["poi_boot_indices_y"]]
    limits = statistics.percentile_interval(statistics.probability_of_improvement, (x, y), indices)
    np.testing.assert_allclose(limits, vectors["poi_boot_ci"][:, 0], atol=1e-9)


def test_intervals_of_our_own_resamples(golden: Callable[[str], Any]):
    vectors = golden("stats")
    tolerance = 1.5 * vectors["boot20000_ci_spread"].max()
    for number, statistic in enumerate((statistics.iqm, statistics.mean)):
        limits = statistics.interval(statistic, vectors["scores_x"], num_resamples=20_000)
        expected = vectors["boot20000_ci_mean"][:, number]
        np.testing.assert_allclose(limits, expected, atol=tolerance)
