import json
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from rlp.runs import report
from rlp.runs import Run


def a_run(directory: Path, discounts: tuple[float, float] = (0.9, 0.9)) -> Run:
    """Returns a run of two members, whose Q has a bound each."""
    members = [
        {"seed": seed, "config": {"discount": discounts[seed]}, "limits": {"max_q": bound}}
        for seed, bound in ((0, 10.0), (1, 20.0))
    ]
    record = {"members": members, "command": "a <command>", "data": {}, "env": "walker-walk"}
    directory.mkdir(exist_ok=True)
    run = Run(directory, record)
    entries = [
        {"step": step, "member": label, "max_q": 1.0 * step, "return": 5.0}
        for step in (1, 2)
        for label in run.labels
    ]
    (directory / "metrics.jsonl").write_text("\n".join(map(json.dumps, entries)))
    return run


def test_the_page_shows_returns_and_every_metric(tmp_path: Path):
    rows = {"data": np.array([1.0, 3.0]), "seed=0": np.array([5.0]), "seed=1": np.array([7.0])}
    page = report.write(a_run(tmp_path), rows, {"kernel": np.zeros((2, 3))}).read_text()
    assert (
        "<td>data</td><td>2</td><td>1</td><td>2</td><td>1</td><td>3</td><td>2 episodes</td>" in page
    )
    assert "<td>members' means</td><td>6</td>" in page.replace("&#x27;", "'")
    assert "95 % interval of the mean of the members: -7 to 19 (Student" in page
    assert "a &lt;command&gt;" in page
    for name in ("return", "max_q"):
        assert f'src="plots/{name}.png"' in page
        assert (tmp_path / "plots" / f"{name}.png").stat().st_size > 1000


def test_settings_have_a_line_each(tmp_path: Path):
    run = a_run(tmp_path, discounts=(0.9, 0.8))
    axes = report._figure("return", run.settings, run.curves()["return"], {}).axes[0]
    assert axes.get_legend_handles_labels()[1] == ["discount=0.9", "discount=0.8"]
    run = a_run(tmp_path)
    axes = report._figure("return", run.settings, run.curves()["return"], {}).axes[0]
    assert axes.get_legend_handles_labels()[1] == ["seed=0", "seed=1"]


def test_a_metric_is_drawn_with_the_bound_of_every_setting(tmp_path: Path):
    run = a_run(tmp_path)
    assert report._limits(run, "max_q") == {"bound 10": 10.0, "bound 20": 20.0}
    assert report._limits(run, "return") == {}
    for member, low in zip(run.record["members"], (-5.0, None), strict=True):
        member["limits"]["max_q"] = [low, member["limits"]["max_q"]]
    bounds = {"bound -5": -5.0, "bound 10": 10.0, "bound 20": 20.0}
    assert report._limits(run, "max_q") == bounds
    figure = report._figure(
        "max_q", run.settings, run.curves()["max_q"], report._limits(run, "max_q")
    )
    assert bounds.keys() <= set(figure.axes[0].get_legend_handles_labels()[1])


def test_a_member_that_is_over_is_named_and_not_counted(tmp_path: Path):
    run = a_run(tmp_path, discounts=(0.9, 0.8))
    lost, kept = run.labels
    rows = {lost: np.full(2, np.nan), kept: np.array([7.0, 9.0])}
    page = report.write(run, rows, {"kernel": np.zeros((2, 3))}, {lost: 1234}).read_text()
    assert f"<td>{lost}</td><td colspan=6>NaN or infinite from update 1,234</td>" in page
    assert "nan" not in page
    curves = {lost: [(1, 3.0), (2, float("nan"))], kept: [(1, 5.0), (2, 6.0)]}
    axes = report._figure("q", {"": [lost, kept], "other": [kept]}, curves, {}).axes[0]
    means = [line.get_ydata() for line in axes.lines if line.get_marker() == "."]
    assert np.asarray(means[0]).tolist() == [4, 6]


def test_a_return_is_drawn_with_the_rows_of_its_task(tmp_path: Path):
    ones = np.ones(1)
    rows = {"data (a+b) walk": ones, "data (a+b) run": 2 * ones, "seed=0 run": 3 * ones}
    run = a_run(tmp_path)
    assert report._levels(run, "return run", rows) == {"data": 2, "seed=0": 3}
    assert report._levels(run, "return", {"data (a+b)": ones}) == {"data": 1}
    assert report._levels(run, "max_q", rows) == {"bound 10": 10, "bound 20": 20}


@pytest.mark.parametrize(
    "name", ["../../up", "/up", "a/b", "<script>", "a'b\"", "$x$ $\\frac$", "100%", ".."]
)
def test_a_metric_of_any_name_is_drawn_in_the_folder(name: str, tmp_path: Path):
    run = a_run(tmp_path / "run")
    entries = [{"step": 1, "member": label, name: 1.0} for label in run.labels]
    (tmp_path / "run" / "metrics.jsonl").write_text("\n".join(map(json.dumps, entries)))
    page = report.write(run, {"data": np.ones(1)}, {"kernel": np.zeros((2, 3))}).read_text()
    (picture,) = (tmp_path / "run" / "plots").iterdir()
    assert picture.stat().st_size > 1000
    (shown,) = re.findall(r'src="([^"]*)"', page)
    assert tmp_path / "run" / unquote(shown) == picture
    assert "<script>" not in page
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_metric_without_a_value_is_a_gap(tmp_path: Path):
    run = a_run(tmp_path, discounts=(0.9, 0.8))
    entries = [{"step": 1, "member": label, "return": None} for label in run.labels]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, entries)))
    report.write(run, {"seed=0": np.array([np.nan])}, {"kernel": np.zeros((2, 3))})
    assert (tmp_path / "plots" / "return.png").exists()
