import json
from pathlib import Path

import numpy as np
import pytest

from rlp.errors import InputError
from rlp.runs import Run, results
from rlp.runs.results import Result
from tests.pages.made import write_run

RETURNS = [[4.0, 6.0], None, [1.0, 3.0]]


def test_members_that_diverged_are_counted_and_not_averaged(tmp_path: Path):
    run = results.load(write_run(tmp_path / "a", RETURNS))
    found = results.of(run, run.labels)
    assert found.members.tolist() == [5, 2]
    assert (found.num_lost, found.best) == (1, 700)
    assert found.random.tolist() == [1, 3]
    assert found.text == "4 ± 19 (100 % fall) (1 diverged)"


def test_a_run_that_has_not_ended_has_its_last_evaluation(tmp_path: Path):
    directory = write_run(tmp_path / "a", RETURNS, ended=False)
    entries = json.loads((directory / "returns.json").read_text())
    for entry in entries[:3]:
        entry["returns"] = [0.0]  # of the first evaluation
    (directory / "returns.json").write_text(json.dumps(entries))
    run = results.load(directory)
    assert run.record["step"] == 20
    assert results.of(run, run.labels).members.tolist() == [5, 2]


def test_without_an_evaluation_there_is_no_result(tmp_path: Path):
    directory = write_run(tmp_path / "a", RETURNS, ended=False)
    (directory / "returns.json").unlink()
    run = results.load(directory)
    found = results.of(run, run.labels)
    assert (found.episodes.shape, found.num_lost, found.members.tolist()) == ((3, 0), 0, [])
    assert np.isnan(found.best)
    returns = {"seed=1": None}  # it diverged, and none was evaluated
    some = Run(run.directory, {**run.record, "returns": returns})
    assert results.of(some, some.labels).episodes.shape == (3, 0)


def test_success_is_said_in_the_place_of_falls():
    episodes = np.array([[1.0, 0.0], [1.0, 1.0]])
    found = Result(episodes, np.array([1.0]), np.zeros(1), episodes > 0)
    assert found.failures == "75 % success"


def test_a_record_with_less_of_one_member_is_refused(tmp_path: Path):
    path = write_run(tmp_path / "a", RETURNS) / "result.json"
    record = json.loads(path.read_text())
    for returns, said in (
        ({"seed=0": [1.0], "seed=2": [1.0]}, "result.json, returns: no seed=1"),
        ({"seed=0": [1.0], "seed=1": [1.0, 2.0], "seed=2": [3.0]}, "not as many of each of"),
    ):
        path.write_text(json.dumps({**record, "returns": returns}))
        run = results.load(path)
        with pytest.raises(InputError, match=said):
            results.of(run, run.labels)
