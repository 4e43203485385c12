"""Data sets of a policy that is there."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlp
from rlp import data
from rlp.commands import collect
from rlp.data import __main__ as data_commands
from tests.whole_runs import refused

GO = ["gym:Pendulum-v1", "--num_steps=500", "--num_envs=2", "--quiet"]


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy that pushes by half the pendulum's velocity, times 0.1 of what is possible."""
    monkeypatch.chdir(tmp_path)
    np.savez(
        "a.npz", w0=np.hstack([np.eye(3), -np.eye(3)]), b0=np.zeros(6), activation="relu",
        w_mean=np.array([[0.0, 0, 0.05, 0, 0, -0.05]]).T, b_mean=np.zeros(1), squash="clip",
        log_std=np.array([-1.0]),
    )  # fmt: skip
    return Path("a.npz")


def test_episodes_are_whole_and_replay(policy: Path):
    collect.main([*GO, f"--policy={policy}", "--out=set.npz", "--temperature=0", "--licence=MIT"])
    made = data.load("set.npz")
    assert (made.env, made.lengths.tolist()) == ("gym:Pendulum-v1", [200] * 4)
    assert made.metadata["licence"] == "MIT"
    assert "mean actions of a.npz, seed 0" in made.metadata["made"]
    assert "MIT" in Path("set.md").read_text()
    starts = {tuple(each.observation[0]) for each in made.episodes}
    assert len(starts) == 4
    for episode in made.episodes:
        assert not episode.terminated
        np.testing.assert_allclose(
            episode.action[:, 0], np.clip(0.05 * episode.observation[:-1, 2], -1, 1), atol=1e-6
        )


def test_episodes_that_end_early_are_all_kept(policy: Path):
    del policy
    np.savez(
        "b.npz", w0=np.zeros((11, 1)), b0=np.zeros(1), w_mean=np.zeros((1, 3)), b_mean=np.zeros(3),
        log_std=np.zeros(3), activation="relu", squash="tanh",
    )  # fmt: skip
    collect.main(["gym:Hopper-v4", "--policy=b.npz", "--num_steps=300", "--out=set.npz", "--quiet"])
    made = data.load("set.npz")
    assert made.lengths.sum() >= 300
    assert all(episode.terminated for episode in made.episodes)
    assert len(set(made.lengths.tolist())) > 1
    data_commands.main(["verify", "set.npz", "--num_rows=50"])


def test_policies_take_turns_and_seeds_differ(policy: Path):
    np.savez("b.npz", **{**np.load(policy), "b_mean": np.ones(1), "log_std": np.array([-20.0])})
    sets = []
    for number, seed in enumerate((0, 0, 1)):
        words = [*GO, f"--policy={policy},b.npz", f"--out=set{number}.npz", f"--seed={seed}"]
        collect.main(words)
        sets.append(data.load(f"set{number}.npz"))
    first, again, other = (each.episodes for each in sets)
    np.testing.assert_array_equal(first[0].action, again[0].action)
    assert (first[0].observation != other[0].observation).any()
    means = sorted(round(float(each.action.mean()), 1) for each in first)
    assert means[2:] == [1.0, 1.0]  # of two policies in two environments, twice each
    assert abs(means[0]) < 0.5


def test_the_best_member_of_a_run_plays(policy: Path):
    collect.main([*GO, f"--policy={policy}", "--out=set.npz", "--temperature=0"])
    run = rlp.train(
        "bc", "set.npz", progress=False, num_updates=300, eval_every=0, hidden_dims=[32]
    )
    collect.main([*GO, f"--policy={run.directory}", "--out=again.npz", "--noise=0.1"])
    made = data.load("again.npz")
    noise = made.episodes[0].action[:, 0] - 0.05 * made.episodes[0].observation[:-1, 2]
    assert 0.05 < noise.std() < 0.2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gym:Hopper-v4"], "a.npz has observations of 3 and actions of 1 numbers"),
        (["gym:Pendulum-v1", "--num_random_steps=3"], "--num_random_steps: of a learner"),
        (["gym:Pendulum-v1", "--out=a.npz"], "a.npz exists"),
        (["gym:Pendulum-v1", "--out=a"], "a: must end in .npz"),
        (["gym:CartPole-v1"], "its actions are discrete"),
        (["gym:Pendulum-v1", "--temperature=-1"], "--temperature=-1: must be at least 0"),
    ],
)
def test_bad_input_is_one_line(policy: Path, capsys: Any, words: list[str], message: str):
    before = sorted(Path().rglob("*"))
    error = refused(capsys, lambda: collect.main([*words, f"--policy={policy}", "--quiet"]))
    assert message in error
    assert sorted(Path().rglob("*")) == before
