"""Runs that are cut and go on, and what is noticed while they train."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chex
import numpy as np
import pytest

from rlp import envs, runs
from rlp.commands import evaluate, train
from rlp.runs import checkpoint
from rlp.training import offline, restore
from rlp.training.slices import Members
from rlp.types import NEVER, Sources
from tests.rounding import of_sums
from tests.whole_runs import FAST, Ten, evaluation, lines, losses, states


@pytest.mark.parametrize("kill_after", [10, 20])
def test_a_resumed_run_equals_an_uninterrupted_one(
    command: Callable[..., None], monkeypatch: pytest.MonkeyPatch, kill_after: int
):
    flags = ("--num_seeds=2", "--input_noise=0.1", "--checkpoint_every=10", "--seed=3")
    command("--name=whole", *flags)
    stretch = Members.train

    def killed(members: Members, sources: Sources, step: int, stop: int) -> Any:
        if step == kill_after:
            raise KeyboardInterrupt
        return stretch(members, sources, step, stop)

    with monkeypatch.context() as patch:
        patch.setattr(Members, "train", killed)
        with pytest.raises(SystemExit, match="130"):
            command("--name=cut", *flags)
    with open("runs/cut/metrics.jsonl", "a") as file:
        file.write('{"step": 99, "member": "written after the checkpoint"}\n{"step": 1')
    train.main(["bc", "--resume=runs/cut", "--quiet"])
    chex.assert_trees_all_equal(states("runs/cut"), states("runs/whole"))
    whole, cut = lines("runs/whole"), lines("runs/cut")
    for line in (*whole, *cut):
        del line["updates_per_second"]
    assert cut == whole


def test_a_run_without_a_checkpoint_starts_again(
    command: Callable[..., None], monkeypatch: pytest.MonkeyPatch
):
    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Members, "train", killed)
        with pytest.raises(SystemExit, match="130"):
            command("--name=cut")
    command("--resume=runs/cut", "--quiet")
    command("--name=whole")
    chex.assert_trees_all_equal(states("runs/cut"), states("runs/whole"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_resumable_run(exorl: Path, tmp_path: Path, number: int):
    words = (
        "bc",
        f"--dataset={exorl}",
        "--name=a",
        "--eval_every=0",
        *(word for word in FAST if "num_updates" not in word),
        "--num_updates=100000",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "rlp.train", *words], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    metrics = tmp_path / "runs/a/metrics.jsonl"
    until = time.monotonic() + 60
    while not (metrics.exists() and metrics.read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "to go on: python -m rlp.train bc --resume=runs/a" in out
    _, step = restore.load_policy(runs.load(tmp_path / "runs/a"))
    assert step == json.loads(metrics.read_text().splitlines()[-1])["step"]


def test_a_long_stretch_is_stopped_between_its_pieces(
    command: Callable[..., None], monkeypatch: pytest.MonkeyPatch
):
    flags = ("--num_updates=400", "--log_every=400", "--checkpoint_every=0", "--num_seeds=2")
    train_piece = Members.train

    def interrupted(members: Members, sources: Sources, step: int, stop: int) -> Any:
        outcome = train_piece(members, sources, step, stop)
        if stop == 200:
            os.kill(os.getpid(), signal.SIGINT)
        return outcome

    command("--name=whole", *flags)
    with monkeypatch.context() as patch:
        patch.setattr(Members, "train", interrupted)
        with pytest.raises(SystemExit) as stopped:
            command("--name=cut", *flags)
    assert stopped.value.code == 128 + signal.SIGINT
    assert {line["step"] for line in lines("runs/cut")} == {200}
    command("--resume=runs/cut", "--quiet")
    assert [line["step"] for line in lines("runs/cut")] == [200, 200, 400, 400]
    chex.assert_trees_all_equal(states("runs/cut"), states("runs/whole"))
    halves = np.reshape(losses("runs/cut"), (2, 2)).mean(axis=0)  # both of 200 updates
    np.testing.assert_allclose(halves, losses("runs/whole"), **of_sums(400))


@pytest.mark.parametrize(
    ("number", "end", "many"),
    [(1, 12, [12]), (2, 12, [10, 12]), (2, 15, [10, 15]), (9, 12, [5, 10, 12])],
)
def test_the_last_evaluations_have_more_episodes(number: int, end: int, many: list[int]):
    schedule = offline.Schedule(
        eval_every=5, num_episodes=1, final_episodes=7, final_evaluations=number
    )
    steps = [*range(5, end, 5), end]
    assert [step for step in steps if schedule.episodes(step, end) == 7] == many


@pytest.mark.parametrize(
    ("flags", "stops"),
    [
        ((1000, 5000, 5000), [100, 200, 300]),
        ((250, 1000, 0), [50, 100, 150]),
        ((10, 20, 0), [10, 20, 30]),
        ((997, 0, 0), [997, 1994, 2500]),
        ((1024, 2000, 0), [1024, 2000, 2048]),
        ((0, 0, 0), [100, 200, 300]),
    ],
)
def test_pieces_are_of_one_length_and_meet_every_interval(
    flags: tuple[int, int, int], stops: list[int]
):
    log, evaluate, save = flags
    schedule = offline.Schedule(log_every=log, eval_every=evaluate, checkpoint_every=save)
    assert schedule.next_stop(0, 30) <= 30
    found = [0]
    for _ in stops:
        found.append(schedule.next_stop(found[-1], 2500))
    assert found[1:] == stops
    assert [n for n in range(1, 2501) if schedule.is_due(n)] == [
        n for n in range(1, 2501) if any(every and n % every == 0 for every in flags)
    ]


RATES = "--learning_rate=1e-3,3e38"  # two steps of Adam, of 0.6 of that or more, are infinite
LOST = "seed=0,learning_rate=3e+38"


@pytest.fixture
def evaluated(command: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs `rlp.train bc` with a member that diverges, evaluated in an environment of 10 steps."""
    monkeypatch.setattr(envs, "make", lambda _, size, *__: Ten(size))

    def run(*words: str) -> None:
        flags = ("--env=ten", "--eval_every=10", "--checkpoint_every=10", "--num_episodes=2")
        flags += ("--final_episodes=2",)
        rates = () if any("--learning_rate" in word for word in words) else (RATES,)
        command(*words, *(() if "--resume" in words[0] else (*flags, *rates)))

    return run


