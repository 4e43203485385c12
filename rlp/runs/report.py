"""A run as a page to look at: report.html with the table of returns, and plots/*.png."""

import html
import importlib.util
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import jax
import numpy as np

from rlp.system.files import json_text, write_text
from rlp.runs import Run
from rlp.statistics import SUMMARY, mean_interval, summary
from rlp.types import NOT_FINITE, Params

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; }}
table {{ border-collapse: collapse; }} td, th {{ padding: .2rem 1rem .2rem 0; text-align: right; }}
td:first-child, th:first-child {{ text-align: left; }} th {{ border-bottom: 1px solid; }}
img {{ max-width: 100%; }} pre {{ background: #f4f4f4; padding: 1rem; overflow: auto; }}
</style></head><body>
<h1>{title}</h1>
<p><code>{command}</code></p>
<table><tr><th>return of an episode</th>{columns}<th>of</th></tr>
{rows}
</table>
<p>{intervals}</p>
{images}
<h2>The actor of a member</h2>
<pre>{parameters}</pre>
<h2>Record</h2>
<pre>{record}</pre>
</body></html>
"""


def write(
    run: Run,
    rows: Mapping[str, np.ndarray],
    params: Params,
    diverged: Mapping[str, int] = MappingProxyType({}),
) -> Path:
    """Writes report.html and plots/*.png of a finished run.

    Args:
        run: the run.
        rows: for each name (data, random policy, members) the returns of its episodes.
        params: the actors of all members, [M] in front.
        diverged: the update from which on a name is not finite; it has no return.

    Returns:
        The path of the page.
    """
    plots = run.directory / "plots"
    plots.mkdir(exist_ok=True)
    curves = run.curves()
    shown = sorted(
        curves.keys() - {"updates_per_second", "steps_per_second"},
        key=lambda name: (not name.startswith("return"), name),
    )
    if not importlib.util.find_spec("matplotlib"):
        shown = []  # a machine that only trains may lack it
    for name in shown:
        figure = _figure(name, run.settings, curves[name], _levels(run, name, rows))
        figure.savefig(plots / _file_name(name), dpi=120, format="png")
    record = {k: v for k, v in run.record.items() if k not in ("members", "data")}
    table = [
        _empty_row(name, f"{NOT_FINITE} from update {diverged[name]:,}")
        if name in diverged
        else _row(name, values, "episodes")
        for name, values in rows.items()
    ]
    intervals = []
    for name, values in run.over_members(rows).items():
        if len(values) > 1:
            table.append(_row(f"members' means{name}", values, "members"))
            low, high = mean_interval(values)
            of_what = html.escape(f"mean of the members{name}")
            intervals.append(f"95 % interval of the {of_what}: {low:.0f} to {high:.0f} (Student's)")
    page = PAGE.format(
        title=html.escape(run.directory.name),
        command=html.escape(str(run.record["command"])),
        columns="".join(f"<th>{name}</th>" for name in SUMMARY),
        rows="\n".join(table),
        intervals="<br>\n".join(intervals),
        images="\n".join(map(_image, shown)),
        parameters=html.escape(_overview(params)),
        record=html.escape(json_text(record, indent=1)),
    )
    write_text(run.directory / "report.html", page)
    return run.directory / "report.html"


def _file_name(metric: str) -> str:
    """Returns the name of a metric's picture: whatever the metric is called, it is in `plots`."""
    return quote(metric, safe=" ") + ".png"


def _image(metric: str) -> str:
    return f'<p><img src="plots/{quote(_file_name(metric))}" alt="{html.escape(metric)}"></p>'


def _row(name: str, values: np.ndarray, what: str) -> str:
    numbers = ["" if np.isnan(number) else f"{number:.0f}" for number in summary(values)]
    cells = "".join(f"<td>{number}</td>" for number in numbers)
    return f"<tr><td>{html.escape(name)}</td>{cells}<td>{values.size} {what}</td></tr>"


def _empty_row(name: str, why: str) -> str:
    return f"<tr><td>{html.escape(name)}</td><td colspan={len(SUMMARY) + 1}>{why}</td></tr>"


def _overview(params: Params) -> str:
    """Returns clu's table of the parameters of the first member."""
    if not importlib.util.find_spec("clu"):
        return "(clu is not installed)"
    from clu import parameter_overview  # a second that start-up need not wait

    first = jax.tree.map(lambda leaf: np.asarray(leaf[0]), params)
    return parameter_overview.get_parameter_overview(first)


def _levels(run: Run, name: str, rows: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Returns what a metric is to be compared with: the rows of its task, or its limits."""
    if name.startswith("return"):
        task = name.removeprefix("return")
        return {
            row.removesuffix(task).partition(" (")[0]: returns  # the data, without its long name
            for row, returns in rows.items()
            if row.endswith(task)
        }
    return _limits(run, name)


def _limits(run: Run, name: str) -> dict[str, np.ndarray]:
    """Returns the values that a metric must not pass, those of each setting that has its own."""
    found = {
        bound
        for member in run.record["members"]
        for bound in bounds(member.get("limits", {}).get(name))
        if bound is not None
    }
    return {f"bound {value:.4g}": np.array(value) for value in sorted(found)}


def bounds(limit: Any) -> tuple[float | None, float | None]:
    """Returns the lowest and highest value of a metric, as a record has them, None for none.

    Older records have one number, the highest.
    """
    low, high = limit if isinstance(limit, list) else (None, limit)
    return low, high


def _figure(
    name: str,
    settings: Mapping[str, Sequence[str]],
    curves: Mapping[str, Sequence[tuple[int, float]]],
    lines: Mapping[str, np.ndarray],
) -> Any:
    """Returns a drawing of one metric of all members; `lines` that are no member are level.

    Of several settings each has a colour, and a thick line for the mean of its members.
    """
    import matplotlib  # a second that start-up need not wait
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    if len(settings) == 1:
        for member, points in curves.items():
            axes.plot(*zip(*points, strict=True), marker=".", label=member)
    else:
        shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(settings)))
        for (setting, members), shade in zip(settings.items(), shades, strict=True):
            points = np.array([curves[member] for member in members], np.float64)  # [M, T, 2]
            steps, values = points[0, :, 0], np.ma.masked_invalid(points[..., 1])
            axes.plot(steps, values.T, color=shade, alpha=0.3, linewidth=1)
            mean = values.mean(axis=0)  # of the members that are finite
            axes.plot(steps, mean, color=shade, marker=".", label=setting.strip())
    levels = {label: values.mean() for label, values in lines.items() if label not in curves}
    for style, (label, level) in zip(itertools.cycle(("--", ":")), levels.items(), strict=False):
        axes.axhline(level, color="grey", linestyle=style, label=label)
    axes.set_xlabel("updates")
    axes.set_ylabel(name.replace("$", r"\$"))  # else it would be read as mathematics
    axes.grid(alpha=0.3)
    names = curves if len(settings) == 1 else settings
    if len(names) <= 16:
        columns = max(1, min(3, 100 // max(map(len, names))))  # of some 100 letters together
        figure.legend(loc="outside lower center", ncols=columns, fontsize="small")
    return figure
