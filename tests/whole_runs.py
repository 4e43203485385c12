"""Flags of a run that takes a second, and what runs leave behind."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from rlp import runs
from rlp.envs import Bounds, Outcome
from rlp.training import restore

FAST = ("--batch_size=8", "--hidden_dims=8", "--num_updates=40", "--log_every=10")


class Ten:
    """Episodes of ten steps; the reward is the first action.

    The simulation of environment `breaks` becomes invalid in the third step.
    """

    observation_dim, action_dim, max_episode_steps = 4, 2, 10
    action_space = Bounds(-np.ones(2), np.ones(2))

    def __init__(self, num_envs: int, breaks: int = -1) -> None:
        self.num_envs, self.breaks = num_envs, breaks

    def reset(
        self, seeds: Sequence[int] | None = None, which: Sequence[int] | None = None
    ) -> np.ndarray:
        assert which is None
        self.time, self.start = 0, np.array([[seed % 3] * 4 for seed in seeds or ()])
        return self.start

    def physics(self) -> np.ndarray:
        return np.zeros((self.num_envs, 1))

    def step(self, action: np.ndarray) -> Outcome:
        assert np.isfinite(action).all()
        self.time += 1
        no = np.zeros(self.num_envs, bool)
        invalid = (np.arange(self.num_envs) == self.breaks) & (self.time >= 3)
        reward = np.where(invalid, 0, action[:, 0])
        return Outcome(self.start, reward, invalid, no | (self.time == 10), invalid)


def refused(capsys: Any, run: Callable[[], Any]) -> str:
    """Returns the one line that bad input ends in, with exit code 2 and nothing else printed."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        run()
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert (err.count("\n"), err[:7]) == (1, "error: ")
    return err


def states(directory: str) -> Any:
    return jax.device_get(restore.load_policy(runs.load(Path(directory)))[0].params)


def lines(directory: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(directory, "metrics.jsonl").read_text().splitlines()]


def losses(directory: str | Path) -> list[float]:
    return [line["actor_loss"] for line in lines(directory)]


def evaluation(directory: str | Path) -> dict[str, Any]:
    """Returns what rlp.evaluate has found last."""
    return json.loads(Path(directory, "evaluation.json").read_text())[-1]