def test_a_member_that_is_not_finite_is_named_and_left_out(
    evaluated: Callable[..., None], capsys: Any
):
    evaluated("--name=a", "--num_seeds=1", "--quiet=False")
    out, error = capsys.readouterr()
    [warning] = error.splitlines()
    found = re.fullmatch(rf"warning: {re.escape(LOST)}: (.* from update (\d+)); .* go on", warning)
    assert found is not None
    note, first = found[1], int(found[2])
    assert note.startswith("NaN or infinite")
    assert first < 10  # where losses hide it, the end of the first stretch tells
    assert re.search(rf"{re.escape(LOST)} .*{note}", out)
    assert out.endswith(f"NaN or infinite: {LOST} from update {first}\n")
    assert re.search(r"update +40 .* actor_loss 0\.\d+\n", out)  # the mean of the others
    assert re.search(r"update +40  return learning_rate=0.001 -?\d\n", out)  # of one member
    entries = json.loads(Path("runs/a/returns.json").read_text())
    assert {e["member"]: e["returns"] is None for e in entries} == {
        "seed=0,learning_rate=0.001": False, LOST: True,
    }  # fmt: skip
    result = json.loads(Path("runs/a/result.json").read_text())
    assert result["diverged"] == {LOST: first}
    assert result["returns"][LOST] is None
    assert note in Path("runs/a/report.html").read_text()
    evaluate.main(["runs/a", "--num_episodes=2"])
    out = capsys.readouterr().out
    assert re.search(rf"{re.escape(LOST)} .*{note}", out)
    last = evaluation("runs/a")
    assert (last["returns"], last["diverged"]) == (
        {e["member"]: e["returns"] for e in entries[-2:]}, {LOST: first},
    )  # fmt: skip


