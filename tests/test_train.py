"""The command line as users have it: whole runs, resumed runs, and everything refused."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import chex
import jax
import numpy as np
import pytest

from rlp import devices, evaluate, memory, offline, runs, train
from rlp.algos import cqlsac
from rlp.data.dataset import Dataset
from rlp.data.episodes import EpisodeSet
from rlp.errors import InputError
from rlp.members import Members
from tests.conftest import make_episode, write_exorl

FAST = ("--batch_size=8", "--hidden_dims=8", "--num_updates=40", "--log_every=10")


@pytest.fixture
def command(tmp_path: Path, exorl: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs `rlp.train bc` in an empty folder, on a small data set, without evaluation."""
    monkeypatch.chdir(tmp_path)
    defaults = (f"--dataset={exorl}", "--eval_every=0", "--quiet", *FAST)

    def run(*words: str) -> None:
        names = {word.split("=")[0] for word in words}
        resumed = "--resume" in names
        kept = [word for word in defaults if not resumed and word.split("=")[0] not in names]
        train.main(["bc", *words, *kept])

    return run


def refused(capsys: Any, run: Callable[[], None]) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        run()
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert (err.count("\n"), err[:7]) == (1, "error: ")
    return err


def states(directory: str) -> Any:
    return jax.device_get(offline.load_policy(runs.load(Path(directory)))[0].params)


def lines(directory: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(directory, "metrics.jsonl").read_text().splitlines()]


def test_a_population_in_one_run(command: Callable[..., None]):
    command("--name=a", "--num_seeds=2", "--learning_rate=1e-3,1e-2", "--seed=7")
    record = json.loads(Path("runs/a/config.json").read_text())
    labels = [
        "seed=7,learning_rate=0.001", "seed=8,learning_rate=0.001",
        "seed=7,learning_rate=0.01", "seed=8,learning_rate=0.01",
    ]  # fmt: skip
    assert [m["seed"] for m in record["members"]] == [7, 8, 7, 8]
    assert runs.load(Path("runs/a")).labels == labels
    assert [(e["step"], e["member"]) for e in lines("runs/a")] == [
        (step, label) for step in (10, 20, 30, 40) for label in labels
    ]
    assert sorted(p.name for p in Path("runs/a/events").iterdir()) == sorted(labels)
    assert Path("runs/a/report.html").exists()
    assert record["data"]["fingerprint"]
    assert {"jax", "rlp", "python"} <= record["versions"].keys()


def test_rewards_of_several_tasks_are_balanced_unless_told_otherwise(
    command: Callable[..., None], capsys: Any
):
    tasks = "--dataset=walker-walk/medium+walker-run/medium"
    command(tasks, "--name=a", "--quiet=False")
    assert "tasks walker-walk+walker-run: rewards times 0.69, 1.84" in capsys.readouterr().out
    command(tasks, "--name=b", "--quiet=False", "--balance_tasks=False")
    assert "rewards times" not in capsys.readouterr().out
    limits = []
    for name, flag in (("c", "--balance_tasks=True"), ("d", "--balance_tasks=False")):
        train.main(["iql", tasks, f"--name={name}", flag, "--eval_every=0", "--quiet", *FAST])
        limits.append(runs.load(Path("runs", name)).record["members"][0]["limits"]["max_q"])
    assert limits[0] > 1.05 * limits[1]  # running at its best, in units of its mean


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


def losses(directory: str) -> list[float]:
    return [line["actor_loss"] for line in lines(directory)]


def test_members_that_take_turns_learn_what_they_do_together(command: Callable[..., None]):
    command("--name=together", "--num_seeds=5", "--members_at_once=5", "--num_updates=20")
    longer = ["--extend", "--num_updates=40", "--quiet"]
    train.main(["bc", "--resume=runs/together", "--members_at_once=5", *longer])
    command("--name=turns", "--num_seeds=5", "--members_at_once=2", "--num_updates=20")
    train.main(["bc", "--resume=runs/turns", "--members_at_once=3", *longer])
    assert len(losses("runs/turns")) == 5 * 4
    assert losses("runs/turns") == pytest.approx(losses("runs/together"), rel=1e-5)
    chex.assert_trees_all_close(states("runs/turns"), states("runs/together"), rtol=1e-4)


