"""Going on online with an offline run, and learning with logged data beside."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import rlp
from rlp import envs, runs
from rlp.commands import evaluate, finetune, learn
from rlp.data.formats import packed
from rlp.errors import InputError
from rlp.runs import checkpoint
from rlp.training import learner, restore
from tests.training.test_online import maker
from tests.whole_runs import refused, states

ALGORITHMS = ("iql", "cqlsac", "td3bc", "rebrac", "sac", "dt", "bc")
ONLINE = [
    "--num_steps=60", "--num_envs=2", "--learning_starts=16", "--eval_every=30",
    "--num_episodes=2", "--checkpoint_every=22", "--log_every=10", "--quiet",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(envs, "make", maker(falls=True))


def offline_run(algo: str, **settings: Any) -> rlp.EpisodeSet:
    """Trains `runs/offline` and returns its data: random actions in the environment."""
    env, rng, made = maker(falls=True)("target", 1), np.random.default_rng(0), []
    for seed in range(12):
        seen, taken, reward = [env.reset([seed])[0]], [], []
        while True:
            taken.append(rng.uniform(-1, 1, 1))
            outcome = env.step(taken[-1][None])
            seen.append(outcome.observation[0])
            reward.append(outcome.reward[0])
            if outcome.terminated[0] or outcome.truncated[0]:
                break
        made.append(
            rlp.Episode(np.array(seen), np.array(taken), np.array(reward), outcome.terminated[0])
        )
    data = rlp.from_episodes(
        made, env="target", options=rlp.ReadOptions(action_low="-1", action_high="1")
    )
    small: dict[str, Any] = {"batch_size": 8, "num_updates": 20, "eval_every": 0, "log_every": 10}
    if algo == "dt":
        small |= {"context": 2, "embed_dim": 8, "num_layers": 1, "warmup_updates": 1}
    else:
        small["hidden_dims"] = [8]
    rlp.train(algo, data, seeds=2, progress=False, name="offline", **small, **settings)
    return data


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_an_offline_run_goes_on_with_all_it_had(algo: str):
    offline_run(algo)
    old = runs.load(Path("runs/offline"))
    policy, _ = restore.load_policy(old)
    words = [word for word in ONLINE if "learning_starts" not in word]
    finetune.main(["runs/offline", *words, "--name=online", "--learning_starts=54"])
    run = runs.load(Path("runs/online"))
    assert run.labels == old.labels
    first = [entry for entry in run.evaluations() if entry["step"] == 0]
    assert [entry["member"] for entry in first] == run.labels
    saved, step = restore.load(run)
    assert step == 60
    # A round of two updates: what was learned offline is still there, but for a little.
    before, after = restore.load(old)[0].states, saved.states
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert np.shape(a) == np.shape(b)
    np.testing.assert_array_equal(saved.normalizer.mean, policy.normalizer.mean)
    actors = policy.params, restore.load_policy(run)[0].params
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), *actors)
    assert 0 < max(jax.tree.leaves(moved)) < 0.1
    evaluate.main(["runs/online", "--num_episodes=2", "--quiet"])


def test_fine_tuning_that_was_interrupted_goes_on_exactly(capsys: Any):
    offline_run("iql")
    finetune.main(["runs/offline", *ONLINE, "--name=whole"])
    finetune.main(["runs/offline", *ONLINE, "--name=cut"])
    for half in ("replays", "checkpoints"):
        checkpoint.forget_after(Path("runs/cut", half), 44)
    capsys.readouterr()
    finetune.main(["runs/offline", "--resume=runs/cut", "--quiet"])
    jax.tree.map(np.testing.assert_array_equal, states("runs/whole"), states("runs/cut"))
    found = [json.loads(Path(f"runs/{name}/returns.json").read_text()) for name in ("whole", "cut")]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["runs/nowhere"], "holds no run"),
        (["runs/offline", "--num_steps=4"], "nothing is learned"),
        (["runs/offline", "--offline_share=2"], "must be from 0 to 1"),
        (["runs/offline", "--capacity=3"], "need 8"),
        (["runs/offline", "--num_updates=3"], "no flag --num_updates"),
    ],
)
def test_bad_input_is_one_line(capsys: Any, words: list[str], message: str):
    offline_run("iql")
    names = {word.split("=")[0] for word in words}
    kept = [word for word in ONLINE if word.split("=")[0] not in names]
    assert message in refused(capsys, lambda: finetune.main([*words, *kept]))
    assert sorted(path.name for path in Path("runs").iterdir()) == ["offline"]


def test_a_run_that_has_gone_on_since_is_another_beginning(capsys: Any):
    offline_run("iql")
    finetune.main(["runs/offline", *ONLINE, "--name=online"])
    rlp.resume("runs/offline", progress=False, num_updates=30, extend=True)
    for half in ("replays", "checkpoints"):
        checkpoint.forget_after(Path("runs/online", half), 22)
    error = refused(capsys, lambda: finetune.main(["runs/offline", "--resume=runs/online"]))
    assert "runs/offline has gone on from update 20 to 30" in error


def test_logged_data_is_half_of_each_batch(tmp_path: Path):
    data = offline_run("iql")
    packed.write(tmp_path / "set.npz", data)
    words = [word for word in ONLINE if "learning_starts" not in word]
    learn.main(
        ["sac", "target", *words, "--num_random_steps=16", "--dataset=set.npz", "--name=both",
         "--hidden_dims=8", "--batch_size=8"]
    )  # fmt: skip
    run = runs.load(Path("runs/both"))
    assert run.record["data"]["name"] == "set.npz"
    assert len(run.evaluations()) == 2
    assert Path("runs/both/report.html").exists()


def test_the_same_from_python():
    offline_run("iql")
    finetune.main(["runs/offline", *ONLINE, "--name=command"])
    settings: dict[str, Any] = {
        word[2:].split("=")[0]: int(word.split("=")[1]) for word in ONLINE if "=" in word
    }
    run = rlp.finetune("runs/offline", progress=False, name="python", **settings)
    jax.tree.map(np.testing.assert_array_equal, states("runs/command"), states(str(run.directory)))
    for half in ("replays", "checkpoints"):
        checkpoint.forget_after(run.directory / half, 44)
    rlp.resume(run.directory, progress=False)
    jax.tree.map(np.testing.assert_array_equal, states("runs/command"), states(str(run.directory)))
    with pytest.raises(rlp.InputError, match="goes on as it began"):
        rlp.resume(run.directory, progress=False, num_steps=3)
    del settings["learning_starts"]
    learned = rlp.learn(
        "sac", "target", seeds=2, progress=False, batch_size=8, hidden_dims=[8],
        num_random_steps=16, discount=[0.9, 0.99], **settings,
    )  # fmt: skip
    assert len(learned.labels) == 4
    assert rlp.load_policy(learned.directory)(np.zeros(2)).shape == (1,)
    for wrong, message in (
        ({"num_stepz": 3}, "no setting num_stepz"),
        ({"num_updates": 3}, "follows"),
    ):
        with pytest.raises(rlp.InputError, match=message):
            rlp.learn("sac", "target", progress=False, **wrong)


def test_help_shows_each_flag_once_with_its_own_default(capsys: Any):
    finetune.main(["--help"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    flags = [words[0] for words in lines if words and words[0].startswith("--")]
    assert len(flags) == len(set(flags))
    assert ["--num_envs", "1"] in [words[:2] for words in lines]


def test_cal_ql_learns_from_returns_of_its_own_episodes_too(monkeypatch: pytest.MonkeyPatch):
    data, ended = offline_run("cqlsac", calibrate=True, discount=0.9), []

    def end(*arguments: Any) -> Any:
        replays = own_end(*arguments)
        ended.append((arguments[-1], np.isfinite(replays.data.value_floor[0]).sum()))
        return replays

    own_end = learner.end
    monkeypatch.setattr(learner, "end", end)
    finetune.main(["runs/offline", *ONLINE, "--name=online"])
    assert {round(discount, 6) for discount, _ in ended} == {0.9}
    assert ended[-1][1] > ended[0][1] > 0
    with pytest.raises(InputError, match="have one --discount: train each in a run"):
        rlp.train("cqlsac", data, calibrate=True, discount=[0.9, 0.99], progress=False)
    with pytest.raises(InputError, match="have one --discount: train each in a run"):
        rlp.learn("cqlsac", "target", calibrate=True, discount=[0.9, 0.99], progress=False)
