from types import SimpleNamespace
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import bc, iql, rebrac, td3bc
from rlp.config import config
from rlp.data.dataset import Dataset, make_dataset, unit_normalizer
from rlp.data.episodes import EpisodeSet
from rlp.system import devices
from rlp.system.target import compiling_for
from rlp.training import population
from rlp.types import NEVER, NOT_FINITE, UNKNOWN, Sources, vectors
from tests.rounding import of_updates

SPEC = vectors(observation_dim=4, action_dim=2, max_episode_steps=12)


@pytest.fixture
def dataset(episodes: EpisodeSet) -> Dataset:
    return make_dataset(episodes, unit_normalizer(4))


def small(**changed: Any) -> bc.Config:
    return bc.Config(batch_size=8, hidden_dims=(8,), **changed)


def test_the_program_is_traced_once(dataset: Dataset, monkeypatch: pytest.MonkeyPatch):
    traces = []
    update = bc.update
    monkeypatch.setattr(bc, "update", lambda *a: (traces.append(1), update(*a))[1])
    for rate, first_step in ((1e-3, 0), (1e-4, 7), (1e-2, 14)):
        members = population.init(bc, [small(learning_rate=rate)] * 2, [0, 1], SPEC, UNKNOWN)
        population.train(
            bc,
            SPEC,
            7,
            members.configs,
            members.keys,
            members.states,
            Sources(dataset),
            jnp.int32(first_step),
        )
    assert len(traces) == 1


def test_members_in_turn_learn_what_they_do_at_once(dataset: Dataset):
    rates = (1e-3, 1e-2, np.inf)  # the last has no finite parameters after one update
    configs = [small(learning_rate=rate) for rate in rates]
    outcomes = []
    for placement in (None, devices.placement(3)):
        members = population.init(bc, configs, [0, 1, 2], SPEC, UNKNOWN)
        outcome = population.train(
            bc, SPEC, 20, *members, Sources(dataset), jnp.int32(0), placement=placement
        )
        outcomes.append(jax.tree.map(lambda leaf: leaf[:2], outcome))
        assert list(outcome[2][NOT_FINITE] < NEVER) == [False, False, True]
    chex.assert_trees_all_close(*outcomes, **of_updates(20, rate=1e-2, num_terms=8 * 8))


@pytest.mark.slow
@pytest.mark.parametrize("algo", [iql, td3bc, rebrac])
@pytest.mark.parametrize("num_members", [1, 2])
def test_programs_for_other_devices_learn_what_ours_does(
    algo: Any, num_members: int, dataset: Dataset
):
    """They pack, or compute both of two branches; a CPU can run them, too."""
    configs = [algo.Config(batch_size=8, hidden_dims=(8,))] * num_members
    outcomes = []
    for kind in ("cpu", "gpu", "tpu"):
        jax.clear_caches()  # a program is traced once
        members = population.init(algo, configs, range(num_members), SPEC, UNKNOWN)
        with compiling_for(kind):
            outcomes.append(
                population.train(algo, SPEC, 10, *members, Sources(dataset), jnp.int32(1))
            )
    for other in outcomes[1:]:
        chex.assert_trees_all_close(outcomes[0], other, **of_updates(10, rate=1e-3, num_terms=64))


def test_two_stretches_equal_one(dataset: Dataset):
    """No key lives in a state: randomness is a function of member and step."""

    def trained(*stretches: int) -> Any:
        members = population.init(bc, [small(input_noise=0.1)] * 2, [3, 4], SPEC, UNKNOWN)
        states, step = members.states, 0
        for length in stretches:
            states, *_ = population.train(
                bc,
                SPEC,
                length,
                members.configs,
                members.keys,
                states,
                Sources(dataset),
                jnp.int32(step),
            )
            step += length
        return states

    chex.assert_trees_all_equal(trained(10, 10), trained(20))
    with pytest.raises(AssertionError):
        chex.assert_trees_all_equal(trained(10), trained(20))


def test_seeds_differ_and_settings_share_their_randomness():
    configs = [small(learning_rate=r) for r in (1e-3, 1e-3, 1e-2)]
    actor = population.init(bc, configs, [0, 1, 0], SPEC, UNKNOWN).states.actor["Dense_0"]["kernel"]
    assert np.abs(actor[0] - actor[1]).max() > 0.1
    np.testing.assert_array_equal(actor[0], actor[2])


@config
class Config:
    """A scripted algorithm whose metrics are known."""

    num_updates: int = 1
    batch_size: int = 1
    blow_up: float = 0.0


class Scripted(SimpleNamespace):
    """A namespace that is hashable, as a module is."""

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] - None there
        return id(self)


def scripted() -> Any:
    def update(c: Config, state: Any, step: Any, key: Any, batch: Any) -> Any:
        del key, batch
        value = jnp.where(step == c.blow_up, jnp.nan, step.astype(jnp.float32))
        return state, {"value": value, "max_value": step.astype(jnp.float32)}

    return Scripted(
        Config=Config,
        sample=lambda *_: (),
        init=lambda *_: jnp.zeros(1),
        update=update,
        limits=lambda *_: {"max_value": (-jnp.inf, 10.4), "value": (15.0, 15.5)},
    )


def test_metrics_are_means_and_maxima_and_alarms_the_first_step(dataset: Dataset):
    algo = scripted()
    members = population.init(algo, [Config(blow_up=-1), Config(blow_up=12)], [0, 1], SPEC, UNKNOWN)
    _, metrics, alarms = population.train(
        algo,
        SPEC,
        5,
        members.configs,
        members.keys,
        members.states,
        Sources(dataset),
        jnp.int32(10),
    )
    assert jax.device_get(metrics["max_value"]).tolist() == [14, 14]
    assert float(metrics["value"][0]) == 12
    assert {name: jax.device_get(first).tolist() for name, first in alarms.items()} == {
        "NaN or infinite": [NEVER, 12],
        "max_value a fifth above its bound": [13, 13],
        "max_value far below its bound": [NEVER, NEVER],
        "value a fifth above its bound": [NEVER, NEVER],
        "value far below its bound": [10, 10],
    }
