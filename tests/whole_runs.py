"""Flags of a run that takes a second, and what runs leave behind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import pytest

from rlp import offline, runs

FAST = ("--batch_size=8", "--hidden_dims=8", "--num_updates=40", "--log_every=10")


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
    return jax.device_get(offline.load_policy(runs.load(Path(directory)))[0].params)


def lines(directory: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(directory, "metrics.jsonl").read_text().splitlines()]


def losses(directory: str | Path) -> list[float]:
    return [line["actor_loss"] for line in lines(directory)]
