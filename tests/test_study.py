"""Tables from records; what is there already is not run again."""

import json
from pathlib import Path
from typing import Any

import pytest

from rlp import config, runs, study
from rlp.algos import bc
from rlp.errors import InputError
from rlp.study import Study
from tests.whole_runs import refused


@pytest.fixture
def made(tmp_path: Path) -> Study:
    """A study with two of its four cells: one of one task, one of two."""
    rows = {"a": ("bc", {}), "b": ("bc", {"batch_size": "8", "top_fraction": "0.5"})}
    both = Study(tmp_path / "results", rows, {"walk": "walk", "both": "walk+run"}, num_seeds=2)
    members = [{"seed": seed, "config": {}} for seed in (0, 1)]
    one = {"data (walk)": [5, 7], "random policy": [1], "seed=0": [1, 5], "seed=1": [6, 8]}
    two = {
        "data (walk+run) walk": [5], "random policy walk": [1], "seed=0 walk": [10],
        "seed=1 walk": [20], "data (walk+run) run": [8], "random policy run": [2],
        "seed=0 run": [30], "seed=1 run": [30],
    }  # fmt: skip
    both.results.mkdir()
    for name, env, returns in (("a_walk", "walk", one), ("b_both", "walk+run", two)):
        settings = {"dataset": env, "num_seeds": 2, "preset": "former", "name": name}
        record = {
            "algo": "bc", "settings": settings, "env": env, "members": members, "returns": returns,
        }  # fmt: skip
        (both.results / f"{name}.json").write_text(json.dumps(record))
    return both


def test_the_table_has_the_mean_and_spread_of_members(made: Study):
    assert study.table(made).splitlines() == [
        "|  | walk | both walk | both run |",
        "| --- | --- | --- | --- |",
        "| random policy | 1 | 1 | 2 |",
        "| data | 6 (best 7) | 5 (best 5) | 8 (best 8) |",
        "| a | 5 ± 25 (25 % fall) |  |  |",
        "| b |  | 15 ± 64 | 30 ± 0 |",
    ]


def test_the_data_of_a_column_is_the_whole_of_it(made: Study):
    record = json.loads((made.results / "a_walk.json").read_text())
    record["returns"]["data (walk)"] = [7]  # --top_fraction
    (made.results / "b_walk.json").write_text(json.dumps(record))
    assert "| data | 6 (best 7) |" in study.table(made)


def test_the_details_have_a_line_a_cell(made: Study):
    lines = study.details(made).splitlines()
    assert lines[2] == "| a | walk | 2 | 5 | 2 | -20 | 30 | 3 | 7 | 4 | 6 | 25 % | 25 % |"
    assert [line.split(" | ")[1] for line in lines[2:]] == ["walk", "both walk", "both run"]


def test_members_without_a_return_are_not_counted(made: Study):
    record = json.loads((made.results / "a_walk.json").read_text())
    record["returns"]["seed=0"] = None
    (made.results / "a_walk.json").write_text(json.dumps(record))
    assert "| a | 7 (1 diverged) |" in study.table(made)
    assert study.details(made).splitlines()[2].startswith("| a | walk | 1 | 7 |  |")
    record["returns"]["seed=1"] = None
    (made.results / "a_walk.json").write_text(json.dumps(record))
    assert "| a | diverged |" in study.table(made)


def test_differences_are_between_members_of_one_seed(made: Study):
    record = json.loads((made.results / "a_walk.json").read_text())
    record["returns"] |= {"seed=0": [2, 6], "seed=1": [7, 11]}
    (made.results / "b_walk.json").write_text(json.dumps(record))
    paired = made._replace(pairs={"b": "a", "c": "a"})
    line = "| b | a | walk | 2 | 2 | -5 | 8 | 30 % |"  # of 1 and 2, whose mean is of 5 and 6.5
    assert study.differences(paired).splitlines()[2:] == [line]
    assert line in study.page(paired, "A study.")
    record["returns"]["seed=0"] = None
    (made.results / "b_walk.json").write_text(json.dumps(record))
    assert study.differences(paired).splitlines()[2] == "| b | a | walk | 1 | 2 |  |  | 29 % |"


