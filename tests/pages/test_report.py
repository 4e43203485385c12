"""A run's report is the page of a comparison that has one run."""

import json
from pathlib import Path

import numpy as np
import pytest

from rlp import runs
from rlp.pages import pictures, report
from tests.pages.made import write_run

RETURNS = [[800.0, 820.0], [900.0, 880.0]]


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch):
    """They take a second a page."""
    monkeypatch.setattr(pictures, "drawn", lambda *_: [])


def written(directory: Path) -> str:
    return report.write(runs.load(directory), {"kernel": np.zeros((2, 3))}).read_text()


def test_the_head_has_algorithm_data_and_verdict(tmp_path: Path):
    page = written(write_run(tmp_path / "a", RETURNS, metrics={"actor_loss": [2.0, 1.0]}))
    assert "<h1>a: bc on walk, 2 members in one program</h1>" in page
    head = page.split("<table>")[0].partition("<h1>")[2]
    assert "walker: a earns 850 ± 508 (2 members), above the best episode of its data" in head
    assert "(mean 600, best 700), a random policy 2." in head


@pytest.mark.usefixtures("no_pictures")
def test_the_table_has_every_member(tmp_path: Path):
    page = written(write_run(tmp_path / "a", RETURNS))
    for label, cells in (("seed=0", (810, 14.1, 810, 800, 820)), ("seed=1", (890, 14.1, 890))):
        row = "".join(f"<td>{cell}</td>" for cell in cells)
        assert f'<th scope="row">a, {label}</th>{row}' in page
    assert "<details open><summary>Every member" in page


@pytest.mark.usefixtures("no_pictures")
def test_the_rest_of_the_record_is_there(tmp_path: Path):
    page = written(write_run(tmp_path / "a", RETURNS))
    assert "a &lt;command&gt;" in page
    assert "top_fraction" in page
    assert "kernel" in page  # clu's overview
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "config.json", "metrics.jsonl", "report.html", "result.json", "returns.json",
    ]  # fmt: skip


@pytest.mark.usefixtures("no_pictures")
def test_a_setting_has_a_row_each(tmp_path: Path):
    directory = write_run(tmp_path / "a", RETURNS)
    rates = (1e-3, 1e-4)
    for name in ("config.json", "result.json"):
        record = json.loads((directory / name).read_text())
        for member, rate in zip(record["members"], rates, strict=True):
            member["config"]["learning_rate"] = rate
        labels = [f"seed={seed},learning_rate={rate}" for seed, rate in enumerate(rates)]
        if "returns" in record:
            record["returns"] |= dict(zip(labels, RETURNS, strict=True))
        (directory / name).write_text(json.dumps(record))
    for name in ("returns.json", "metrics.jsonl"):
        text = (directory / name).read_text()
        for seed, label in enumerate(labels):
            text = text.replace(f'"seed={seed}"', f'"{label}"')
        (directory / name).write_text(text)
    page = written(directory)
    assert "a learning_rate=0.0001 is best, 890 (one member)" in page
    assert '<th scope="row">learning_rate</th><td>0.0001</td><td>0.001</td>' in page


def test_a_metric_without_a_value_is_a_gap(tmp_path: Path):
    metrics = {"loss": [float("nan"), 3.0], "never": [float("nan")] * 2}
    directory = write_run(tmp_path / "a", RETURNS, metrics=metrics)
    path = directory / "metrics.jsonl"
    path.write_text(path.read_text().replace("NaN", "null"))
    assert 'alt="Losses loss"' in written(directory)


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("ended", [True, False])
def test_a_run_that_goes_on_to_another_length_has_its_last_evaluation(tmp_path: Path, ended: bool):
    directory = write_run(tmp_path / "a", RETURNS)
    if not ended:
        run = runs.load(directory)
        runs.extend(run, 5 * run.configs[0].num_updates)
    assert ("has not ended" in written(directory)) != ended
