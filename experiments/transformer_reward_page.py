"""The page of `transformer_reward.py`: its records as tables and pictures."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from transformer_reward_measures import WITHIN

from rlp import statistics
from rlp.cli.tables import markdown
from rlp.system import files

WEIGHT = 0.4  # the study's, which the first line of the page reports
GAPS = {"gap": "Q less the return", "own_gap": "Q less the return of its rewards"}
Record = Mapping[str, Any]
Curve = Mapping[int, np.ndarray]  # the seeds' values [S] by environment step
LEGEND = """± is half of Student's 95 % interval of the seeds' mean; differences are of seeds,
paired, at the same weight where there is one. Q less the return is of the last evaluation, the mean
over states of sampled actions that at least half of their episode follows: against the
environment's rewards, and against those that the critics learn."""


class Row(NamedTuple):
    """The members of a setting, one per seed, in the record of their run."""

    record: Record
    labels: Sequence[str]

    @property
    def final(self) -> np.ndarray:
        """The mean return of each seed in the last evaluation, [S]."""
        return np.array([_mean(self.record["final"][label]) for label in self.labels])

    @property
    def returns(self) -> Curve:
        """The mean return of each seed in every evaluation."""
        found: dict[int, dict[str, float]] = defaultdict(dict)
        for entry in self.record["evaluations"]:
            found[entry["step"]][entry["member"]] = _mean(entry["returns"])
        return {step: np.array([of[label] for label in self.labels]) for step, of in found.items()}

    def values(self, name: str) -> Curve:
        """Returns one of GAPS for each seed in every evaluation."""
        return {
            int(step): np.array([_mean(of[name][label]) for label in self.labels])
            for step, of in self.record["values"].items()
        }

    @property
    def reduction(self) -> float:
        """How much its rewards were lowered, averaged over seeds and time."""
        curves = self.record["curves"]["reduction"]
        return float(np.mean([_mean([v for _, v in curves[label]]) for label in self.labels]))


def _mean(values: Sequence[float] | None) -> float:
    """Returns the mean, NaN for a member that diverged."""
    return float(np.mean(np.array(np.nan if values is None else values, float)))


def read(results: Path) -> dict[str, Row]:
    """Returns the rows of all records by name."""
    records = {
        name: files.read_json(results / f"{name}.json")
        for name in ("teacher", "frozen", "learning", "lowered", "clipped")
    }
    frozen = _settings(records["frozen"], "weight")
    weights = [weight for weight in frozen if weight]
    lowered = _settings(records["lowered"], "reduction").values()
    return {
        "teacher": next(iter(_settings(records["teacher"], "weight").values())),
        "nothing": frozen[0.0],
        **{f"transformer, {weight:g}": frozen[weight] for weight in weights},
        **{
            f"transformer online, {weight:g}": row
            for weight, row in _settings(records["learning"], "weight").items()
        },
        **{f"as much less, {w:g}": row for w, row in zip(weights, lowered, strict=True)},
        "clipped double Q": next(iter(_settings(records["clipped"], "weight").values())),
    }


def _settings(record: Record, name: str) -> dict[float, Row]:
    """Returns the members with each value of a hyperparameter, in order."""
    found: dict[float, list[str]] = defaultdict(list)
    for member, label in zip(record["members"], record["final"], strict=True):
        found[member["config"][name]].append(label)
    return {value: Row(record, labels) for value, labels in found.items()}


def write(results: Path, doc: str) -> None:
    """Writes README.md and the pictures, and prints the first line and the tables."""
    rows, models = read(results), files.read_json(results / "models.json")["seeds"]
    for name, figure in (
        ("returns.png", _picture(rows)), ("losses.png", _losses(rows, models)),
    ):  # fmt: skip
        with files.whole(results / name) as file:
            figure.savefig(file, dpi=110)
    sections = [verdict(rows), table(rows), calibration(models)]
    title, _, text = doc.partition("\n")
    parts = [
        f"**{sections[0]}**", f"# {title}", text.strip("\n"), sections[1], LEGEND,
        "![returns, and Q less returns](returns.png)",
        "How well transformers predict the episodes that they have not seen, mean of the seeds:",
        sections[2], "![losses of the trainings](losses.png)", "![first seeds](side_by_side.gif)",
    ]  # fmt: skip
    files.write_text(results / "README.md", "\n\n".join(parts) + "\n")
    print("\n\n".join(sections))


def _controls(name: str) -> dict[str, str]:
    """Returns the controls of a row: heading -> row."""
    weight = name.partition(", ")[2]
    controls = {"nothing": "nothing", "clipped double Q": "clipped double Q"}
    return {"the constant": f"as much less, {weight}", **controls} if weight else controls


def difference(rows: Mapping[str, Row], name: str, other: str) -> np.ndarray:
    """Returns how much more a row's seeds earn than another's, [S] without diverged ones."""
    found = rows[name].final - rows[other].final
    return found[np.isfinite(found)]


def verdict(rows: Mapping[str, Row]) -> str:
    """Returns whether the idea helps, and against which control, in two sentences."""
    name = f"transformer, {WEIGHT:g}"
    helps, parts = [], []
    for control, other in _controls(name).items():
        found = difference(rows, name, other)
        low, high = statistics.mean_interval(found)
        helps += [control] * (low > 0)
        parts.append(f"{found.mean():+,.0f} against {control} (95 % {low:+,.0f} to {high:+,.0f})")
    idea = f"helps against {' and '.join(helps)}" if helps else "helps against no control"
    title = f"The idea {idea}: with weight {WEIGHT:g}, rewards that the transformer lowers earn"
    return f"{title} {', '.join(parts)}."


