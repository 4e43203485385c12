"""`rlp.model info`, on runs that take seconds."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlp.commands import model, train
from tests.conftest import write_exorl
from tests.whole_runs import refused

SMALL = (
    "--eval_every=0", "--quiet", "--batch_size=8", "--hidden_dims=8", "--model_hidden_dims=8",
    "--num_models=2", "--num_elites=2", "--num_rollouts=4", "--rollout_length=2",
    "--model_updates=20", "--num_updates=40", "--check_every=10", "--rollout_every=10",
)  # fmt: skip


@pytest.fixture
def learn(exorl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs `rlp.train mobrac` in an empty folder, on a small data set, without evaluation."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> None:
        names = {word.split("=")[0] for word in words}
        defaults = (f"--dataset={exorl}", "--termination=never", *SMALL)
        kept = [word for word in defaults if word.split("=")[0] not in names]
        train.main(["mobrac", *words, *kept])

    return run


def test_models_are_judged_and_the_record_is_whole(learn: Callable[..., None], capsys: Any):
    learn("--name=a", "--num_seeds=2")
    model.main(["info", "runs/a"])
    out = capsys.readouterr().out
    assert "off the data nothing is judged: there is not one environment" in out
    assert "runs/a at update 40: 2 members" in out
    record = json.loads(Path("runs/a/model.json").read_text())
    assert list(record["members"]) == ["seed=0", "seed=1"]
    assert record["step"] == 40
    of_member = record["members"]["seed=0"]
    assert of_member["horizons"] == [1, 5, 10, 25, 50]
    assert len(of_member["model"][0]) == 4
    assert of_member["model"][-1] == [None] * 4  # no episode is so long
    assert len(of_member["coverage"]) == 3
    assert record["members"]["seed=1"]["model"] != of_member["model"]
    assert Path("runs/a/model.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_off_the_data_a_simulator_says_what_follows(learn: Callable[..., None], capsys: Any):
    learn("--dataset=walker-walk/medium", "--name=b", "--model_updates=100", "--num_updates=120")
    model.main(["info", "runs/b", "--num_states=40", "--quiet"])
    out = capsys.readouterr().out
    found = json.loads(Path("runs/b/model.json").read_text())["members"]["seed=0"]
    assert list(found["rank_correlations"]) == [
        "in the data",
        "random actions",
        "the policy's actions",
    ]
    assert found["mean_errors"]["random actions"] > 0
    assert "random actions" in out


def test_a_run_without_a_model_is_refused(command: Callable[..., None], capsys: Any):
    command("--name=c")
    err = refused(capsys, lambda: model.main(["info", "runs/c"]))
    assert err == "error: runs/c: bc learns no model\n"


def test_where_episodes_end_unknown_training_does_not_begin(exorl: Path, capsys: Any):
    err = refused(capsys, lambda: train.main(["mobrac", f"--dataset={exorl}", *SMALL]))
    assert "ends episodes, and it is not known when" in err
    assert not Path("runs").exists()


def test_rollouts_that_do_not_fit_are_refused_before_anything_is_made(
    learn: Callable[..., None], capsys: Any
):
    err = refused(capsys, lambda: learn("--num_rollouts=1000000", "--rollout_length=1000"))
    assert "2,000,000,000 steps in the model: 10" in err
    assert "choose shorter rollouts, fewer at a time" in err
    assert not Path("runs").exists()


def test_one_episode_is_not_enough(
    learn: Callable[..., None], episodes: Any, tmp_path: Path, capsys: Any
):
    one = write_exorl(tmp_path / "one", replace(episodes, episodes=episodes.episodes[:1]))
    err = refused(capsys, lambda: learn(f"--dataset={one}"))
    assert "one episode; a model needs others to be judged on" in err
