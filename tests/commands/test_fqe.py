"""Estimates from logged data, as a command."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlp.commands import evaluate, train
from rlp.data.episodes import EpisodeSet
from tests.conftest import make_episode, write_exorl
from tests.whole_runs import refused

FQE = ("--fqe", "--num_updates=20")
SMALL = "--eval_every=0 --num_updates=2 --batch_size=4 --context=3 --embed_dim=8 --num_layers=1"


def test_members_of_several_runs_are_estimated_at_once(
    command: Callable[..., None], exorl: Path, capsys: Any
):
    command("--name=a", "--num_seeds=2")
    train.main(["dt", f"--dataset={exorl}", *SMALL.split(), "--name=b", "--quiet"])
    returns = [
        {"step": 30, "member": f"seed={seed}", "returns": [value]}
        for seed, value in ((0, 5), (1, 7))
    ]
    Path("runs/a/returns.json").write_text(json.dumps(returns))
    capsys.readouterr()
    evaluate.main(["runs/a", "runs/b", *FQE])
    out = capsys.readouterr().out
    assert "fitted Q evaluation of 3 policies" in out
    assert "runs/b acts in the data" in out  # lines, as no terminal shows a bar
    assert re.search(r"update +20 +[\d,]+ updates/s in all", out)
    rows = [line.split() for line in out.splitlines() if line.startswith(" runs/")]
    assert {tuple(row[:2]) for row in rows} == {
        ("runs/a", "seed=0"), ("runs/a", "seed=1"), ("runs/b", "seed=0"),
    }  # fmt: skip
    values = [float(row[2]) for row in rows]
    assert values == sorted(values, reverse=True)
    assert {row[1]: row[-1] for row in rows if row[0] == "runs/a"} == {"seed=0": "5", "seed=1": "7"}
    found = json.loads(Path("runs/a/fqe.json").read_text())
    assert found["num_updates"] == 20
    assert {label: len(each) for label, each in found["values"].items()} == {
        "seed=0": 4,
        "seed=1": 4,
    }
    shown = dict(zip([(row[0], row[1]) for row in rows], values, strict=True))
    assert shown["runs/a", "seed=1"] == pytest.approx(np.mean(found["values"]["seed=1"]), abs=0.006)


def test_what_cannot_be_estimated_is_one_line(
    command: Callable[..., None], tmp_path: Path, capsys: Any
):
    command("--name=a")
    wide = EpisodeSet("wide", "", [make_episode(5, observation_dim=6)])
    other = write_exorl(tmp_path / "wide", wide)
    for words, said in (
        ([f"--dataset={other}", *FQE], "runs/a: its observations (4,) and continuous actions (2,)"),
        (["--num_updates=20"], "--num_updates: means nothing without --fqe"),
        (["--num_episodes=3", *FQE], "--num_episodes: means nothing with --fqe"),
        (["runs/b", *FQE], "runs/b holds no run"),
        (["--discount=1", *FQE], "--discount=1: must be at least 0 and below 1"),
    ):
        assert said in refused(capsys, lambda words=words: evaluate.main(["runs/a", *words]))
    assert not Path("runs/a/fqe.json").exists()
