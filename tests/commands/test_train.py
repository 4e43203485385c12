"""The command line as users have it: what flags mean, runs that go on, and everything refused."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import chex
import jax
import numpy as np
import pytest

from rlp import runs
from rlp.algos import bc
from rlp.commands import train
from rlp.data.episodes import EpisodeSet
from rlp.evaluation.rollout import actor
from rlp.system import memory
from rlp.training import restore
from tests.conftest import make_episode, write_exorl
from tests.whole_runs import FAST, lines, refused, states


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
    assert [m["limits"] for m in record["members"]] == [{}] * 4
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
        limits.append(runs.load(Path("runs", name)).record["members"][0]["limits"]["max_q"][1])
    assert limits[0] > 1.05 * limits[1]  # running at its best, in units of its mean


def test_a_record_has_both_bounds_of_what_must_not_pass_them(command: Callable[..., None]):
    command("--name=a")
    settings = runs.load(Path("runs/a")).record["settings"]
    words = [f"--dataset={settings['dataset']}", "--eval_every=0", "--quiet", *FAST[:2]]
    for algo, low, own in (("iql", 0, "--return_range=0"), ("cqlsac", None, "--bc_updates=0")):
        flags = ["--preset=paper", "--num_updates=1", "--discount=0.5", f"--name={algo}", own]
        train.main([algo, *words, *flags])
        limits = runs.load(Path("runs", algo)).record["members"][0]["limits"]
        assert limits["min_q"][0] == low
        assert 1 < limits["min_q"][1] < 2  # rewards of 1 at most


def test_mirror_images_are_trained_on(command: Callable[..., None], capsys: Any):
    walker = "--dataset=walker-walk/medium"
    command(walker, "--mirror=True", "--name=a", "--quiet=False")
    assert "50 episodes, 50,000 steps, return 905 (799 to 964), and their mirror images" in (
        " ".join(capsys.readouterr().out.split())
    )
    policy, _ = restore.load_policy(runs.load(Path("runs/a")))
    mean = policy.normalizer.mean
    np.testing.assert_allclose(mean[2:8], mean[8:14], atol=1e-6)  # the right leg's, the left leg's
    error = refused(capsys, lambda: command(walker, "--mirror=True", "--env=cheetah-run"))
    assert "it is not known how cheetah-run is mirrored" in error


def test_a_finished_run_can_be_resumed_and_made_longer(command: Callable[..., None], capsys: Any):
    command("--name=a")
    command("--resume=runs/a", "--quiet")
    assert len(lines("runs/a")) == 4
    error = refused(capsys, lambda: command("--resume=runs/a", "--num_updates=80"))
    assert "--num_updates=80: runs/a began with 40" in error
    assert "--extend" in error
    error = refused(capsys, lambda: command("--resume=runs/a", "--num_updates=20", "--extend"))
    assert "--num_updates=20: runs/a has made 40 already" in error
    command("--resume=runs/a", "--num_updates=8e1", "--extend", "--quiet")
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
        ("--top_fraction=0", "--top_fraction=0: must be above 0 and at most 1"),
        ("--batch_size=8,16", "--batch_size=8,16: must be a whole number"),
        ("--resume=runs/nowhere", "runs/nowhere holds no run"),
        ("--show_task=False", "has one task"),
        ("--target_return=5", "--target_return: bc does not aim for a return"),
        ("--head=categorical", "are not discrete"),
        ("--learning_rate=-1e-3", "--learning_rate=-1e-3: must be at least 0"),
        ("--name=a/../b", "--name=a/../b: must be a name without /"),
        ("--hidden_dims=2e9,2e9", "networks and optimizers of 1 member: "),
        ("--num_seeds=2e9", "networks and optimizers of 2,000,000,000 members: "),
    ],
)
def test_bad_flags_write_nothing(
    command: Callable[..., None], capsys: Any, words: str, message: str
):
    assert message in refused(capsys, lambda: command(*words.split()))
    assert not Path("runs").exists()


def test_a_batch_that_does_not_fit_writes_nothing(
    command: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.setattr(memory, "of_devices", lambda: 10**9)
    error = refused(capsys, lambda: command("--batch_size=1e8"))
    assert "an array float32[100000000,4] in an update: 1.6 GB, but this machine has 1.0" in error
    assert not Path("runs").exists()


def test_data_that_an_algorithm_cannot_use_writes_nothing(
    exorl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.chdir(tmp_path)
    words = [f"--dataset={exorl}", "--eval_every=0"]
    error = refused(capsys, lambda: train.main(["dt", *words, "--context=13"]))
    assert "--context=13: the longest episode has 12 steps" in error
    assert not Path("runs").exists()
    error = refused(capsys, lambda: train.main(["dt", *words, "--context=3", "--num_heads=3"]))
    assert "--num_heads=3: must divide embed_dim" in error
    for flags in (["--lagrange"], ["--max_target_backup"]):
        error = refused(capsys, lambda: train.main(["cqlsac", *words, "--num_actions=0", *flags]))  # noqa: B023 - called at once
        assert f"{flags[0]}: needs sampled actions" in error
    assert not Path("runs").exists()


def test_discrete_actions_are_for_the_categorical_head(tmp_path: Path, capsys: Any):
    path, end = tmp_path / "columns.npz", np.arange(40) % 10 == 9
    np.savez(
        path, observation=np.zeros((40, 4)), action=np.arange(40) % 2, reward=np.zeros(40),
        terminated=end, truncated=end, env="gym:CartPole-v1",
    )  # fmt: skip
    words = [f"--dataset={path}", f"--runs={tmp_path}/runs", "--num_updates=4"]
    words += ["--num_episodes=1", "--final_episodes=1"]
    error = refused(capsys, lambda: train.main(["td3bc", *words]))
    assert "its actions are discrete, which td3bc cannot learn; bc, " in error
    error = refused(capsys, lambda: train.main(["bc", *words]))
    assert "--head=deterministic: the actions are discrete: --head=categorical learns" in error
    small = ["--batch_size=8", "--hidden_dims=8"]
    dt = ["--batch_size=8", "--embed_dim=8", "--num_layers=1", "--warmup_updates=1"]
    for algo, setting in (
        ("bc", [*small, "--head=categorical"]), ("iql", [*small, "--head=categorical"]),
        ("dqn", small), ("dt", [*dt, "--head=categorical"]),
    ):  # fmt: skip
        train.main([algo, *words, *setting, f"--name={algo}"])
        assert "seed=0" in capsys.readouterr().out


def test_a_preset_gives_what_is_not_given(
    exorl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.chdir(tmp_path)
    small = {"hidden_dims": (8,), "batch_size": 2}
    monkeypatch.setattr(bc, "PRESETS", {"small": small, "paper": {}}, raising=False)
    words = [f"--dataset={exorl}", "--eval_every=0", "--num_updates=2", "--batch_size=4"]
    train.main(["bc", *words, "--name=a"])
    assert "preset small: --hidden_dims=8; --preset=paper" in capsys.readouterr().out
    made = runs.load(Path("runs/a")).configs[0]
    assert (made.hidden_dims, made.batch_size) == ((8,), 4)
    train.main(["bc", "--resume=runs/a", "--preset=small"])
    error = refused(capsys, lambda: train.main(["bc", "--resume=runs/a", "--preset=paper"]))
    assert "--preset=paper: runs/a began with small" in error
    error = refused(capsys, lambda: train.main(["bc", *words, "--preset=smal"]))
    assert "--preset=smal: bc has small, paper" in error
    train.main(["bc", *words, "--preset=paper", "--name=b"])
    assert "--preset" not in capsys.readouterr().out
    assert runs.load(Path("runs/b")).configs[0].hidden_dims == (256, 256)


def test_the_authors_setting_says_what_the_data_is_to_be_too(
    exorl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.chdir(tmp_path)
    words = ["--eval_every=0", "--num_updates=2", "--batch_size=4", "--preset=paper"]
    train.main(["iql", f"--dataset={exorl}", *words, "--name=a"])
    assert not runs.load(Path("runs/a")).record["settings"]["normalize"]
    assert runs.load(Path("runs/a")).configs[0].return_range == 1000
    train.main(["iql", f"--dataset={exorl}", *words, "--name=b", "--normalize=True"])
    assert runs.load(Path("runs/b")).record["settings"]["normalize"]
    train.main(["iql", "--resume=runs/a", "--preset=paper"])

    one = tmp_path / "one.npz"
    columns = {"observation": np.zeros((9, 4)), "action": np.zeros((9, 2)), "reward": np.ones(9)}
    ends = {"terminated": np.arange(9) == 8, "truncated": np.zeros(9, bool)}
    np.savez(one, **columns, **ends, action_low=-1, action_high=1)
    error = refused(capsys, lambda: train.main(["iql", f"--dataset={one}", *words]))
    assert "--return_range=1000: " in error
    assert "has not two whole episodes of different returns" in error


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


def test_resume_refuses_what_would_train_something_else(
    command: Callable[..., None], capsys: Any, tmp_path: Path, episodes: EpisodeSet
):
    command("--name=a", "--learning_rate=1e-3,1e-4")
    before = {p: p.read_bytes() for p in sorted(Path("runs/a").rglob("*")) if p.is_file()}

    def error(*words: str) -> str:
        return refused(capsys, lambda: command("--resume=runs/a", *words))

    assert "runs/a began with 8, and a run goes on as it began" in error("--hidden_dims=16")
    assert "--learning_rate=0.001: runs/a began with 0.001,0.0001" in error("--learning_rate=1e-3")
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


def test_a_checkpoint_of_another_architecture_is_refused(command: Callable[..., None], capsys: Any):
    command("--name=a")
    path = Path("runs/a/config.json")
    path.write_text(
        path.read_text().replace('"hidden_dims": [\n     8', '"hidden_dims": [\n     9')
    )
    assert "states.actor.Dense_0.bias is (1, 8), not (1, 9)" in refused(
        capsys, lambda: command("--resume=runs/a", "--quiet")
    )


def test_arrays_alone_need_neither_simulators_nor_loggers(exorl: Path, tmp_path: Path):
    code = (
        "import sys;"
        "missing = 'dm_control mujoco gymnasium clu tensorboardX wandb matplotlib'.split();"
        "sys.modules.update(dict.fromkeys(missing));"  # an import of None fails
        "from rlp.commands import train; train.main(sys.argv[1:])"
    )
    words = ("bc", f"--dataset={exorl}", "--eval_every=0", "--name=a", *FAST)
    environment = {**os.environ, "PYTHONPATH": str(Path(train.__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, env=environment, check=True)
    assert len(lines(str(tmp_path / "runs/a"))) == 4
    assert (tmp_path / "runs/a/report.html").exists()


def columns(path: Path, **changed: Any) -> str:
    """Writes episodes of 10 steps, of an environment whose actions are from -2 to 2."""
    rng = np.random.default_rng(0)
    observation = rng.standard_normal((40, 3))
    arrays = {
        "observation": observation, "action": rng.uniform(-2, 2, (40, 1)),
        "reward": rng.uniform(-1, 0, 40), "terminated": np.zeros(40, bool),
        "truncated": np.arange(40) % 10 == 9, **changed,
    }  # fmt: skip
    np.savez(path, allow_pickle=False, **{k: v for k, v in arrays.items() if v is not None})
    return f"--dataset={path}"


def test_a_policy_acts_in_the_units_of_its_environment(command: Callable[..., None]):
    pendulum = columns(Path("a.npz"), env="gym:Pendulum-v1")
    flags = ("--eval_every=40", "--num_episodes=1", "--final_episodes=1")
    command(pendulum, "--name=a", *flags)
    assert np.array_equal(runs.load(Path("runs/a")).action_bounds or (), [[-2], [2]])
    command(columns(Path("b.npz")), "--name=b", "--env=gym:Pendulum-v1", *flags)
    command(
        columns(Path("c.npz")), "--name=c", "--action_low=-2", "--action_high=2",
        "--env=gym:Pendulum-v1", *flags,
    )  # fmt: skip
    returns = [Path(f"runs/{name}/returns.json").read_text() for name in "abc"]
    assert returns[0] == returns[1] == returns[2]
    half = columns(Path("d.npz"), action=np.load("a.npz")["action"] / 2)
    command(half, "--name=d", "--env=gym:Pendulum-v1", "--action_low=-1", "--action_high=1", *flags)
    chex.assert_trees_all_equal(states("runs/a"), states("runs/d"))  # the same actions to learn
    assert Path("runs/d/returns.json").read_text() != returns[0]  # and half of them to act


def test_a_clocks_seconds_stay_apart_when_acting(command: Callable[..., None]):
    """A policy whose origin is not subtracted sees other observations than its data had."""
    observation = np.load(columns(Path("a.npz")).removeprefix("--dataset="))["observation"]
    rows = {"action": np.load("a.npz")["action"] / 2}
    command(columns(Path("b.npz"), observation=observation, **rows), "--name=b")
    late = np.column_stack([observation[:, 0] + 2.0**31, observation[:, 1:]])
    command(columns(Path("c.npz"), observation=late, **rows), "--name=c")
    run = runs.load(Path("runs/c"))
    assert run.origin[0] == pytest.approx(2**31, rel=1e-6)
    actions = []
    for name, seen in (("b", observation), ("c", late)):
        run = runs.load(Path("runs", name))
        policy, _ = restore.load_policy(run)
        act = actor(
            run.algo, run.spec, policy, np.zeros(40), jax.random.split(jax.random.key(0), 1)
        )
        actions.append(act(seen, np.zeros(40)))
    np.testing.assert_allclose(*actions, atol=1e-4)


def test_data_without_rewards_is_only_cloned(command: Callable[..., None], capsys: Any):
    flags = (columns(Path("a.npz"), reward=None), "--action_low=-2", "--action_high=2")
    command(*flags, "--name=a")
    words = [*flags, "--eval_every=0", *FAST]
    assert "it has no rewards, which iql learns from" in refused(
        capsys, lambda: train.main(["iql", *words])
    )
    assert "the best episodes cannot be known without rewards" in refused(
        capsys, lambda: command(*flags, "--name=b", "--top_fraction=0.5")
    )


@pytest.mark.usefixtures("command")
@pytest.mark.filterwarnings("default::rlp.errors.DataWarning")
def test_returns_to_go_are_learned_from_whole_episodes(capsys: Any):
    one_cut = columns(Path("a.npz"), truncated=np.arange(40) % 10 == 8)  # the last is not ended
    words = [one_cut, "--action_low=-2", "--action_high=2", "--eval_every=0"]
    transformer = ["--embed_dim=8", "--num_layers=1", "--context=4", *FAST[:1], *FAST[2:]]
    train.main(["dt", *words, "--name=a", "--quiet", *transformer])
    assert "a.npz: 1 fragments are left out" in capsys.readouterr().err
    assert len(runs.load(Path("runs/a")).record["data"]["returns"]) == 4
    no_end = columns(Path("a.npz"), truncated=np.zeros(40, bool))
    words[0] = no_end
    assert "as no episode is whole" in refused(
        capsys, lambda: train.main(["dt", *words, "--name=b", *transformer])
    )


def test_a_transformer_aims_for_the_best_return_also_below_zero(command: Callable[..., None]):
    command(columns(Path("a.npz")), "--action_low=-2", "--action_high=2", "--name=a")
    record = runs.load(Path("runs/a")).record
    assert record["target_returns"] == [max(record["data"]["returns"])]
    assert record["target_returns"][0] < 0


def test_a_refused_start_changes_nothing(command: Callable[..., None], capsys: Any):
    folder = Path("runs/a")
    folder.mkdir(parents=True)
    for name in ("lock", "notes"):
        (folder / name).write_text("mine")
    assert "runs/a exists" in refused(capsys, lambda: command("--name=a"))
    assert (folder / "lock").read_text() == "mine"


def test_metrics_that_are_there_twice_are_named(command: Callable[..., None], capsys: Any):
    command("--name=a", "--checkpoint_every=20")
    metrics = Path("runs/a/metrics.jsonl")
    metrics.write_text(2 * metrics.read_text())
    error = refused(
        capsys, lambda: command("--resume=runs/a", "--num_updates=60", "--extend", "--quiet")
    )
    assert "metrics.jsonl: the steps of actor_loss are not one after the other" in error


def test_a_run_without_a_checkpoint_begins_again_and_says_so(
    command: Callable[..., None], capsys: Any
):
    command("--name=a")
    shutil.rmtree("runs/a/checkpoints")
    command("--resume=runs/a")
    assert "has no checkpoint: it begins again at update 0" in capsys.readouterr().err
