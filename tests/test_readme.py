"""What README and docs say is what the repository has."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlp import data, statistics, study
from rlp.bench import report

ROOT = Path(__file__).parents[1]
PAGES = {
    path: path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
README, RESULTS, SPEED, DATA, ACCELERATORS = (
    PAGES[ROOT / name]
    for name in (
        "README.md", "docs/results.md", "docs/speed.md", "docs/data.md", "docs/accelerators.md",
    )
)  # fmt: skip
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
        assert study.table(experiment(name).STUDY) in RESULTS + SPEED


def test_the_number_of_each_algorithm_is_that_of_its_record():
    cells = study.cells(experiment("walker_multitask").STUDY)["walker-walk"]
    found = re.findall(r"^\| `(\w+)` \|.*\| ([\d][^|]*) \|$", README, re.MULTILINE)
    assert len(found) == 6
    assert dict(found) == {name: cells[name].text for name, _ in found}
    assert f"`--actor_penalty=0.01` has {cells['rebrac-far'].text}." in README
    assert f"mean is {cells['bc'].data.mean():.0f} and best {cells['bc'].data.max():.0f}" in (
        README.replace("\n", " ")
    )


def test_the_table_of_guided_learning_is_that_of_the_records():
    assert experiment("botevade_guided").table() in PAGES[ROOT / "docs/botevade.md"]


def test_the_table_of_criteria_is_that_of_the_record():
    module = experiment("held_out_criteria")
    table = module.table(json.loads(module.RESULT.read_text()))
    assert table in PAGES[ROOT / "docs/commands.md"]


def compiled(name: str) -> list[dict[str, Any]]:
    return report.read(ROOT / "experiments" / "results" / f"compiled_{name}.json")


@pytest.mark.parametrize("name", ["h200", "v5e", "v5e_shared"])
def test_the_tables_of_compiled_programs_are_those_of_the_records(name: str):
    assert report.markdown(compiled(name)) in ACCELERATORS


def test_the_launches_before_and_after_are_those_of_the_records():
    before, after = (
        {(case["algo"], case["members"]): case.get("launches", "-") for case in compiled(name)}
        for name in ("h200_before", "h200")
    )
    for algo in {algo for algo, _ in after}:
        cells = (f"{before[algo, members]}, {after[algo, members]}" for members in (1, 64))
        assert f"| {algo} | {' | '.join(cells)} |" in ACCELERATORS


def test_the_table_of_speeds_is_that_of_the_record():
    record = report.read(ROOT / "experiments" / "results" / "bench_cpu.json")
    assert report.markdown(record) in SPEED


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


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_what_a_page_points_at_is_there(page: Path):
    links = [page.parent / path for path in re.findall(r"\]\(([^)#:]+)\)", PAGES[page])]
    named = re.findall(r"`((?:rlp|docs|experiments|tests)/[\w/.]+)`", PAGES[page])
    missing = [path for path in (*links, *(ROOT / name for name in named)) if not path.exists()]
    assert missing == []


def test_readme_is_short():
    assert len(README.splitlines()) <= 150


def test_the_data_that_it_makes_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(import numpy.*?)```", DATA, re.DOTALL)
    exec(compile(example, "data.md", "exec"), {})
    read = data.load("my_data.npz")
    assert (read.env, read.lengths.tolist()) == ("walker-walk", [1000] * 3)
    assert not any(e.terminated for e in read.episodes)


def test_the_table_of_botevades_players_is_that_of_the_record():
    page = (ROOT / "docs/botevade.md").read_text()
    record = json.loads((ROOT / "experiments/results/botevade_players.json").read_text())
    assert len(record["players"]) == 3
    for name, found in record["players"].items():
        returns, success = np.array(found["returns"]), np.array(found["success"], float)
        low, high = statistics.mean_interval(returns)
        share_low, share_high = statistics.mean_interval(success)
        line = f"| {name} | {returns.mean():.2f} ({low:.2f} to {high:.2f}) | "
        assert f"{line}{success.mean():.1%} ({share_low:.1%} to {share_high:.1%}) |" in page