def test_only_missing_cells_are_run(made: Study, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    ran = []
    monkeypatch.setattr(
        study, "_run_cell", lambda _, row, data_set, __: ran.append((row, data_set))
    )
    study.main("study", "A study.", made, ["--sets=walk"])
    study.main("study", "A study.", made, ["--rows=a"])
    assert ran == [("b", "walk"), ("a", "both")]
    assert "| a | 5 ± 25 (25 % fall) |" in capsys.readouterr().out
    page = (made.results / "README.md").read_text()
    assert page.startswith("# A study\n")
    assert "| a | 5 ± 25 (25 % fall) |" in page
    assert "| a | walk | 2 | 5 |" in page
    assert (made.results / "returns.png").stat().st_size > 1000
    error = refused(capsys, lambda: study.main("study", "A study.", made, ["--rows=aa"]))
    assert "--rows: no aa (did you mean a?)" in error


def test_a_cell_whose_settings_changed_is_told_and_not_run(made: Study, capsys: Any):
    """What a record does not have was not there to be set, and counts as its default did then."""
    assert study.changes(made, "a", "walk") == []
    assert study.changes(made, "b", "walk") == []  # not run yet
    assert study.changes(made, "b", "both") == ["batch_size was 256, is 8"]
    for setting, found in (
        ({"top_fraction": 1.0}, "top_fraction was 1.0, is 0.5"),
        ({"num_seeds": 3}, "num_seeds was 3, is 2"),
    ):
        _change(made.results / "b_both.json", setting)
        assert found in study.changes(made, "b", "both")
    study.main("study", "A study.", made, ["--sets=both", "--rows=b"])
    told = (
        "b_both.json: top_fraction was 1.0, is 0.5; num_seeds was 3, is 2; batch_size was 256, is 8"
    )
    assert told in capsys.readouterr().out


def _change(record: Path, settings: dict[str, Any]) -> None:
    changed = json.loads(record.read_text())
    changed["settings"] |= settings
    record.write_text(json.dumps(changed))


def test_the_page_has_what_was_done_before_an_interruption(
    made: Study, monkeypatch: pytest.MonkeyPatch
):
    def run_cell(_: Study, row: str, name: str, __: study.Settings) -> None:
        if name == "both":
            raise KeyboardInterrupt
        record = (made.results / "a_walk.json").read_text()
        (made.results / f"{row}_{name}.json").write_text(record)

    monkeypatch.setattr(study, "_run_cell", run_cell)
    with pytest.raises(SystemExit):
        study.main("study", "A study.", made, [])
    assert "| b | 5 ± 25 (25 % fall) |" in (made.results / "README.md").read_text()


def test_a_cell_is_a_run_of_the_seeds(made: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """With the flags of its row, and the record of the run as it is; interrupted, it goes on."""
    seen = []

    def train(algo_name: str, given: dict[str, str]) -> Any:
        seen.append({**given, "algo": algo_name})
        directory = Path(given["runs"]) / given["name"]
        if "resume" not in given:
            settings = {"dataset": "walk", "num_seeds": 2, "top_fraction": 0.5}
            setting = config.to_dict(bc.Config(batch_size=8))
            record = {
                "algo": "bc",
                "env": "walk",
                "settings": settings,
                "schedule": {},
                "spec": {"observation_dim": 4, "action_dim": 2, "max_episode_steps": 12},
                "data": {"name": "walk", "fingerprint": "0", "returns": [1.0]},
                "target_returns": [1.0],
                "members": [{"seed": 0, "config": setting, "limits": {}}],
            }
            runs.create(directory, record)
            raise KeyboardInterrupt
        (directory / "result.json").write_text('{"env": "walk"}')

    monkeypatch.setattr(study, "train", train)
    settings = study.Settings(runs=str(tmp_path / "runs"), quiet=True)
    with pytest.raises(KeyboardInterrupt):
        study._run_cell(made, "b", "walk", settings)
    study._run_cell(made, "b", "walk", settings)
    first, second = seen
    expected = {"algo": "bc", "batch_size": "8", "num_seeds": "2", "dataset": "walk"}
    assert expected.items() <= first.items()
    assert second == {**first, "resume": str(tmp_path / "runs" / "results" / "b_walk")}
    assert json.loads((made.results / "b_walk.json").read_text()) == {"env": "walk"}
    _change(tmp_path / "runs" / "results" / "b_walk" / "config.json", {"top_fraction": 0.1})
    with pytest.raises(InputError, match=r"b_walk: top_fraction was 0.1, is 0.5. Delete it"):
        study._run_cell(made, "b", "walk", settings)


def test_a_member_that_diverged_is_counted_and_not_averaged(made: Study):
    path = made.results / "a_walk.json"
    record = json.loads(path.read_text())
    record["returns"]["seed=0"] = [None, None]
    path.write_text(json.dumps(record))
    assert "| a | 7 (1 diverged) |" in study.table(made)
    line = "| a | walk | 1 | 7 |  |  |  | 7 | 7 | 2 | 7 | 0.0 % | 50 % |"
    assert line.replace("0.0", "0") in study.details(made)
    record["returns"]["seed=1"] = [None, None]
    path.write_text(json.dumps(record))
    assert "| a | diverged |" in study.table(made)
    assert "| a | walk | 0 |  |" in study.details(made)
    study.picture(made)


def test_a_record_that_is_no_cell_is_named(made: Study):
    path = made.results / "a_walk.json"
    record = json.loads(path.read_text())
    for key, value, said in (
        ("env", 3, "a_walk.json, env is 3, not a text"),
        ("members", [{"seed": 0, "config": {"tau": 1}}], 'config: "tau" is not known'),
        ("returns", {"seed=0": [1]}, "a_walk.json, returns: no "),
    ):
        path.write_text(json.dumps({**record, key: value}))
        with pytest.raises(InputError, match=said):
            study.table(made)


def test_success_stands_where_the_environment_says_it(made: Study):
    assert study.SUCCESS not in study.page(made, "A study.")
    record = json.loads((made.results / "a_walk.json").read_text())
    success = {"seed=0": [True, False], "seed=1": [True, True], "random policy": [False]}
    record["measures"] = {"success": success}
    (made.results / "a_walk.json").write_text(json.dumps(record))
    assert "| a | 5 ± 25 (75 % success) |" in study.table(made)
    assert study.SUCCESS in study.page(made, "A study.")