def table(rows: Mapping[str, Row]) -> str:
    """Returns a line per row, in markdown."""
    heads = ["the constant", "nothing", "clipped double Q"]
    lines = []
    for name, row in rows.items():
        others = _controls(name)
        differences = [
            _interval(difference(rows, name, others[head]))
            if others.get(head, name) not in (name, "") and name != "teacher" else ""
            for head in heads
        ]  # fmt: skip
        gaps = [_interval(row.values(gap)[max(row.values(gap))]) for gap in GAPS]
        lines.append([name, _interval(row.final), *differences, *gaps, f"{row.reduction:.2f}"])
    head = ["", "return", *(f"less that of {each}" for each in heads), *GAPS.values()]
    return markdown([*head, "rewards lowered by"], lines)


def _interval(values: np.ndarray) -> str:
    """Returns the mean of the seeds that have not diverged, and half of its interval."""
    left = values[np.isfinite(values)]
    if not len(left):
        return "diverged"
    lost = f" ({len(values) - len(left)} diverged)" if len(left) < len(values) else ""
    half = statistics.mean_interval(left)[1] - left.mean()
    return f"{left.mean():,.0f} ± {half:,.0f}{lost}"


def calibration(models: Sequence[Record]) -> str:
    """Returns the coverage of the transformers' distributions on unseen episodes, in markdown."""
    head = ["", *(f"within {share}" for share in WITHIN), "below the bound (16 % of a normal)"]
    lines = []
    for name in ("reward", "return"):
        found = [seed["calibration"][name] for seed in models]
        shares = [np.mean([each["within"][share] for each in found]) for share in WITHIN]
        shares.append(np.mean([each["below_bound"] for each in found]))
        rest = [f"{np.mean([each[key] for each in found]):.3g}" for key in ("rmse", "explained")]
        lines.append([name, *(f"{100 * share:.0f} %" for share in shares), *rest])
    return markdown([*head, "RMSE", "variance explained"], lines)


def _picture(rows: Mapping[str, Row]) -> Figure:
    """Returns the curves: a row of panels per quantity, a column per group of rows."""
    groups = {
        "transformer": [name for name in rows if name.startswith("transformer,")],
        "goes on learning": [name for name in rows if name.startswith("transformer online")],
        "controls": [n for n in rows if n.startswith("as much") or n == "clipped double Q"],
    }
    figure = Figure(figsize=(13, 10), layout="constrained")
    panels = figure.subplots(3, len(groups), sharex=True, sharey="row")
    for column, (title, names) in zip(panels.T, groups.items(), strict=True):
        for name in ("nothing", *names):
            row, colour = rows[name], "grey" if name == "nothing" else None
            _draw(column[0], row.returns, name, colour)
            for axes, gap in zip(column[1:], GAPS, strict=True):
                _draw(axes, row.values(gap), name, colour)
        column[0].set_title(title)
        column[0].legend(fontsize="small")
        column[-1].set_xlabel("environment steps")
    for axes, label in zip(panels[:, 0], ("return", *GAPS.values()), strict=True):
        axes.set_ylabel(label)
    return figure


def _draw(axes: Axes, curve: Curve, name: str, colour: str | None) -> None:
    """Draws the mean of the seeds that have not diverged, and its interval."""
    steps = sorted(curve)
    left = [curve[step][np.isfinite(curve[step])] for step in steps]
    [line] = axes.plot(
        steps, [each.mean() if len(each) else np.nan for each in left],
        marker=".", label=name, color=colour,
    )  # fmt: skip
    low, high = zip(*map(statistics.mean_interval, left), strict=True)
    axes.fill_between(steps, low, high, alpha=0.12, color=line.get_color())
    axes.grid(alpha=0.3)


def _losses(rows: Mapping[str, Row], models: Sequence[Record]) -> Figure:
    """Returns a figure of the losses of teacher, transformer and agents, averaged over seeds."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    teacher, transformer, agent = figure.subplots(1, 3)
    for name in ("critic_loss", "actor_loss"):
        _draw(teacher, _curve(rows["teacher"], name), name.replace("_", " "), None)
    for name in ("reward_loss", "to_go_loss"):
        points = [next(iter(seed["curves"][name].values())) for seed in models]
        _draw(transformer, _by_step(points), name.replace("_", " "), None)
    for name, row in rows.items():
        if name != "teacher":
            _draw(agent, _curve(row, "critic_loss"), name, None)
    for axes, title in (
        (teacher, "1. teacher"), (transformer, "2. transformer, nats in units of the data's std"),
        (agent, "3. and 4. critic loss of the new agents"),
    ):  # fmt: skip
        axes.set_title(title, fontsize="medium")
        axes.set_xlabel("updates" if axes is transformer else "environment steps")
        axes.legend(fontsize="x-small")
    agent.set_yscale("log")
    return figure


def _curve(row: Row, name: str) -> Curve:
    curves = row.record["curves"][name]
    return _by_step([curves[label] for label in row.labels])


def _by_step(points: Sequence[Sequence[Sequence[float]]]) -> Curve:
    """Returns the values of several members by step, from each member's (step, value) pairs."""
    return {
        of_step[0][0]: np.array([value for _, value in of_step], float)
        for of_step in zip(*points, strict=True)
    }
