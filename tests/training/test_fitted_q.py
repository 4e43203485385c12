from typing import Any

import numpy as np
import pytest

from rlp.algos.fqe import Config
from rlp.data.episodes import Episode, EpisodeSet
from rlp.errors import InputError
from rlp.system import memory
from rlp.training import fitted_q

DISCOUNT = 0.5
CONFIG = Config(
    num_updates=1500, batch_size=64, hidden_dims=(32,), learning_rate=3e-3, tau=0.05,
    discount=DISCOUNT,
)  # fmt: skip


def coins(terminated: bool) -> EpisodeSet:
    """Episodes of three steps with actions -1 and 1 at random; 1 earns 2, -1 nothing."""
    rng = np.random.default_rng(0)
    observation = np.eye(4, dtype=np.float32)
    actions = rng.choice([-1.0, 1.0], (100, 3, 1)).astype(np.float32)
    return EpisodeSet(
        "", "", [Episode(observation, a, 1 + a[:, 0], terminated=terminated) for a in actions]
    )


def always(data: EpisodeSet, *actions: float) -> np.ndarray:
    """Returns what policies do that do the same in every row, [M, N, 1]."""
    num_rows = int((data.lengths + 1).sum())
    return np.repeat(np.reshape(np.array(actions, np.float32), (-1, 1, 1)), num_rows, axis=1)


@pytest.mark.parametrize(("terminated", "best"), [(True, 2 * (1 + 0.5 + 0.25)), (False, 4.0)])
def test_policies_that_the_data_only_mixes_are_told_apart(terminated: bool, best: float):
    """Behind a time limit the last state comes again and again, and earns as before."""
    data = coins(terminated)
    calls: list[int] = []
    found = fitted_q.values(data, always(data, 1, -1), CONFIG, show=calls.append)
    assert found.shape == (2, 100)
    np.testing.assert_allclose(found[1], 0, atol=0.2)
    if terminated:
        np.testing.assert_allclose(found[0], best, atol=0.2)
    else:  # of the state behind the last nothing is known but that the bound holds
        assert (found[0] > 2 * (1 + 0.5 + 0.25) - 0.3).all()
        assert (found[0] < best + 0.3).all()
    assert calls == [1000, 1500]


def test_an_estimate_does_not_depend_on_the_policies_beside_it():
    data = coins(terminated=True)
    short = Config(num_updates=5, batch_size=8, hidden_dims=(8,))
    both = fitted_q.values(data, always(data, 1, -1), short)
    alone = fitted_q.values(data, always(data, -1), short)
    np.testing.assert_allclose(alone[0], both[1], rtol=1e-4)


def test_a_policy_that_is_not_finite_has_no_estimate():
    data = coins(terminated=True)
    actions = always(data, 1, 1).copy()
    actions[1] = np.nan
    found = fitted_q.values(data, actions, Config(num_updates=5, batch_size=8, hidden_dims=(8,)))
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


def test_actions_that_do_not_fit_are_refused_before_anything_is_computed(monkeypatch: Any):
    data = coins(terminated=True)
    monkeypatch.setattr(memory, "of_devices", lambda: 100)
    with pytest.raises(InputError, match="estimate fewer policies at once"):
        fitted_q.values(data, always(data, 1), CONFIG)
