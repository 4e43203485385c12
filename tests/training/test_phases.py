"""Phases of training, and what is prepared before their updates."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import chex
import jax
import numpy as np
import pytest

from rlp import runs
from rlp.algos import bc, mobrac
from rlp.commands import train
from rlp.training import population, restore
from rlp.training.slices import Members
from rlp.types import Place, Sources, phase_at
from tests.commands.test_model import learn
from tests.whole_runs import lines

__all__ = ["learn"]  # a fixture


def test_an_update_knows_its_phase_and_the_next_preparation():
    config = mobrac.Config(model_updates=10, num_updates=100, check_every=4, rollout_every=6)
    assert phase_at(mobrac, config, 0) == Place(0, 10, True, 4)
    assert phase_at(mobrac, config, 3) == Place(0, 10, False, 4)
    assert phase_at(mobrac, config, 8) == Place(0, 10, True, 12)
    # preparations are counted from the first update of their phase
    assert phase_at(mobrac, config, 10) == Place(1, None, True, 16)
    assert phase_at(mobrac, config, 21) == Place(1, None, False, 22)
    assert phase_at(bc, bc.Config(), 7) == Place(0, None, False, None)


def test_metrics_of_two_phases_are_each_of_its_own_updates():
    of_model = {"model_loss": np.array([2.0]), "max_q": np.array([1.0])}
    of_policy = {"actor_loss": np.array([5.0]), "max_q": np.array([3.0])}
    alarms = [{"NaN": np.array([7])}, {"NaN": np.array([4]), "q high": np.array([6])}]
    outcomes = list(zip((of_model, of_policy), alarms, strict=True))
    metrics, raised = population.as_one([*outcomes, (of_policy, alarms[1])], [10, 30, 50])
    assert metrics == {"model_loss": [2], "max_q": [3], "actor_loss": [5]}
    assert raised == {"NaN": [4], "q high": [6]}


@pytest.mark.slow
def test_a_resumed_run_prepares_as_an_uninterrupted_one(
    learn: Callable[..., None], monkeypatch: pytest.MonkeyPatch
):
    """Killed before a check of the model, before the first rollouts, and between two."""
    flags = ("--num_seeds=2", "--checkpoint_every=5", "--log_every=5")
    learn("--name=whole", *flags)
    stretch = Members.train

    whole = restore.load(runs.load(Path("runs/whole")))[0]
    for kill_after in (10, 20, 25):

        def killed(
            members: Members, sources: Sources, step: int, stop: int, last: int = kill_after
        ) -> Any:
            if step == last:
                raise KeyboardInterrupt
            return stretch(members, sources, step, stop)

        name = f"killed_at_{kill_after}"
        with monkeypatch.context() as patch:
            patch.setattr(Members, "train", killed)
            with pytest.raises(SystemExit, match="130"):
                learn(f"--name={name}", *flags)
        train.main(["mobrac", f"--resume=runs/{name}", "--quiet"])
        resumed = restore.load(runs.load(Path("runs") / name))[0]
        chex.assert_trees_all_equal(jax.device_get(resumed.states), jax.device_get(whole.states))
        assert {line["step"] for line in lines(f"runs/{name}")} == set(range(5, 41, 5))


def test_a_member_alone_prepares_as_in_a_population(learn: Callable[..., None]):
    learn("--name=both", "--num_seeds=2")
    learn("--name=second", "--seed=1")
    both, second = (restore.load(runs.load(Path("runs") / name))[0] for name in ("both", "second"))
    of_both = jax.tree.map(lambda leaf: leaf[1], both.states)
    of_second = jax.tree.map(lambda leaf: leaf[0], second.states)
    chex.assert_trees_all_close(of_both, of_second, rtol=2e-4, atol=2e-5)
    assert int(of_both.rollouts.num_times) == 2  # before update 20 and before update 30