@pytest.mark.parametrize("where", ["training", "evaluation"])
def test_marks_and_evaluations_outlive_a_kill(
    evaluated: Callable[..., None], monkeypatch: pytest.MonkeyPatch, where: str
):
    """The checkpoint is written before the evaluation, which is made up for."""
    evaluated("--name=whole")
    count = 0

    def killed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == 3:
                raise KeyboardInterrupt
            return function(*words, **named)

        return call

    with monkeypatch.context() as patch:
        if where == "training":
            patch.setattr(Members, "train", killed(Members.train))
        else:
            patch.setattr(offline, "evaluate", killed(offline.evaluate))
        with pytest.raises(SystemExit, match="130"):
            evaluated("--name=cut")
    _, step = restore.load(runs.load(Path("runs/cut")))
    assert step == (20 if where == "training" else 30)
    evaluated("--resume=runs/cut", "--quiet")
    whole, cut = (runs.load(Path("runs", name)) for name in ("whole", "cut"))
    assert cut.evaluations() == whole.evaluations()
    chex.assert_trees_all_equal(restore.load(cut), restore.load(whole))
    results = [json.loads((run.directory / "result.json").read_text()) for run in (cut, whole)]
    assert results[0]["diverged"] == results[1]["diverged"] != {}
    found = [
        [(e["step"], e["member"], *sorted(e.keys())) for e in lines(run.directory)]
        for run in (cut, whole)
    ]
    assert found[0] == found[1]


def test_where_no_member_is_left_the_run_ends(evaluated: Callable[..., None], capsys: Any):
    flags = ("--learning_rate=3e38,2.9e38", "--num_updates=4000")
    with pytest.raises(SystemExit) as ended:
        evaluated("--name=a", *flags)
    message = str(ended.value.code)
    assert message.startswith(f"error: no member is left, NaN or infinite: {LOST} from update ")
    assert "2.9e+38" in message
    assert "go on" not in capsys.readouterr().err
    run = runs.load(Path("runs/a"))
    saved, step = restore.load(run)
    assert step == 10
    assert max(saved.diverged) < 10
    entries = json.loads((run.directory / "returns.json").read_text())
    assert [e["returns"] for e in entries] == [None, None]
    assert (run.directory / "report.html").exists()
    with pytest.raises(SystemExit, match="no member is left"):
        evaluated("--resume=runs/a", "--quiet")
    with pytest.raises(SystemExit, match="no member is left"):
        evaluate.main(["runs/a", "--quiet"])


def test_a_checkpoint_without_marks_is_read(command: Callable[..., None], capsys: Any):
    """As those that were written before there were any; parameters tell."""
    command("--name=a", RATES)
    assert LOST in capsys.readouterr().out  # without an evaluation, too
    run = runs.load(Path("runs/a"))
    saved, _ = restore.load(run)
    shutil.rmtree(run.checkpoints)
    checkpoint.save(run.checkpoints, 30, saved._replace(diverged=None))
    found, _ = restore.load(run)
    assert found.diverged.tolist() == [NEVER, 29]
    command("--resume=runs/a", "--quiet")


def test_an_invalid_simulation_is_reported_and_kept_in_mind(
    command: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.setattr(envs, "make", lambda _, size, *__: Ten(size, breaks=min(3, size - 1)))
    flags = ("--env=ten", "--eval_every=40", "--num_episodes=2", "--num_seeds=2")
    command("--name=a", *flags, "--final_episodes=2")
    told = "the simulation became invalid in 1 of 2 episodes, which ended there"
    assert capsys.readouterr().err.splitlines() == [
        f"warning: seed=1: {told}", f"warning: random policy: {told}",
    ]  # fmt: skip
    first, second = runs.load(Path("runs/a")).evaluations()
    assert "invalid" not in first
    assert second["invalid"] == [1]
    evaluate.main(["runs/a", "--num_episodes=2", "--quiet"])
    last = evaluation("runs/a")
    assert last["invalid"] == {"seed=1": [1]}
    assert last["returns"]["seed=1"] == second["returns"]
