from pathlib import Path
from typing import Any

import jax
import pytest

from rlp.commands import train
from rlp.errors import InputError
from rlp.system import devices
from rlp.training import offline
from tests.whole_runs import lines, refused


def evaluated(name: str) -> None:
    words = "--num_episodes=1 --num_updates=40 --eval_every=20 --log_every=10 --num_seeds=2 --quiet"
    words += " --final_episodes=1"
    train.main(["bc", *words.split(), "--batch_size=8", "--hidden_dims=8", f"--name={name}"])


def test_work_beside_training_is_what_it_is_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    evaluated("between")
    monkeypatch.setattr(devices, "spare_cpu", lambda: jax.devices()[0])
    evaluated("beside")
    between, beside = lines("runs/between"), lines("runs/beside")
    for line in (*between, *beside):
        line.pop("updates_per_second", None)
    assert len(between) == 2 * (4 + 2)
    assert beside == between
    returns = [Path(f"runs/{name}/returns.json").read_text() for name in ("between", "beside")]
    assert returns[1] == returns[0]


def test_what_fails_beside_training_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    def full(*_: Any) -> None:
        raise InputError("no space left on the disk")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(devices, "spare_cpu", lambda: jax.devices()[0])
    monkeypatch.setattr(offline.checkpoint, "save", full)
    assert "no space left on the disk" in refused(capsys, lambda: evaluated("full"))
