"""What is said of runs side by side, and that the files have the figures of the json."""

import csv
import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlp
from rlp import statistics
from rlp.errors import InputError
from rlp.pages import comparison, pictures
from rlp.pages.entries import read
from tests.pages.made import write_run

GOOD, NEAR, BAD = (
    [[900.0, 910.0], [930.0, 940.0], [905.0, 915.0]],
    [[890.0, 912.0], [935.0, 933.0], [901.0, 921.0]],
    [[400.0, 10.0], [420.0, 430.0], [410.0, 400.0]],
)


@pytest.fixture
def three(tmp_path: Path) -> Path:
    for name, returns in (("bad", BAD), ("good", GOOD), ("near", NEAR)):
        write_run(tmp_path / "runs" / name, returns, learning_rate=1e-3 if name == "bad" else 3e-4)
    return tmp_path / "runs"


def page_of(*paths: Path) -> str:
    """Returns the page of a comparison, without its pictures."""
    return comparison.page("a title", rlp.compare(*paths), [])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_best_is_named_and_what_is_not_separable_from_it(three: Path):
    found = rlp.compare(*sorted(three.iterdir()))
    (section,) = found.sections
    assert [entry.name for entry in section.ranked] == ["good", "near", "bad"]
    near, bad = section.differences
    assert (near.is_paired, near.is_separable, bad.is_separable) == (True, False, True)
    means = [np.array(each).mean(axis=1) for each in (GOOD, NEAR)]
    assert (near.low, near.high) == statistics.mean_interval(means[0] - means[1])
    (verdict,) = found.verdicts
    assert verdict.startswith("walker: good is best, 917 ± ")
    assert verdict.endswith("Not to be told apart from it: near.")
    assert found.notes == []


def test_runs_of_other_seeds_are_compared_without_pairs(tmp_path: Path):
    write_run(tmp_path / "four", [*GOOD, [500.0, 900.0]])
    write_run(tmp_path / "three", BAD)
    (section,) = read([tmp_path])[0]
    (found,) = section.differences
    assert not found.is_paired
    x, y = (np.array(each).mean(axis=1) for each in ([*GOOD, [500.0, 900.0]], BAD))
    assert (found.low, found.high) == statistics.difference_interval(x, y)


def test_one_member_each_leaves_everything_open(tmp_path: Path):
    write_run(tmp_path / "a", GOOD[:1])
    write_run(tmp_path / "b", BAD[:1])
    (verdict,) = rlp.compare(tmp_path).verdicts
    assert "a is best, 905 (one member)" in verdict
    assert verdict.endswith("without an interval) ahead of b. The two cannot be told apart.")


def test_all_files_have_the_figures_of_the_json(three: Path, tmp_path: Path):
    rlp.compare(three, out=tmp_path / "out")
    table = {row["entry"]: row for row in rows(tmp_path / "out" / "table.csv")}
    page = (tmp_path / "out" / "index.html").read_text()
    of_episodes = rows(tmp_path / "out" / "returns.csv")
    for name in table:
        result = json.loads((three / name / "result.json").read_text())["returns"]
        members = np.array([result[f"seed={seed}"] for seed in range(3)])
        assert float(table[name]["mean"]) == pytest.approx(members.mean())
        assert f">{name}</th>" in page
        for row, member in zip(members, ("seed=0", "seed=1", "seed=2"), strict=True):
            found = [
                float(each["return"])
                for each in of_episodes
                if (each["entry"], each["member"]) == (name, member)
            ]
            assert found == row.tolist()
            assert f"<td>{row.mean():.0f}</td>" in page
    assert [row["trials"] for row in rows(tmp_path / "out" / "selection.csv")][-1] == "200"
    svgs, pdfs = (sorted(tmp_path.glob(f"out/figures/*.{kind}")) for kind in ("svg", "pdf"))
    assert [path.stem for path in svgs] == [path.stem for path in pdfs]
    assert len(svgs) == page.count("<img ") == 6
    assert not re.search(r"(src|href)=\"(?!data:)", page)  # nothing is loaded
    assert "<script" not in page


def test_a_notebook_shows_the_page_in_a_frame(three: Path):
    found = rlp.compare(three)
    shown = html.unescape(found._repr_html_())
    assert shown.startswith('<iframe title="3 runs side by side" srcdoc="<!doctype html>')
    assert shown.count("<iframe") == shown.count("</iframe>") == 1
    (verdict,) = found.verdicts
    assert verdict in html.unescape(shown)
    raw = found._repr_html_()
    assert raw.count('"') == 6  # of three attributes: no quote of the page ends one


def test_what_differs_in_how_they_were_made_is_shown(three: Path):
    _, body = page_of(three).split("Settings that differ")
    assert '<th scope="row">learning_rate</th><td>0.0003</td><td>0.001</td>' in body
    assert '<th scope="col">good, near</th>' in body
    assert "batch_size" not in body


def test_different_data_is_said(tmp_path: Path):
    write_run(tmp_path / "a", GOOD, data="expert")
    write_run(tmp_path / "b", NEAR, data="poor")
    write_run(tmp_path / "c", BAD, data="poor")
    found = rlp.compare(tmp_path)
    (note,) = found.notes
    assert "different data" in note
    assert "expert (experte" in note
    assert "poor (poorpoor)" in note
    assert found.verdicts[0].endswith("Best of 2 from poor (poorpoor): b.")


