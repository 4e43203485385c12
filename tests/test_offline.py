"""Runs that are cut and go on, and what is noticed while they train."""

import json
import os
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

from rlp import offline, runs, train
from rlp.data.dataset import Dataset
from rlp.members import Members
from tests.whole_runs import FAST, lines, losses, states


@pytest.mark.parametrize("kill_after", [10, 20])
def test_a_resumed_run_equals_an_uninterrupted_one(
    command: Callable[..., None], monkeypatch: pytest.MonkeyPatch, kill_after: int
):
    flags = ("--num_seeds=2", "--input_noise=0.1", "--checkpoint_every=10", "--seed=3")
    command("--name=whole", *flags)
    stretch = Members.train

    def killed(members: Members, dataset: Dataset, step: int, stop: int) -> Any:
        if step == kill_after:
            raise KeyboardInterrupt
        return stretch(members, dataset, step, stop)

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
        *FAST,
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
    _, step = offline.load_policy(runs.load(tmp_path / "runs/a"))
    assert step == json.loads(metrics.read_text().splitlines()[-1])["step"]


def test_a_long_stretch_is_stopped_between_its_pieces(
    command: Callable[..., None], monkeypatch: pytest.MonkeyPatch
):
    flags = ("--num_updates=400", "--log_every=400", "--checkpoint_every=0", "--num_seeds=2")
    train_piece = Members.train

    def interrupted(members: Members, dataset: Dataset, step: int, stop: int) -> Any:
        outcome = train_piece(members, dataset, step, stop)
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
    np.testing.assert_allclose(halves, losses("runs/whole"), rtol=1e-5)


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


def test_a_member_that_becomes_nan_is_reported_and_the_others_go_on(
    command: Callable[..., None], capsys: Any
):
    command("--name=a", "--learning_rate=1e-3,1e30")
    error = capsys.readouterr().err
    assert "learning_rate=1e+30: NaN or infinite from update" in error
    assert error.count("warning") == 1
    last = {e["member"]: e["actor_loss"] for e in lines("runs/a")[-2:]}
    assert np.isfinite(last["seed=0,learning_rate=0.001"])
