"""The directory of a run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlp import runs
from rlp.commands import train
from rlp.runs import Run
from tests.whole_runs import FAST, refused


def test_a_taken_name_is_refused(command: Callable[..., None], capsys: Any):
    command("--name=a")
    before = Path("runs/a/config.json").read_text()
    assert "runs/a exists" in refused(capsys, lambda: command("--name=a"))
    assert Path("runs/a/config.json").read_text() == before


def test_another_layout_or_damage_is_refused(command: Callable[..., None], capsys: Any):
    command("--name=a")
    path = Path("runs/a/config.json")
    record = json.loads(path.read_text())
    for content, message in (
        (json.dumps({**record, "layout": 99}), "runs/a has layout 99"),
        (json.dumps({**record, "algo": "ppo"}), "this rlp has no algorithm ppo"),
        ("{", "runs/a/config.json: damaged json"),
    ):
        path.write_text(content)
        assert message in refused(capsys, lambda: command("--resume=runs/a"))


def a_run(discounts: tuple[float, ...], env: str = "walker-walk") -> Run:
    """Returns a run of two seeds of each discount."""
    members = [
        {"seed": s, "config": {"discount": d, "tau": 0.1}} for d in discounts for s in (0, 1)
    ]
    return Run(Path("a"), {"members": members, "env": env, "data": {"returns": [30.0, 10.0]}})


def test_members_are_named_by_their_seed_and_what_varies():
    assert a_run((0.9,)).labels == ["seed=0", "seed=1"]
    labels = a_run((0.9, 0.8)).labels
    assert labels[1:3] == ["seed=1,discount=0.9", "seed=0,discount=0.8"]


def test_members_of_a_setting_are_gathered():
    assert a_run((0.9,)).settings == {"": ["seed=0", "seed=1"]}
    assert a_run((0.9, 0.8)).settings == {
        " discount=0.9": ["seed=0,discount=0.9", "seed=1,discount=0.9"],
        " discount=0.8": ["seed=0,discount=0.8", "seed=1,discount=0.8"],
    }


def test_means_over_members_are_those_of_a_setting_and_task():
    run = a_run((0.9, 0.8), "walker-walk+walker-run")
    returns = np.array([[1, 10, 3, 30], [5, 50, 7, 70], [2, 0, 2, 0], [4, 0, 4, 8]])  # turns
    rows = run.by_member(returns)
    assert rows["seed=1,discount=0.9 walker-run"].tolist() == [50, 70]
    means = {name: values.tolist() for name, values in run.over_members(rows).items()}
    assert means == {
        " discount=0.9 walker-walk": [2, 6],
        " discount=0.9 walker-run": [20, 60],
        " discount=0.8 walker-walk": [2, 4],
        " discount=0.8 walker-run": [0, 4],
    }
    assert run.over_members({"random policy": returns[0]}) == {}


@pytest.mark.parametrize(
    ("target_return", "is_doubted"), [(-11, True), (-10, False), (50, False), (51, True)]
)
def test_a_return_far_from_the_data_is_doubted(target_return: float, is_doubted: bool):
    doubt = a_run((0.9,)).doubt(target_return)
    assert doubt.endswith("is far from the data's 10 to 30" if is_doubted else "")
    assert bool(doubt) == is_doubted


def test_a_run_is_named_after_its_algorithm_and_data():
    name = runs.default_name("bc", "./data/walker/")
    assert name.startswith("bc-data-walker-2")
    assert len(runs.default_name("bc", "long/" * 99)) < 100


def test_hyperparameters_of_older_runs_have_their_names_of_today(
    exorl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    flags = (f"--dataset={exorl}", "--eval_every=0", "--quiet", *FAST, "--name=a")
    train.main(["td3bc", *flags, "--actor_learning_rate=2e-4"])
    path = Path("runs/a/config.json")
    older = path.read_text().replace("actor_learning_rate", "actor_rate")
    assert '"actor_rate": 0.0002' in older
    path.write_text(older)
    (config,) = runs.load(Path("runs/a")).configs
    assert config.actor_learning_rate == np.float32(2e-4)
    train.main(["td3bc", "--resume=runs/a", "--num_updates=60", "--extend", "--quiet"])
