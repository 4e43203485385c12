"""ReBRAC in a learned model: what of a batch is real, and what pessimism costs."""

from dataclasses import replace
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp import testing
from rlp.algos import mobrac, model_rollouts, rebrac
from rlp.config import to_dict
from rlp.data.episodes import EpisodeSet
from rlp.errors import InputError
from rlp.testing import SPEC
from rlp.types import Sources
from tests.conftest import make_episode

SMALL: dict[str, Any] = {
    "batch_size": 16, "hidden_dims": (8,), "model_hidden_dims": (8,), "num_models": 3,
    "num_elites": 2, "num_rollouts": 8, "rollout_length": 3, "num_updates": 100,
    "model_updates": 40, "pessimism": "none", "num_draws": 2, "termination": "never",
    "num_kept": 2, "rollout_noise": 0.1,
}  # fmt: skip


def setting(**changed: Any) -> mobrac.Config:
    return mobrac.Config(**SMALL | changed)


def prepared(config: mobrac.Config) -> tuple[mobrac.State, Sources]:
    """Returns a state with rollouts in a model that has learned nothing yet."""
    sources = Sources(testing.dataset())
    state = mobrac.init(config, jax.random.key(0), SPEC, sources.offline.statistics)
    preparation = mobrac.PHASES[1].preparation
    assert preparation is not None
    return preparation.prepare(config, state, jax.random.key(1), sources), sources


def rebracs(config: mobrac.Config) -> rebrac.Config:
    of_rebrac = to_dict(rebrac.Config())
    values: dict[str, Any] = {k: v for k, v in to_dict(config).items() if k in of_rebrac}
    values["num_updates"] = 60
    return rebrac.Config(**values)


def test_with_real_data_alone_it_is_rebrac():
    config = setting(real_share=1.0, decay_learning_rates=True)
    state, sources = prepared(config)
    batch = mobrac.sample(config, jax.random.key(2), state, sources)
    assert batch.is_real.all()
    key, _ = jax.random.split(jax.random.key(3))
    for step in (0, 1, 30):
        found, metrics = mobrac.update(
            config, state, jnp.int32(40 + step), jax.random.key(3), batch
        )
        of_rebrac = rebracs(config), state.agent, jnp.int32(step), jnp.copy(key), batch.sarsa
        expected, of_metrics = rebrac.update(*of_rebrac)
        chex.assert_trees_all_equal(found.agent, expected)
        chex.assert_trees_all_equal({name: metrics[name] for name in of_metrics}, of_metrics)
        chex.assert_trees_all_equal(found.model, state.model)


def test_a_batch_has_its_share_of_steps_in_the_model():
    config = setting(real_share=0.25, reward_scale=2.0)
    state, sources = prepared(config)
    sarsa, is_real = mobrac.sample(config, jax.random.key(2), state, sources)
    assert int(is_real.sum()) == 4
    in_data = np.asarray(sources.offline.observation)
    in_model = np.asarray(state.rollouts.transition.observation)
    for observation, real in zip(np.asarray(sarsa.transition.observation), is_real, strict=True):
        where = in_data if real else in_model
        assert (np.abs(where - observation).max(axis=1) == 0).any()
    assert not np.asarray(sarsa.has_next_action)[~np.asarray(is_real)].any()
    rewards = 2 * np.asarray(state.rollouts.transition.reward)
    for reward in np.asarray(sarsa.transition.reward)[~np.asarray(is_real)]:
        assert np.abs(rewards - reward).min() < 1e-6