def test_members_that_do_not_fit_take_turns(
    command: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    command("--name=together", "--num_seeds=2", "--quiet=False")
    assert "slices" not in "".join(capsys.readouterr())
    command("--name=many", "--num_seeds=5", "--quiet=False")
    assert "5 members in slices of 2: more would leave" in "".join(capsys.readouterr())
    monkeypatch.setattr(memory, "free", lambda: 3_000)
    command("--name=turns", "--num_seeds=2", "--quiet=False")
    said = "".join(capsys.readouterr())
    assert "2 members in slices of 1: each takes 0.0 MB, 0.0 MB are free" in said
    assert losses("runs/turns") == pytest.approx(losses("runs/together"), rel=1e-5)


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


def test_a_finished_run_can_be_resumed_and_made_longer(command: Callable[..., None], capsys: Any):
    command("--name=a")
    command("--resume=runs/a", "--quiet")
    assert len(lines("runs/a")) == 4
    error = refused(capsys, lambda: command("--resume=runs/a", "--num_updates=80"))
    assert "--num_updates=80: runs/a began with 40" in error
    assert "--extend" in error
    error = refused(capsys, lambda: command("--resume=runs/a", "--num_updates=20", "--extend"))
    assert "--num_updates=20: runs/a has made 40 already" in error
    command("--resume=runs/a", "--num_updates=80", "--extend", "--quiet")
    assert [e["step"] for e in lines("runs/a")] == [10, 20, 30, 40, 50, 60, 70, 80]
    command("--name=b", "--num_updates=80")
    chex.assert_trees_all_equal(states("runs/a"), states("runs/b"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--nun_seeds=2", "no flag --nun_seeds (did you mean num_seeds?)"),
        ("--num_seeds=two", "--num_seeds=two: must be a whole number"),
        ("stray", "stray word stray"),
        ("--dataset=walker-walk/medum", "did you mean walker-walk/medium?"),
        ("--eval_every=10", "does not say which environment it is from"),
        ("--eval_every=10 --env=walker-wolk", "did you mean walker-walk?"),
        ("--eval_every=10 --env=walker-walk", "has observations of 4 and actions of 2 numbers"),
        ("--top_fraction=0", "--top_fraction=0.0: must be above 0 and at most 1"),
        ("--batch_size=8,16", "--batch_size=8,16: must be a whole number"),
        ("--resume=runs/nowhere", "runs/nowhere holds no run"),
        ("--show_task=False", "has one task"),
        ("--target_return=5", "--target_return: bc does not aim for a return"),
        ("--head=categorical", "are not discrete"),
    ],
)
def test_bad_flags_write_nothing(
    command: Callable[..., None], capsys: Any, words: str, message: str
):
    assert message in refused(capsys, lambda: command(*words.split()))
    assert not Path("runs").exists()


def test_data_that_an_algorithm_cannot_use_writes_nothing(
    exorl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.chdir(tmp_path)
    words = [f"--dataset={exorl}", "--eval_every=0"]
    error = refused(capsys, lambda: train.main(["dt", *words, "--context=13"]))
    assert "--context=13: the longest episode has 12 steps" in error
    assert not Path("runs").exists()


def test_discrete_actions_are_for_the_categorical_head(tmp_path: Path, capsys: Any):
    path, end = tmp_path / "columns.npz", np.arange(40) % 10 == 9
    np.savez(
        path, observation=np.zeros((40, 4)), action=np.arange(40) % 2, reward=np.zeros(40),
        terminated=end, truncated=end, env="gym:CartPole-v1",
    )  # fmt: skip
    words = [f"--dataset={path}", f"--runs={tmp_path}/runs", "--num_updates=4", "--num_episodes=1"]
    error = refused(capsys, lambda: train.main(["iql", *words]))
    assert "its actions are discrete, which bc --head=categorical learns" in error
    train.main(["bc", *words, "--head=categorical"])
    assert "seed=0" in capsys.readouterr().out


def test_a_preset_gives_what_is_not_given(
    exorl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        cqlsac, "PRESETS", {"small": {"hidden_dims": (8,), "num_actions": 2}, "paper": {}}
    )
    words = [f"--dataset={exorl}", "--eval_every=0", "--num_updates=2", "--batch_size=4"]
    train.main(["cqlsac", *words, "--num_actions=1", "--name=a"])
    assert "preset small: --hidden_dims=8; --preset=paper" in capsys.readouterr().out
    made = runs.load(Path("runs/a")).configs[0]
    assert (made.hidden_dims, made.num_actions) == ((8,), 1)
    train.main(["cqlsac", "--resume=runs/a", "--preset=small"])
    error = refused(
        capsys, lambda: train.main(["cqlsac", "--resume=runs/a", "--preset=paper", "--quiet"])
    )
    assert "--preset=paper: runs/a began with small" in error
    error = refused(capsys, lambda: train.main(["cqlsac", *words, "--preset=smal"]))
    assert "--preset=smal: cqlsac has small, paper" in error
    train.main(["cqlsac", *words, "--preset=paper", "--num_actions=1", "--name=b"])
    assert "--preset" not in capsys.readouterr().out
    assert runs.load(Path("runs/b")).configs[0].hidden_dims == (256, 256, 256)


def test_the_precision_asked_for_is_that_of_training_and_resuming(
    command: Callable[..., None], capsys: Any
):
    command("--name=a")
    command("--name=b", "--precision=bf16", "--quiet=False")
    assert "products of bf16" in capsys.readouterr().out
    command("--name=c", "--precision=bf16", "--num_updates=20")
    command("--resume=runs/c", "--num_updates=40", "--extend")
    chex.assert_trees_all_equal(states("runs/b"), states("runs/c"))
    chex.assert_trees_all_close(states("runs/a"), states("runs/b"), atol=0.02)
    with pytest.raises(AssertionError):
        chex.assert_trees_all_close(states("runs/a"), states("runs/b"), atol=1e-6)
    assert "bf16" in refused(capsys, lambda: command("--precision=half"))
    if jax.default_backend() == "cpu":
        assert "a CPU has" in refused(capsys, lambda: command("--precision=tf32"))


def test_an_unknown_algorithm_names_the_nearest(capsys: Any):
    assert "no bcc (did you mean bc?)" in refused(capsys, lambda: train.main(["bcc"]))


def test_damaged_data_writes_nothing(command: Callable[..., None], exorl: Path, capsys: Any):
    file = sorted(exorl.glob("*.npz"))[1]
    file.write_bytes(file.read_bytes()[:200])
    assert f"{file}: damaged" in refused(capsys, command)
    assert not Path("runs").exists()


def test_a_taken_name_is_refused(command: Callable[..., None], capsys: Any):
    command("--name=a")
    before = Path("runs/a/config.json").read_text()
    assert "runs/a exists" in refused(capsys, lambda: command("--name=a"))
    assert Path("runs/a/config.json").read_text() == before


def test_resume_refuses_what_would_train_something_else(
    command: Callable[..., None], capsys: Any, tmp_path: Path, episodes: EpisodeSet
):
    command("--name=a", "--learning_rate=1e-3,1e-4")
    before = {p: p.read_bytes() for p in sorted(Path("runs/a").rglob("*")) if p.is_file()}

    def error(*words: str) -> str:
        return refused(capsys, lambda: command("--resume=runs/a", *words))

    assert "runs/a began with 8, and a run goes on as it began" in error("--hidden_dims=16")
    assert "--learning_rate=1e-3: runs/a began with 0.001,0.0001" in error("--learning_rate=1e-3")
    assert "--seed=4: runs/a began with 0" in error("--seed=4")
    assert "--log_every=5: runs/a began with 10" in error("--log_every=5")
    changed = replace(episodes, episodes=[*episodes.episodes, make_episode(4)])
    other = write_exorl(tmp_path / "other", changed)
    assert "is not the data that runs/a was trained on" in error(f"--dataset={other}")
    assert before == {p: p.read_bytes() for p in sorted(Path("runs/a").rglob("*")) if p.is_file()}
    command(
        "--resume=runs/a", "--quiet", "--seed=0", "--learning_rate=0.001,1e-4", "--hidden_dims=8"
    )


def test_resume_finds_moved_data_by_its_fingerprint(
    command: Callable[..., None], exorl: Path, tmp_path: Path
):
    command("--name=a")
    moved = exorl.rename(tmp_path / "moved")
    command("--resume=runs/a", f"--dataset={moved}", "--quiet")


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


def test_a_checkpoint_of_another_architecture_is_refused(command: Callable[..., None], capsys: Any):
    command("--name=a")
    path = Path("runs/a/config.json")
    path.write_text(
        path.read_text().replace('"hidden_dims": [\n     8', '"hidden_dims": [\n     9')
    )
    assert "states.actor.Dense_0.bias is (1, 8), not (1, 9)" in refused(
        capsys, lambda: command("--resume=runs/a", "--quiet")
    )


def test_a_member_that_becomes_nan_is_reported_and_the_others_go_on(
    command: Callable[..., None], capsys: Any
):
    command("--name=a", "--learning_rate=1e-3,1e30")
    error = capsys.readouterr().err
    assert "learning_rate=1e+30: NaN or infinite from update" in error
    assert error.count("warning") == 1
    last = {e["member"]: e["actor_loss"] for e in lines("runs/a")[-2:]}
    assert np.isfinite(last["seed=0,learning_rate=0.001"])


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


def test_training_with_evaluation_and_evaluate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.chdir(tmp_path)
    words = "--num_episodes=1 --num_updates=20 --eval_every=10 --num_seeds=2 --name=a"
    train.main(["bc", *words.split(), "--batch_size=8", "--hidden_dims=8"])
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
    evaluate.main(["runs/a", "--num_episodes=1", "--quiet"])
    result = json.loads(Path("runs/a/evaluation.json").read_text())
    # The initial states are the same: the restored policies repeat their returns exactly.
    assert result["returns"] == {entry["member"]: entry["returns"] for entry in entries[2:]}
    final = json.loads(Path("runs/a/result.json").read_text())
    assert {name: len(values) for name, values in final["returns"].items()} == {
        "data (walker-walk/medium)": 50, "random policy": 1, "seed=0": 1, "seed=1": 1,
    }  # fmt: skip
    assert Path("runs/a/plots/return.png").stat().st_size > 1000
    assert "cheetah-run has 17 and 6" in refused(
        capsys, lambda: evaluate.main(["runs/a", "--env=cheetah-run"])
    )


def evaluated(name: str) -> None:
    words = "--num_episodes=1 --num_updates=40 --eval_every=20 --log_every=10 --num_seeds=2 --quiet"
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


def test_a_closed_pipe_is_no_traceback():
    words = "python=$1; $python -m rlp.train bc --help | head -1"
    shell = ["bash", "-c", words, "bash", sys.executable]
    done = subprocess.run(shell, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage")
    assert done.stderr == ""


def test_arrays_alone_need_neither_simulators_nor_loggers(exorl: Path, tmp_path: Path):
    code = (
        "import sys;"
        "missing = 'dm_control mujoco gymnasium clu tensorboardX wandb matplotlib'.split();"
        "sys.modules.update(dict.fromkeys(missing));"  # an import of None fails
        "from rlp import train; train.main(sys.argv[1:])"
    )
    words = ("bc", f"--dataset={exorl}", "--eval_every=0", "--name=a", *FAST)
    environment = {**os.environ, "PYTHONPATH": str(Path(train.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, env=environment, check=True)
    assert len(lines(str(tmp_path / "runs/a"))) == 4
    assert (tmp_path / "runs/a/report.html").exists()
