"""Pictures of the returns and learning curves of runs, small enough for a phone.

matplotlib is imported when the first picture is drawn: the import takes a second.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from rlp import statistics
from rlp.pages.entries import Entry, Section, short
from rlp.runs.results import Result
from rlp.selection import Selection

WIDTH, HEIGHT, ROW_HEIGHT = 4.5, 2.6, 0.17  # inches; the last is the height of a legend's row
LEGEND_LETTERS = 70  # in a row of a legend
MOST_LINES = 10  # lines in a picture, of the best entries
MOST_WITH_SEEDS = 3  # up to this many entries, each seed has its own line
STYLE: Any = {
    "font.size": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.transparent": True,
    "text.parse_math": False,  # names are not formulas
    "svg.fonttype": "none",  # keep text as text
    "svg.hashsalt": "rlp",  # makes files reproducible
}


@contextmanager
def style() -> Iterator[None]:
    """Sets the style of pictures on pages."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def saved(figure: Any, kind: str) -> bytes:
    """Returns a figure as a file, `svg` or `pdf`."""
    file = io.BytesIO()
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    figure.savefig(file, format=kind, metadata=dates[kind])
    return file.getvalue()


def _new(xlabel: str, ylabel: str, height: float = HEIGHT) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return figure, axes


def _new_rows(xlabel: str, entries: Sequence[Entry]) -> tuple[Any, Any]:
    """Returns a figure with a row for each entry, the first on top."""
    figure, axes = _new(xlabel, "", height=1.4 + 0.25 * len(entries))
    axes.set_yticks(range(len(entries)), [short(entry.name, 28) for entry in entries])
    axes.set_ylim(len(entries) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    return figure, axes


def _legend(figure: Any, axes: Any) -> None:
    """Adds a legend of all lines below the axes, and makes room for it."""
    handles, labels = axes.get_legend_handles_labels()
    shown = dict(zip(labels, handles, strict=True))
    longest = max(map(len, shown), default=1)
    columns = min(3, max(1, LEGEND_LETTERS // (longest + 7)))
    num_rows = -(-len(shown) // columns)
    figure.set_figheight(figure.get_figheight() + ROW_HEIGHT * num_rows)
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=columns)


def draw_members(axes: Any, height: float, result: Result) -> None:
    """Draws members, their mean and its interval in a row of a picture."""
    members = result.members
    axes.plot(members, [height] * len(members), "|k", alpha=0.5, label="members")
    axes.plot(members.mean(), height, "oC0", label="their mean")
    axes.plot(
        statistics.mean_interval(members), [height] * 2, "C0", linewidth=8, alpha=0.4,
        zorder=1, solid_capstyle="butt", label="its 95 % interval",
    )  # fmt: skip


def members(section: Section) -> Any:
    """Returns a figure of all members of every entry, and the intervals of their means."""
    figure, axes = _new_rows("return, mean of the episodes", section.ranked)
    for height, entry in enumerate(section.ranked):
        draw_members(axes, height, entry.result)
    for line, (name, value) in zip(("--", ":"), section.references.items(), strict=False):
        axes.axvline(value, color="grey", linestyle=line, label=name)
    _legend(figure, axes)
    return figure


def differences(section: Section) -> Any:
    """Returns a figure of how far each entry is behind the best, with the interval."""
    others = section.ranked[1:]
    figure, axes = _new_rows("behind the best by (95 % interval)", others)
    axes.axvline(
        0, color="grey", linestyle="--", label=f"the best: {short(section.ranked[0].name)}"
    )
    for height, found in enumerate(section.differences):
        colour = "C0" if found.is_separable else "C1"
        label = "separable" if found.is_separable else "not separable"
        axes.plot([found.low, found.high], [height] * 2, colour, linewidth=6, alpha=0.4)
        axes.plot(found.mean, height, "o", color=colour, label=label)
    _legend(figure, axes)
    return figure


def improvement(section: Section) -> Any:
    """Returns a figure of the probability that a member of the best beats one of each other."""
    others = section.ranked[1:]
    figure, axes = _new_rows("P(a member of the best earns more)", others)
    axes.axvline(0.5, color="grey", linestyle="--", label="as good")
    for height, (share, low, high) in enumerate(section.improvements):
        axes.plot([low, high], [height] * 2, "C0", linewidth=6, alpha=0.4, label="95 % interval")
        axes.plot(share, height, "oC0", label="probability")
    axes.set_xlim(-0.03, 1.03)
    _legend(figure, axes)
    return figure


def profile(section: Section) -> Any:
    """Returns a figure of the share of episodes above each return, for entries and the data."""
    figure, axes = _new("return", "share of episodes above it")
    shown = section.ranked[:MOST_LINES]
    everything = np.concatenate([*section.policies, *(of.data for of in section.data.values())])
    thresholds = np.linspace(everything.min(), everything.max(), 200)
    for number, entry in enumerate(shown):
        episodes = entry.result.episodes[entry.result.is_finite]
        shares = (episodes[:, :, None] > thresholds).mean(axis=1)  # [M, thresholds]
        axes.plot(thresholds, shares.mean(axis=0), f"C{number}", label=short(entry.name))
        if len(shares) > 1:
            axes.fill_between(
                thresholds, *np.clip(_intervals(shares), 0, 1), color=f"C{number}", alpha=0.15
            )
    if len(section.data) == 1:
        (data,) = section.data.values()
        shares = (data.data[:, None] > thresholds).mean(axis=0)
        axes.plot(thresholds, shares, color="grey", linestyle="--", label="the data")
    axes.set_ylim(-0.03, 1.03)
    _legend(figure, axes)
    return figure


def selection(found: Selection) -> Any:
    """Returns a figure of the return of the policy chosen, by the number of trial episodes."""
    figure, axes = _new("trial episodes", "return of the chosen policy")
    axes.plot(found.trials, found.mean, "C0", label="by a bandit")
    axes.fill_between(
        found.trials, found.low, found.high, color="C0", alpha=0.2, label="95 % of repetitions"
    )
    axes.axhline(found.best, color="grey", linestyle=":", label="the best available")
    axes.axhline(found.random, color="grey", linestyle="--", label="one at random")
    axes.set_xscale("log")
    axes.set_xlim(1, found.trials[-1])
    ticks = [each for each in (1, 2, 5, 10, 20, 50, 100, 200) if each <= found.trials[-1]]
    axes.set_xticks(ticks, map(str, ticks))
    axes.set_xticks([], minor=True)
    _legend(figure, axes)
    return figure


def curves(
    entries: Sequence[Entry],
    label: str,
    metric_of: Callable[[Entry], str],
    levels: Mapping[str, float],
) -> Any:
    """Returns a figure of a metric over training: each entry's mean over seeds, and its interval.

    Args:
        entries: those that have the metric.
        label: the label of the values.
        metric_of: returns the metric's name in an entry.
        levels: values to compare with, by label.
    """
    figure, axes = _new(_of_steps(entries), short(label))
    bands = []
    for number, entry in enumerate(entries[:MOST_LINES]):
        found = entry.curve(metric_of(entry))
        assert found is not None
        steps, values = found[0], np.ma.masked_invalid(found[1])
        colour = f"C{number}"
        if len(values) > 1 and len(entries) <= MOST_WITH_SEEDS:
            lines = axes.plot(steps, values.T, colour, marker=".", alpha=0.35, linewidth=0.8)
            lines[0].set_label("each member")
        mean = f"mean of {len(values)}" if len(entries) == 1 and len(values) > 1 else ""
        label = mean or short(entry.name)
        axes.plot(steps, values.mean(axis=0), colour, marker="o", markersize=3, label=label)
        if len(values) > 1:
            bands.append((steps, _intervals(found[1]), colour))
    for style, (label, level) in zip(("--", ":", "-.") * len(levels), levels.items(), strict=False):
        axes.axhline(level, color="grey", linestyle=style, label=label)
    limits = axes.get_ylim()  # two seeds' interval reaches six times their distance
    for steps, interval, colour in bands:
        axes.fill_between(
            steps, *interval, color=colour, alpha=0.15, label="95 % interval of the mean"
        )
    axes.set_ylim(limits)
    _legend(figure, axes)
    return figure


def q_against_returns(entries: Sequence[Entry]) -> Any:
    """Returns a figure of every member's last Q against its return."""
    figure, axes = _new("return of the last evaluation", "Q of the data's actions")
    for number, entry in enumerate(entries[:MOST_LINES]):
        found = entry.curve("q")
        assert found is not None
        is_finite = entry.result.is_finite
        axes.plot(
            entry.result.members, found[1][is_finite, -1], "o", color=f"C{number}",
            alpha=0.7, label=short(entry.name),
        )  # fmt: skip
    _legend(figure, axes)
    return figure


def _intervals(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the interval of the mean of the finite values [M, T] at each T."""
    found = [statistics.mean_interval(each[np.isfinite(each)]) for each in values.T]
    low, high = np.array(found).T
    return low, high


def _of_steps(entries: Sequence[Entry]) -> str:
    """Returns the unit of the runs' steps."""
    kinds = {"environment steps" if "plan" in each.run.record else "updates" for each in entries}
    return " or ".join(sorted(kinds))
