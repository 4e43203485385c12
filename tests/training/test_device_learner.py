"""Rounds as one program do what rounds one by one do."""

from pathlib import Path
from typing import Any

import chex
import jax
import numpy as np
import pytest

from rlp import envs, runs
from rlp.commands import learn
from rlp.envs.gymnax import from_gymnax
from rlp.envs.jax_env import JaxVector
from rlp.runs import checkpoint
from rlp.training import device_learner, guide, learner
from rlp.training.device_learner import DeviceLearner, fits
from rlp.training.plan import Watch
from tests.envs.made_envs import NewWalk, Walk
from tests.training.test_guide import find_counter, maker, progress

FLAGS = (
    "--num_steps=80", "--num_envs=2", "--num_random_steps=8", "--num_seeds=2",
    "--learning_starts=12", "--eval_every=40", "--num_episodes=2", "--checkpoint_every=27",
    "--log_every=16",
    "--hidden_dims=8", "--batch_size=8", "--updates_per_step=1", "--quiet",
)  # fmt: skip
GUIDED = ("--guide=counter", "--guide_steps=48", "--guide_only")
CASES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "choices": (Walk(), ("dqn", "jax:walk")),
    "numbers": (NewWalk(), ("sac", "jax:walk")),
    "guided": (Walk(), ("dqn", "jax:walk", *GUIDED)),
}


@pytest.mark.parametrize(
    "case",
    [
        "guided",
        pytest.param("choices", marks=pytest.mark.slow),
        pytest.param("numbers", marks=pytest.mark.slow),
    ],
)
def test_several_rounds_in_a_call_are_those_one_by_one(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    env, words = CASES[case]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(envs, "make", maker(env))
    monkeypatch.setattr(guide, "find", find_counter)
    learn.main([*words, *FLAGS, "--name=fast"])
    monkeypatch.setattr(
        DeviceLearner, "take_rounds", lambda self, most: learner.Learner.take_rounds(self, most)
    )
    learn.main([*words, *FLAGS, "--name=slow"])
    is_guided = case == "guided"
    found = [progress(name, is_guided, is_guided) for name in ("fast", "slow")]
    if is_guided:  # what a guide remembers that acts no more is of no use
        found = [each._replace(guide=each.guide[0]) for each in found]
    chex.assert_trees_all_close(*found, rtol=1e-4, atol=1e-5)
    fast, slow = (runs.load(Path("runs", name)) for name in ("fast", "slow"))
    assert fast.evaluations() == slow.evaluations()
    curves = [each.curves() for each in (fast, slow)]
    for each in curves:
        del each["steps_per_second"]
    assert curves[0].keys() == curves[1].keys()
    for name, of_members in curves[0].items():
        for label, points in of_members.items():
            np.testing.assert_allclose(points, curves[1][name][label], rtol=1e-4, atol=1e-5)


def test_a_program_is_made_once_for_each_kind_of_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(envs, "make", maker(Walk()))
    take = chex.assert_max_traces(device_learner.device_rounds.take, n=2)
    program = jax.jit(take, static_argnames="kind", donate_argnames="between")
    monkeypatch.setattr(device_learner.device_rounds, "program", program)
    learn.main(["dqn", "jax:walk", *FLAGS, "--name=a"])
    step = checkpoint.latest_step(Path("runs/a/replays"))
    assert step == 80


def test_who_takes_rounds_in_one_program():
    vector = JaxVector(from_gymnax(Walk()), 2)
    assert fits(vector, None, np.zeros(2))
    assert not fits(vector, Watch(), np.zeros(2))
    assert not fits(vector, None, np.array([0.0, 1e9]))
    assert not fits(object(), None, np.zeros(2))
