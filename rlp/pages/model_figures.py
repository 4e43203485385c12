"""A picture of how good learned models are."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlp.evaluation.model_quality import HORIZONS, LEVELS, Judged


def draw(found: Sequence[Judged]) -> bytes:
    """Returns a picture (png) of errors, intervals and disagreements; of several members, means."""
    from matplotlib.figure import Figure  # a second that start-up need not wait

    figure = Figure(figsize=(12, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _draw_errors(left, found)
    _draw_coverage(middle, found)
    _draw_disagreement(right, found[0])
    for axes in (left, middle, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()


def _draw_errors(axes: Any, found: Sequence[Judged]) -> None:
    names = {"model": "the model", "linear": "a linear model", "persistence": "nothing changes"}
    for name, label in names.items():
        values = np.mean([getattr(each.open_loop, name) for each in found], axis=0)  # [H, O]
        [line] = axes.plot(HORIZONS, np.median(values, axis=1), marker="o", label=label)
        if name == "model":
            low, high = np.quantile(values, [0.1, 0.9], axis=1)
            axes.fill_between(HORIZONS, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set_xscale("log")
    axes.set_xticks(HORIZONS, [str(each) for each in HORIZONS])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("steps without a look at the data")
    axes.set_ylabel("error (standard deviations)")
    axes.set_title("Error of the median number, and of 8 in 10", fontsize="medium")
    axes.legend(fontsize="small", frameon=False)


def _draw_coverage(axes: Any, found: Sequence[Judged]) -> None:
    coverage = np.mean([each.one_step.coverage for each in found], axis=0)  # [L, O + 1]
    axes.plot([0, 1], [0, 1], ":", color="grey", label="as it should be")
    axes.plot(
        np.repeat(LEVELS, coverage.shape[1]), coverage.ravel(), "_", alpha=0.5, label="each number"
    )
    axes.plot(LEVELS, coverage.mean(axis=1), "o", label="all of them")
    axes.set_xlim(0.4, 1)
    axes.set_ylim(0.4, 1)
    axes.set_xlabel("level of the interval")
    axes.set_ylabel("share of the truth within it")
    axes.set_title("Intervals of the next step", fontsize="medium")
    axes.legend(fontsize="small", frameon=False)


def _draw_disagreement(axes: Any, judged: Judged) -> None:
    for name, (error, disagreement) in reversed(judged.errors.items()):
        if len(error):
            rank = judged.rank_correlations[name]
            axes.plot(disagreement, error, ".", alpha=0.4, label=f"{name}: {rank:.2f}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.set_xlabel("disagreement of the networks")
    axes.set_ylabel("error of the next step")
    axes.set_title("Disagreement and error, rank correlation", fontsize="medium")
    axes.legend(fontsize="small", frameon=False)
