"""Runs side by side, as a command."""

from pathlib import Path
from typing import Any

import pytest

from rlp.commands import compare
from rlp.pages import comparison
from tests.pages.made import write_run
from tests.whole_runs import refused


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    write_run(Path("runs/a"), [[100.0, 120.0], [130.0, 140.0]], data="expert")
    write_run(Path("runs/b"), [[900.0, 920.0], [930.0, 940.0]], data="poor")
    return ["runs/a", "runs/b"]


def test_the_best_is_printed_first_and_the_page_written(
    two: list[str], capsys: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(comparison.pictures, "drawn", lambda *_: [])
    compare.main([*two, "--out=side"])
    out, err = capsys.readouterr()
    assert out.lstrip().startswith("walker: b is best, 922 ± 159 (2 members); 800 (95 %: ")
    rows = [line.split() for line in out.splitlines() if line.startswith((" a ", " b "))]
    assert [row[:3] for row in rows] == [["b", "2", "922"], ["a", "2", "122"]]
    assert out.endswith("written to side/index.html\n")
    assert "note: walker: these learned from different data" in err
    assert sorted(path.name for path in Path("side").iterdir()) == [
        "index.html", "returns.csv", "selection.csv", "table.csv",
    ]  # fmt: skip


def test_bad_input_is_one_line_and_writes_nothing(two: list[str], capsys: Any):
    before = sorted(Path().iterdir())
    Path("runs/b/result.json").write_text("{")
    for words, said in (
        ([], "RUNS is missing"),
        (["runs/c"], "runs/c holds no run; near it: runs/a, runs/b"),
        ([*two, "--out=runs"], "--out=runs: exists; choose a new folder"),
        (two, "runs/b/result.json: damaged json"),
        (["runs/a", "--pictures=no"], "no flag --pictures"),
    ):
        assert said in refused(capsys, lambda words=words: compare.main(words))
    assert sorted(Path().iterdir()) == before
