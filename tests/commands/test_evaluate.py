"""Policies of a run, evaluated."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlp import envs, runs
from rlp.commands import evaluate, train
from rlp.evaluation.rollout import EVALUATION_SEED
from rlp.pages import comparison, pictures
from rlp.runs import evaluations
from tests.whole_runs import Ten, evaluation, refused


def test_training_with_evaluation_and_evaluate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.chdir(tmp_path)
    words = "--num_episodes=2 --num_updates=20 --eval_every=10 --num_seeds=2 --name=a"
    flags = ["--final_episodes=3", "--batch_size=8", "--hidden_dims=8"]
    train.main(["bc", *words.split(), *flags])
    out = capsys.readouterr().out
    for shown in (
        "walker-walk/medium  50 episodes, 50,000 steps",
        "random policy",
        "seed=1",
        "members' means",
    ):
        assert shown in out
    entries = json.loads(Path("runs/a/returns.json").read_text())
    assert [(e["step"], e["member"]) for e in entries] == [
        (step, f"seed={seed}") for step in (10, 20) for seed in (0, 1)
    ]
    assert re.search(r"update +20  return \d+ \+- \d+ \(\d+ to \d+\)\n", out)
    assert [len(e["returns"]) for e in entries] == [2, 2, 3, 3]  # the last evaluation counts
    evaluate.main(["runs/a", "--num_episodes=3", "--quiet"])
    result = evaluation("runs/a")
    # The initial states are the same: the restored policies repeat their returns exactly.
    assert result["returns"] == {entry["member"]: entry["returns"] for entry in entries[2:]}
    final = json.loads(Path("runs/a/result.json").read_text())
    assert {name: len(values) for name, values in final["returns"].items()} == {
        "data (walker-walk/medium)": 50, "random policy": 3, "seed=0": 3, "seed=1": 3,
    }  # fmt: skip
    assert "walker-walk learning curves" in Path("runs/a/report.html").read_text()
    assert "cheetah-run has 17 and 6" in refused(
        capsys, lambda: evaluate.main(["runs/a", "--env=cheetah-run"])
    )


SMALL = "--eval_every=0 --num_updates=2 --batch_size=4 --context=3 --embed_dim=8 --num_layers=1"


def test_returns_asked_for_are_one_batch_of_episodes(
    exorl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.chdir(tmp_path)
    train.main(["dt", f"--dataset={exorl}", *SMALL.split(), "--num_seeds=2", "--name=a"])
    sizes = []
    monkeypatch.setattr(envs, "make", lambda _, size, *__: sizes.append(size) or Ten(size))

    def returns(targets: str) -> dict[str, list[float]]:
        words = f"runs/a --env=ten --num_episodes=3 --target_return={targets}"
        evaluate.main(words.split())
        return evaluation("runs/a")["returns"]

    capsys.readouterr()
    several = returns("4,900")
    out, err = capsys.readouterr()
    assert "a target return of 900 is far from the data's" in err
    assert err.count("warning") == 1
    assert list(several) == [f"seed={seed},target={aim}" for seed in (0, 1) for aim in (4, 900)]
    assert all(name in out for name in several)
    assert Path("runs/a/target_returns.png").stat().st_size > 1000
    one = returns("900")
    assert sizes == [2 * 2 * 3, 2 * 3]
    for name, achieved in one.items():
        close: dict[str, Any] = {"rel": 1e-5, "abs": 1e-5}  # of ten actions
        assert achieved == pytest.approx(several[name], **close)
        assert achieved != pytest.approx(several[name.replace("900", "4")], **close)


def test_a_return_is_asked_of_who_aims_for_one_and_of_one_task(
    exorl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.chdir(tmp_path)
    train.main(["bc", f"--dataset={exorl}", "--eval_every=0", "--num_updates=2", "--name=a"])
    train.main(["dt", f"--dataset={exorl}", *SMALL.split(), "--name=b"])
    words = ["runs/a", "--target_return=5"]
    assert "bc does not aim for a return" in refused(capsys, lambda: evaluate.main(words))
    path, words = Path("runs/b/config.json"), ["runs/b", "--target_return=5"]
    record = json.loads(path.read_text())
    two = {"env": "walker-walk+walker-run", "target_returns": record["target_returns"] * 2}
    path.write_text(json.dumps(record | two))
    assert "every task of this run aims" in refused(capsys, lambda: evaluate.main(words))


TT = f"{SMALL} --num_heads=1 --num_bins=8 --beam_width=2 --horizon=1"


@pytest.mark.slow
def test_a_planner_may_search_otherwise_than_it_was_trained_for(
    exorl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.chdir(tmp_path)
    train.main(["tt", f"--dataset={exorl}", *TT.split(), "--name=a"])
    train.main(["bc", f"--dataset={exorl}", "--eval_every=0", "--num_updates=2", "--name=b"])
    monkeypatch.setattr(envs, "make", lambda _, size, *__: Ten(size))
    words = ["runs/a", "--env=ten", "--num_episodes=2"]
    evaluate.main([*words, "--beam_width=3", "--horizon=3"])
    result = evaluation("runs/a")
    assert result["acting"] == {"beam_width": 3, "horizon": 3}
    assert len(result["returns"]["seed=0"]) == 2
    error = refused(capsys, lambda: evaluate.main([*words, "--horizon=4"]))
    assert "--horizon=4: a plan must fit the --context=3" in error
    assert "--horizon=2: no option of how bc acts" in refused(
        capsys, lambda: evaluate.main(["runs/b", "--env=ten", "--horizon=2"])
    )


def test_evaluations_are_kept_beside_each_other(command: Callable[..., None], monkeypatch: Any):
    """Of other numbers of episodes, seeds and environments; the same one takes the last's place."""
    monkeypatch.setattr(envs, "make", lambda _, size, *__: Ten(size))
    monkeypatch.setattr(pictures, "drawn", lambda *_: [])
    command("--name=a", "--num_seeds=2")
    for words in (
        ["--env=ten", "--num_episodes=2"],
        ["--env=ten", "--num_episodes=3"],
        ["--env=other", "--num_episodes=2"],
        ["--env=ten", "--num_episodes=2", "--seed=5"],
        ["--env=ten", "--num_episodes=2"],
    ):
        evaluate.main(["runs/a", *words, "--quiet"])
    run = runs.load(Path("runs/a"))
    found, first = evaluations.read(run), EVALUATION_SEED
    assert [(e["env"], e["num_episodes"], e["first_seed"]) for e in found] == [
        ("ten", 3, first), ("other", 2, first), ("ten", 2, 5), ("ten", 2, first),
    ]  # fmt: skip
    assert [len(e["returns"]["seed=1"]) for e in found] == [3, 2, 2, 2]
    page = Path("runs/a/report.html").read_text()
    means = {label: np.mean(returns) for label, returns in found[1]["returns"].items()}
    assert evaluations.members(run, found[1])[""].tolist() == [*means.values()]
    cells = "".join(f"<td>{cell}</td>" for cell in ("other", 40, first, 2, "", 2))
    assert f'<th scope="row">a</th>{cells}' in page
    found = comparison.page("all", comparison.compare(["runs/a"]), [])
    assert cells in found


