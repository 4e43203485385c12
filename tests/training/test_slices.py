"""Members that take turns, as whole runs of `rlp.train`."""

from collections.abc import Callable
from typing import Any

import chex
import numpy as np
import pytest

from rlp.commands import train
from rlp.system import memory
from tests.rounding import of_updates
from tests.whole_runs import losses, states

CLOSE = of_updates(40, rate=1e-3, num_terms=8 * 8 * 4)  # batch, width, layers there and back


def test_members_that_take_turns_learn_what_they_do_together(command: Callable[..., None]):
    command("--name=together", "--num_seeds=5", "--members_at_once=5", "--num_updates=20")
    longer = ["--extend", "--num_updates=40", "--quiet"]
    train.main(["bc", "--resume=runs/together", "--members_at_once=5", *longer])
    command("--name=turns", "--num_seeds=5", "--members_at_once=2", "--num_updates=20")
    train.main(["bc", "--resume=runs/turns", "--members_at_once=3", *longer])
    assert len(losses("runs/turns")) == 5 * 4
    np.testing.assert_allclose(losses("runs/turns"), losses("runs/together"), **CLOSE)
    chex.assert_trees_all_close(states("runs/turns"), states("runs/together"), **CLOSE)


def test_members_that_do_not_fit_take_turns(
    command: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    command("--name=together", "--num_seeds=2", "--quiet=False")
    assert "slices" not in "".join(capsys.readouterr())
    monkeypatch.setattr(memory, "free", lambda: 3_000)
    command("--name=turns", "--num_seeds=2", "--quiet=False")
    said = "".join(capsys.readouterr())
    assert "2 members in slices of 1: each takes 0.0 MB, 0.0 MB are free" in said
    np.testing.assert_allclose(losses("runs/turns"), losses("runs/together"), **CLOSE)
