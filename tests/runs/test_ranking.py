"""Which settings and members are best."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlp.errors import InputError
from rlp.runs import Run, ranking, records
from rlp.runs.ranking import Criterion

NAN = np.nan
SETTINGS = [({"tau": tau}, [2 * n, 2 * n + 1]) for n, tau in enumerate((0.1, 0.2, 0.3))]
VALUES: dict[Criterion, np.ndarray] = {
    "return": np.array([5.0, 7.0, NAN, 9.0, NAN, NAN]),
    "action_error": np.array([0.5, 0.3, 0.2, 0.4, 0.1, NAN]),
}


@pytest.mark.parametrize(
    ("by", "order", "means", "lost"),
    [
        ("return", [0.2, 0.1, 0.3], [9, 6, NAN], [1, 0, 2]),
        ("action_error", [0.3, 0.2, 0.1], [0.1, 0.3, 0.4], [1, 0, 0]),
    ],
)
def test_trials_are_ranked_by_the_members_that_are_left(
    by: Criterion, order: list[float], means: list[float], lost: list[int]
):
    trials = ranking.rank(SETTINGS, VALUES, by)
    assert [trial.setting["tau"] for trial in trials] == order
    assert [trial.values[by] for trial in trials] == pytest.approx(means, nan_ok=True)
    assert [trial.num_lost for trial in trials] == lost


def test_the_table_is_of_what_json_has():
    trials = ranking.rank(SETTINGS, VALUES, "return")
    record = ranking.to_json("return", trials, list("abcdef"))
    record = json.loads(json.dumps(record).replace("NaN", "null"))
    header, rows = ranking.table(record)
    assert header == ["", "tau", "return", "action error", "members"]
    assert rows == [
        ["1", "0.2", "9", "0.3", "2 (1 without a value)"],
        ["2", "0.1", "6", "0.4", "2"],
        ["3", "0.3", "", "0.1", "2 (2 without a value)"],
    ]
    assert record["trials"][0]["members"] == ["c", "d"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"by": "luck"}, 'ranking, by is "luck", not one of return'),
        ({"trials": []}, "not one trial or several"),
        ({"by": "td_error"}, "not a ranking whose trials have the same settings and values"),
    ],
)
def test_a_damaged_ranking_is_one_line(changes: dict[str, Any], said: str):
    record = ranking.to_json("return", ranking.rank(SETTINGS, VALUES, "return"), list("abcdef"))
    cell = {
        "algo": "bc", "env": "walker", "settings": {}, "returns": {},
        "members": [{"seed": 0, "config": {}}], "ranking": {**record, **changes},
    }  # fmt: skip
    cell = json.loads(json.dumps(cell).replace("NaN", "null"))
    with pytest.raises(InputError, match=said):
        records.read_cell(cell, Path("result.json"))


def test_the_best_of_a_search_is_of_the_best_trial_and_else_of_all(tmp_path: Path):
    """A seed of another trial may be better by itself."""
    members = [
        {"seed": seed, "config": setting} for setting, of in SETTINGS for seed, _ in enumerate(of)
    ]
    returns = [10.0, 1.0, 7.0, 8.0, NAN, NAN]
    settings = {"search": "tau=0.1,0.2,0.3", "rank_by": "return"}
    run = Run(tmp_path, {"members": members, "env": "a", "settings": settings})
    entries = [
        {"step": 10, "member": label, "returns": None if np.isnan(value) else [value]}
        for label, value in zip(run.labels, returns, strict=True)
    ]
    (tmp_path / "returns.json").write_text(json.dumps(entries))
    assert run.best == 3
    sweep = Run(tmp_path, {**run.record, "settings": {}})
    assert sweep.best == 0
    unknown = Run(tmp_path, {**run.record, "settings": {"rank_by": "first_q"}})
    with pytest.raises(InputError, match="was not evaluated, so none is known to be the best"):
        _ = unknown.best
    damaged = Run(tmp_path, {**run.record, "settings": {"rank_by": "luck"}})
    with pytest.raises(InputError, match='settings, rank_by is "luck"'):
        _ = damaged.best
