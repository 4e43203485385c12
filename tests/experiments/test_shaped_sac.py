"""SAC with lowered rewards: what a history is, and what the critics learn of it."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shaped_sac

import rlp.testing
from rlp.algos import sac
from rlp.data.dataset import NOT_KNOWN
from rlp.data.replay import empty_replay, end_episodes, insert, layout
from rlp.types import Sources, Transition, vectors

SMALL: dict[str, Any] = {"batch_size": 8, "hidden_dims": (16,), "model_batch_size": 4}
SMALL |= {"context": 4, "embed_dim": 8}
DATA = rlp.testing.dataset()


def state_of(config: shaped_sac.Config) -> shaped_sac.State:
    return shaped_sac.init(config, jax.random.key(0), rlp.testing.SPEC, DATA.statistics)


@pytest.mark.parametrize("model", ["none", "frozen", "learning"])
@pytest.mark.parametrize("check", rlp.testing.CHECKS)
@pytest.mark.slow
def test_contract(check: Any, model: Any):
    check(shaped_sac, shaped_sac.Config(**SMALL, model=model, weight=0.4))


def test_histories_are_of_one_episode_and_end_with_the_transition():
    transition, history = shaped_sac.sample_histories(Sources(DATA), jax.random.key(0), 200, 4)
    np.testing.assert_array_equal(transition.reward, history.reward[:, -1])
    np.testing.assert_array_equal(transition.observation, history.observation[:, -1])
    place = history.timestep[:, -1:] - jnp.arange(3, -1, -1)[None]
    np.testing.assert_array_equal(history.mask, place >= 0)
    np.testing.assert_array_equal(
        np.where(history.mask, history.timestep, 0), np.where(history.mask, place, 0)
    )
    assert not history.mask.all()


def test_histories_of_a_replay_do_not_know_returns_before_the_end():
    spec = vectors(1, 1, 3)
    of_replay = layout(num_envs=1, capacity=6, longest=3)
    replay = jax.tree.map(lambda leaf: leaf[0], empty_replay(of_replay, spec, 1))

    def step(number: float) -> Transition:
        seen = jnp.full((1, 1), number)
        return Transition(seen, seen, jnp.full(1, number), jnp.ones(1), seen + 1)

    for number in (1.0, 2.0, 3.0):
        replay = insert(replay, of_replay, step(number))
    replay = end_episodes(replay, of_replay, jnp.ones(1, bool))
    replay = insert(replay, of_replay, step(10.0))
    _, found = shaped_sac.sample_histories(Sources(replay=replay.data), jax.random.key(0), 100, 4)
    for reward, to_go, mask in zip(found.reward, found.return_to_go, found.mask, strict=True):
        if reward[-1] == 10:
            assert mask.tolist() == [False, False, False, True]
            assert to_go[-1] == NOT_KNOWN
        else:
            assert reward[mask].tolist() == [1, 2, 3][: mask.sum()]
            assert to_go[mask].tolist() == [6, 5, 3][: mask.sum()]


def test_without_weight_it_is_sac():
    config = shaped_sac.Config(**SMALL, model="frozen", weight=0.0)
    state = state_of(config)
    batch = shaped_sac.sample(config, jax.random.key(1), state, Sources(DATA))
    found, _ = shaped_sac.update(config, state, jnp.int32(0), jax.random.key(2), batch)
    agent_key, _ = jax.random.split(jax.random.key(2))
    of_agent = shaped_sac._of_agent(config)
    expected, _ = sac.update(of_agent, state.agent, jnp.int32(0), agent_key, batch[0])
    chex.assert_trees_all_close(found.agent, expected)
    chex.assert_trees_all_equal(found.model, state.model)


def test_rewards_above_the_bound_are_lowered_towards_it():
    config = shaped_sac.Config(**SMALL, model="frozen", weight=0.4, margin=2.0, reduction=0.1)
    state = state_of(config)
    _, history = shaped_sac.sample(config, jax.random.key(1), state, Sources(DATA))
    assert state.model is not None
    found = shaped_sac.predict(config, state.model, history)
    bound = (found.mean - 2 * found.std)[:, -1, shaped_sac.REWARD]
    high, low = bound + 1, bound - 1
    for reward, expected in ((high, high - 0.4 - 0.1), (low, low - 0.1)):
        shaped = shaped_sac.shaped_reward(config, state.model, history, reward)
        np.testing.assert_allclose(shaped, expected, atol=1e-5)


def test_a_prediction_does_not_see_its_own_reward_but_those_before():
    config = shaped_sac.Config(**SMALL, model="frozen")
    state = state_of(config)
    _, history = shaped_sac.sample(config, jax.random.key(1), state, Sources(DATA))
    assert state.model is not None
    before = shaped_sac.predict(config, state.model, history)
    other = history._replace(reward=history.reward.at[:, 2].add(1))
    after = shaped_sac.predict(config, state.model, other)
    np.testing.assert_array_equal(before.mean[:, :3], after.mean[:, :3])
    assert (before.mean[:, 3] != after.mean[:, 3]).any()


@pytest.mark.slow
def test_the_transformer_learns_that_the_reward_is_the_first_action():
    data = DATA._replace(reward=DATA.action[:, 0])
    small = {**SMALL, "model_batch_size": 32, "embed_dim": 32}
    config = shaped_sac.Config(**small, model="learning", dropout=0.0, model_learning_rate=3e-3)
    state = shaped_sac.init(config, jax.random.key(0), rlp.testing.SPEC, data.statistics)

    def body(state: Any, key: jax.Array) -> tuple[Any, None]:
        sample_key, update_key = jax.random.split(key)
        batch = shaped_sac.sample_for_model(config, sample_key, state, Sources(data))
        return shaped_sac.update_model(config, state, jnp.int32(0), update_key, batch)[0], None

    keys = jax.random.split(jax.random.key(1), 600)
    state, _ = jax.jit(lambda state: jax.lax.scan(body, state, keys))(state)
    _, history = shaped_sac.sample_histories(Sources(data), jax.random.key(2), 64, 4)
    found = shaped_sac.predict(config, state.model, history, slice(-1, None))
    mean, std = (x[:, 0, shaped_sac.REWARD] for x in found)
    error = jnp.sqrt(jnp.mean(jnp.square(mean - history.action[:, -1, 0])))
    assert error < 0.2  # of a standard deviation of 0.6
    assert jnp.mean(std) < 0.2
