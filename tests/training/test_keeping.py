"""The best checkpoint of every member, by a criterion."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import rlp
from rlp import envs, runs
from rlp.commands import evaluate
from rlp.errors import InputError
from rlp.export import policy
from rlp.pages import pictures
from rlp.runs import Run, checkpoint
from rlp.training import restore
from tests.whole_runs import Ten, evaluation, lines, refused

SEEDS = ("--num_seeds=2", "--checkpoint_every=10")
RETURN = (*SEEDS, "--env=ten", "--eval_every=10", "--num_episodes=2", "--final_episodes=2")


@pytest.fixture(autouse=True)
def ten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(envs, "make", lambda _, size=1, *__: Ten(size))
    monkeypatch.setattr(pictures, "drawn", lambda *_: [])


def values(directory: str, metric: str) -> dict[str, dict[int, float]]:
    """Returns the values of a metric by member and step."""
    found: dict[str, dict[int, float]] = {}
    for line in lines(directory):
        if metric in line:
            found.setdefault(line["member"], {})[line["step"]] = line[metric]
    return found


def kept(directory: str = "runs/a") -> tuple[Run, Any]:
    run = runs.load(Path(directory))
    return run, restore.best(run)


def test_each_member_is_kept_at_its_best(
    command: Callable[..., None], monkeypatch: pytest.MonkeyPatch
):
    seen, save = {}, checkpoint.save

    def watched(directory: Path, step: int, saved: Any, *args: Any) -> None:
        if directory.name == "checkpoints":
            seen[step] = saved.states
        save(directory, step, saved, *args)

    monkeypatch.setattr(checkpoint, "save", watched)
    command("--name=a", *RETURN, "--keep_best=return", "--learning_rate=3e-2")
    _, best = kept()
    of_log = values("runs/a", "return")
    steps = [max(of, key=lambda step, of=of: of[step]) for of in of_log.values()]
    assert best.updates.tolist() == steps
    assert set(steps) != {40}
    np.testing.assert_allclose(best.values, [max(of.values()) for of in of_log.values()], rtol=1e-6)
    for member, step in enumerate(steps):
        jax.tree.map(
            lambda a, b, m=member: np.testing.assert_array_equal(a[m], b[m]),
            best.states,
            seen[step],
        )


def test_the_best_checkpoint_is_evaluated_loaded_and_exported(
    command: Callable[..., None], capsys: Any
):
    command("--name=a", *RETURN, "--keep_best=return", "--learning_rate=3e-2")
    run, best = kept()
    steps = best.updates.tolist()
    capsys.readouterr()
    words = ["runs/a", "--env=ten", "--num_episodes=2", "--checkpoint=best"]
    evaluate.main(words)
    assert f"runs/a at its best, update {min(steps):,}" in capsys.readouterr().out
    found = evaluation("runs/a")
    assert found["updates"] == dict(zip(run.labels, steps, strict=True))
    means = [np.mean(found["returns"][label]) for label in run.labels]
    np.testing.assert_allclose(means, best.values, rtol=1e-6)
    of_best = rlp.load_policy("runs/a", checkpoint="best")(np.ones(4))
    label = run.labels[int(np.argmax(best.values))]
    same = rlp.load_policy("runs/a", member=label, checkpoint="best")(np.ones(4))
    np.testing.assert_array_equal(of_best, same)
    out = rlp.export_policy("runs/a", "out", checkpoint="best")
    np.testing.assert_allclose(policy.load(out)(np.ones(4)), of_best, atol=1e-5)
    said = json.loads((out / "about.json").read_text())
    assert (said["member"], said["updates"]) == (label, steps[int(np.argmax(best.values))])


@pytest.mark.slow
@pytest.mark.parametrize("by", ["return", "action_error"])
def test_a_run_that_was_killed_keeps_the_same(
    command: Callable[..., None], monkeypatch: pytest.MonkeyPatch, by: str
):
    """Between a checkpoint and the best one of the same step, and before the checkpoint."""
    flags = (*RETURN, f"--keep_best={by}", "--validation=0.3", "--learning_rate=3e-2")
    command("--name=a", *flags)
    _, whole = kept()
    save, improved = checkpoint.save, int(whole.updates.max())
    for folder, step in (("best", improved), ("checkpoints", improved), ("checkpoints", 30)):
        name = f"{folder}{step}"

        def killed(
            directory: Path, at: int, saved: Any, *args: Any, folder: str = folder, step: int = step
        ) -> None:
            if (directory.name, at) == (folder, step):
                raise KeyboardInterrupt
            save(directory, at, saved, *args)

        monkeypatch.setattr(checkpoint, "save", killed)
        with pytest.raises((SystemExit, KeyboardInterrupt)):
            command(f"--name={name}", *flags)
        monkeypatch.setattr(checkpoint, "save", save)
        command(f"--resume=runs/{name}", "--quiet")
        _, best = kept(f"runs/{name}")
        jax.tree.map(np.testing.assert_array_equal, best, whole)


def test_what_is_not_kept_is_one_line(command: Callable[..., None], capsys: Any):
    words = ("--keep_best=first_q", "--validation=0.3")
    assert "--keep_best=first_q: bc has no critics" in refused(capsys, lambda: command(*words))
    assert "give --validation=0.1" in refused(capsys, lambda: command("--keep_best=action_error"))
    command("--name=a")
    for call in (
        lambda: rlp.load_policy("runs/a", checkpoint="best"),
        lambda: rlp.export_policy("runs/a", "out", checkpoint="best"),
    ):
        with pytest.raises(InputError, match="runs/a keeps no best checkpoint: it was trained"):
            call()
    with pytest.raises(InputError, match='checkpoint is "first", not one of last, best'):
        rlp.load_policy("runs/a", checkpoint="first")  # pyright: ignore[reportArgumentType] - bad
    assert not Path("out").exists()


def test_nothing_is_best_of_what_has_no_value(command: Callable[..., None]):
    flags = ("--keep_best=action_error", "--validation=0.3", "--learning_rate=1e-3,3e38")
    command("--name=a", *flags, "--checkpoint_every=10")
    run, best = kept()
    assert np.isnan(best.values).tolist() == [False, True]
    assert restore.choose(run, "best").saved.diverged[1] < 40
    label = run.labels[1]
    with pytest.raises(InputError, match="NaN or infinite"):
        rlp.export_policy("runs/a", "out", member=label, checkpoint="best")
