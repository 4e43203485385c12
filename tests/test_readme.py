"""What the README says is what the repository has."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from rlp import data, study
from rlp.bench import report

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
STUDIES = [
    "walker", "walker_multitask", "unbalanced_tasks", "mirror_images", "shared_data",
    "cheetah_run", "precision",
]  # fmt: skip


@pytest.fixture(autouse=True)
def import_as_experiments_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT / "experiments")


def experiment(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "experiments" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_results_are_those_of_the_records():
    for name in (name for name in STUDIES if name != "unbalanced_tasks"):
        assert study.table(experiment(name).STUDY) in README


def test_the_table_of_speeds_is_that_of_the_record():
    record = report.read(ROOT / "experiments" / "results" / "bench_cpu.json")
    assert report.markdown(record) in README


@pytest.mark.parametrize("name", STUDIES)
def test_the_pages_of_studies_are_those_of_the_records(name: str):
    module = experiment(name)
    page = (module.STUDY.results / "README.md").read_text()
    assert page == study.page(module.STUDY, module.__doc__)


@pytest.mark.parametrize("name", STUDIES)
def test_the_records_are_of_the_settings_that_studies_have(name: str):
    cells = experiment(name).STUDY
    changed = {(row, on): study.changes(cells, row, on) for on in cells.sets for row in cells.rows}
    assert {cell: found for cell, found in changed.items() if found} == {}


def test_what_it_points_at_is_there():
    paths = re.findall(r"\]\(([^)#]+)\)", README) + re.findall(
        r"`((?:rlp|docs|experiments|tests)/[\w/.]+)`", README
    )
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_data_that_it_makes_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(import numpy.*?)```", README, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    read = data.load("my_data.npz")
    assert (read.env, read.lengths.tolist()) == ("walker-walk", [1000] * 3)
    assert not any(e.terminated for e in read.episodes)