def test_runs_of_several_environments_have_sections(tmp_path: Path):
    write_run(tmp_path / "a", GOOD)
    other = write_run(tmp_path / "b", BAD) / "config.json"
    other.write_text(other.read_text().replace('"env": "walker"', '"env": "hopper"'))
    result = tmp_path / "b" / "result.json"
    result.write_text(result.read_text().replace('"env": "walker"', '"env": "hopper"'))
    found = rlp.compare(tmp_path)
    assert [section.env for section in found.sections] == ["walker", "hopper"]
    assert "not comparable" in found.notes[0]


def test_a_run_of_two_tasks_is_in_the_section_of_each(tmp_path: Path):
    record: dict[str, Any] = {
        "algo": "bc", "env": "walk+run", "settings": {},
        "members": [{"seed": 0, "config": {}}, {"seed": 1, "config": {}}],
        "returns": {
            "data (d) walk": [5], "seed=0 walk": [6], "seed=1 walk": [8],
            "data (d) run": [1], "seed=0 run": [2], "seed=1 run": [4],
        },
    }  # fmt: skip
    (tmp_path / "both.json").write_text(json.dumps(record))
    found = rlp.compare(tmp_path)
    assert {section.env: section.entries[0].mean for section in found.sections} == {
        "walk": 7, "run": 3,
    }  # fmt: skip
    assert [section.references["the data's mean"] for section in found.sections] == [5, 1]
    assert [entry.name for entry in found.entries] == ["both"]


def test_what_has_not_ended_diverged_or_was_not_evaluated_is_said(tmp_path: Path):
    write_run(tmp_path / "early", GOOD, ended=False)
    write_run(tmp_path / "lost", [[5.0, 7.0], None])
    (write_run(tmp_path / "none", BAD, ended=False) / "returns.json").unlink()
    found = rlp.compare(tmp_path)
    assert found.notes == [
        "early has not ended: its returns are of step 20, 2 episodes a member.",
        "lost, NaN or infinite: seed=1 from update 12.",
        "none was not evaluated.",
    ]
    assert [entry.name for entry in found.sections[0].entries] == ["early", "lost", "none"]
    page = page_of(tmp_path)
    assert "NaN or infinite from update 12" in page
    assert "1 (1 diverged)" in page
    assert "nan" not in page.lower().replace("nan or infinite", "")


def test_text_of_files_means_nothing_in_html(tmp_path: Path):
    name, metric = "<img src=x onerror=alert(1)>", "</figure><script>$x$ \\frac"
    write_run(tmp_path / "runs" / name, GOOD, data="<b>&", metrics={metric: [1.0, 2.0]})
    rlp.compare(tmp_path / "runs", out=tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    for text in (name, metric, "<b>&"):
        assert text not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert len(list(tmp_path.glob("out/figures/*_script_x_frac.svg"))) == 1


def test_a_bound_that_critics_pass_is_an_alarm(tmp_path: Path):
    critics = {"q": [5.0, 9.0], "max_q": [9.0, 14.0], "gap": [1.0, 1.0]}
    write_run(tmp_path / "a", GOOD, metrics=critics)
    page = page_of(tmp_path / "a")
    assert "max_q far above its bound from step 20 in 3 of 3" in page
    assert "Always the same: gap 1." in page
    found = rlp.compare(tmp_path / "a")
    names = [each.name for each in pictures.drawn(found.sections, found.entries, ())]
    assert {"max_q", "q", "Q and returns"} < set(names)
    assert "gap" not in names


def test_an_older_bound_is_one_number(tmp_path: Path):
    path = write_run(tmp_path / "a", GOOD, metrics={"max_q": [1.0, 11.0]}) / "config.json"
    path.write_text(path.read_text().replace("[null, 10.0]", "10.0"))
    assert pictures._bounds(rlp.compare(tmp_path / "a").entries, "max_q") == {"bound 10": 10.0}


def test_without_matplotlib_there_is_a_page(
    three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pictures.importlib.util, "find_spec", lambda _: None)
    rlp.compare(three, out=tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "matplotlib is not installed: no pictures." in page
    assert "<img" not in page


def test_what_cannot_be_compared_is_refused(three: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    for paths, said in (
        ([tmp_path / "empty"], "empty: no run and no record of one in it"),
        ([tmp_path / "gone"], "gone holds no run"),
        ([three / "good", three], "good is given twice"),
    ):
        with pytest.raises(InputError, match=said):
            rlp.compare(*paths)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="out exists"):
        rlp.compare(three, out=tmp_path / "out")


def test_nothing_half_written_stays(three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: Any) -> None:
        raise OSError("full")

    monkeypatch.setattr(comparison, "page", fail)
    with pytest.raises(OSError, match="full"):
        rlp.compare(three, out=tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]


def test_records_of_another_kind_are_left_out(tmp_path: Path):
    write_run(tmp_path / "run", GOOD)
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "a.json").write_text((tmp_path / "run" / "result.json").read_text())
    (folder / "speed.json").write_text("[1]")
    found = rlp.compare(folder)
    assert [entry.name for entry in found.entries] == ["a"]
    assert found.notes == [f"Left out, as no record of a run: {folder / 'speed.json'}."]