def test_mobile_lowers_only_rewards_in_the_model():
    state, sources = prepared(setting())
    lowered = []

    def seen(config: Any, agent: Any, step: Any, key: Any, sarsa: Any) -> Any:
        del config, step, key
        lowered.append(np.asarray(sarsa.transition.reward))
        return agent, {}

    batch = mobrac.sample(setting(), jax.random.key(2), state, sources)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebrac, "update", seen)
        for changed in ({}, {"pessimism": "mobile", "penalty": 0.5}, {"pessimism": "mobile"}):
            mobrac.update(setting(**changed), state, jnp.int32(40), jax.random.key(3), batch)
    none, half, one = lowered
    is_real = np.asarray(batch.is_real)
    np.testing.assert_array_equal(none[is_real], one[is_real])
    assert (one[~is_real] < none[~is_real]).all()
    np.testing.assert_allclose(2 * (none - half), none - one, rtol=1e-3, atol=1e-5)
    same = jax.tree.map(lambda leaf: jnp.stack([leaf[0]] * 3), state.model.best)
    equal = state._replace(model=state.model._replace(best=same))
    config = setting(pessimism="mobile", num_draws=200)
    cost = mobrac._backups_differ(
        config, equal, batch.sarsa.transition, jax.random.key(4)
    )  # of networks that are the same, but for what they draw
    assert float(cost.mean()) < 0.3 * float((none - one)[~is_real].mean())


def test_each_time_new_rollouts_are_made_of_the_policy():
    state, sources = prepared(setting())
    preparation = mobrac.PHASES[1].preparation
    assert preparation is not None
    assert int(state.rollouts.num_times) == 1
    noiseless = setting(rollout_noise=0.0)
    moved = preparation.prepare(noiseless, state, jax.random.key(5), sources)
    assert int(moved.rollouts.num_times) == 2
    size = 3 * 8
    new = jax.tree.map(lambda leaf: leaf[size:], moved.rollouts.transition)
    expected = mobrac.td3.policy_action(noiseless, state.agent.actor, new.observation)
    np.testing.assert_allclose(new.action, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("pessimism", ["none", "mopo", "morel", "mobile"])
def test_bounds_are_open_where_rewards_are_lowered(pessimism: Any):
    statistics = testing.dataset().statistics
    bounds = mobrac.limits(setting(pessimism=pessimism), SPEC, statistics)
    is_open = not np.isfinite(bounds["min_q"][0])
    assert is_open == (pessimism in ("mopo", "mobile"))
    free = mobrac.limits(setting(pessimism=pessimism, penalty=0.0), SPEC, statistics)
    assert np.isfinite(free["min_q"][0])


def test_the_policy_needs_updates_too():
    with pytest.raises(InputError, match="--model_updates=100: of --num_updates=100 none"):
        mobrac.init(
            setting(model_updates=100), jax.random.key(0), SPEC, testing.dataset().statistics
        )


def test_the_data_settles_when_episodes_end():
    ending = EpisodeSet(
        "made", "gym:Hopper-v5", [make_episode(5, i, terminated=True) for i in (0, 1)]
    )
    asked = setting(termination="")
    assert mobrac.for_data(asked, ending).termination == "hopper"
    assert mobrac.for_data(asked, replace(ending, env="gym:Walker2d-v4")).termination == "walker2d"
    with pytest.raises(InputError, match="gym:Ant-v5 ends episodes"):
        mobrac.for_data(asked, replace(ending, env="gym:Ant-v5"))
    assert mobrac.for_data(setting(), replace(ending, env="gym:Ant-v5")).termination == "never"


def test_data_that_no_model_can_learn_is_refused():
    one = EpisodeSet("made", "", [make_episode(5)])
    with pytest.raises(InputError, match="made: one episode; a model needs others"):
        mobrac.for_data(setting(), one)
    single = [make_episode(1, seed) for seed in (0, 1)]
    cut = [each._replace(observation=each.observation[:1]) for each in single]
    with pytest.raises(InputError, match="no step has a known next observation"):
        mobrac.for_data(setting(), EpisodeSet("made", "", cut))


def test_rollouts_need_no_data_of_their_shape():
    empty = model_rollouts.empty(setting(), SPEC)
    assert empty.transition.observation.shape == (2 * 3 * 8, 4)