def test_an_evaluation_of_before_is_kept_and_a_damaged_file_is_refused(
    command: Callable[..., None], monkeypatch: Any, capsys: Any
):
    monkeypatch.setattr(envs, "make", lambda _, size, *__: Ten(size))
    command("--name=a")
    path = Path("runs/a/evaluation.json")
    before = {"step": 40, "env": "ten", "first_seed": 1000, "returns": {"seed=0": [1.0, 2.0]}}
    path.write_text(json.dumps(before))
    Path("runs/a/report.html").unlink()
    words = ["runs/a", "--env=ten", "--num_episodes=2", "--quiet"]
    evaluate.main(words)
    assert json.loads(path.read_text())[0] == before
    path.write_text(json.dumps([{**before, "env": 3}]))
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        evaluate.main(words)
    assert stop.value.code == 2
    assert "evaluation.json[0], env is 3, not a text" in capsys.readouterr().err
    assert json.loads(path.read_text()) == [{**before, "env": 3}]


def test_names_of_members_are_told_apart(tmp_path: Path):
    members = [{"seed": seed, "config": {"tau": tau}} for tau in (0.1, 0.15) for seed in (1, 10)]
    run = runs.Run(tmp_path, {"members": members, "env": "a"})
    returns: dict[str, Any]
    returns = {f"{label},target={t}": [t * i] for t in (2, 3) for i, label in enumerate(run.labels)}
    returns["seed=1,tau=0.1,target=2"] = None  # it diverged
    found = evaluations.members(run, {"returns": returns})
    assert {name: values.tolist() for name, values in found.items()} == {
        " tau=0.1,target=2": [2], " tau=0.15,target=2": [4, 6],
        " tau=0.1,target=3": [0, 3], " tau=0.15,target=3": [6, 9],
    }  # fmt: skip


def test_options_of_acting_are_flags_that_help_explains(capsys: Any):
    evaluate.main(["--help"])
    out = capsys.readouterr().out
    assert re.search(r"--beam_width +sequences that a plan keeps, of runs that have it", out)
    assert "How policies act, if not as they were trained:" in out
    error = refused(capsys, lambda: evaluate.main(["runs/a", "--horizon=0"]))
    assert "--horizon=0: must be at least 1" in error
