import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import cql, sac
from rlp.algos.cql import Batch, Config, Noise, State
from rlp.data.dataset import make_dataset, unit_normalizer
from rlp.data.episodes import EpisodeSet
from rlp.errors import InputError
from rlp.types import UNKNOWN, Sources, Transition, vectors
from tests import probes
from tests.probes import bandit, chain
from tests.rounding import of_sums


def learn(data: EpisodeSet, num_updates: int, **setting: Any) -> tuple[Config, State]:
    config = Config(
        **{
            "batch_size": 64, "hidden_dims": (32,), "tau": 0.05,
            "actor_learning_rate": 3e-3, "critic_learning_rate": 3e-3,
            "num_actions": 0, "bc_updates": 0, **setting,
        }
    )  # fmt: skip
    return config, probes.learn(cql, config, data, num_updates)[0]


def test_without_weight_the_penalty_changes_nothing():
    """CQL of weight 0 is SAC, with or without sampled actions."""
    data = chain(3, terminated=False)
    _, none = learn(data, 3)
    _, free = learn(data, 3, num_actions=4, cql_weight=0.0)
    chex.assert_trees_all_close(none.critic, free.critic, atol=1e-6)
    _, weighed = learn(data, 3, num_actions=4, cql_weight=1.0)
    with pytest.raises(AssertionError):
        chex.assert_trees_all_close(none.critic, weighed.critic, atol=1e-4)


def test_the_penalty_lowers_actions_that_are_not_in_the_data():
    """Actions near 0.5 in the data, all rewards alike: Q is higher there than elsewhere."""
    data = bandit(np.random.default_rng(0).uniform(0.4, 0.6, (200, 1)), np.ones(200))
    config, state = learn(data, 500, num_actions=10, cql_weight=1.0)
    action = jnp.array([[[0.5], [-0.5]]])
    inside, outside = cql._q(config, state.critic, jnp.ones(()), jnp.ones((1, 1)), action)[0, 0]
    assert inside > outside + 0.5


def test_the_penalty_of_some_states_is_that_of_a_smaller_batch():
    config = Config(hidden_dims=(8,), num_actions=2, num_penalised=16, batch_size=64)
    state = cql.init(config, jax.random.key(0), vectors(3, 2, 10), UNKNOWN)
    keys = jax.random.split(jax.random.key(1), 5)
    transition = Transition(
        jax.random.normal(keys[0], (64, 3)), jax.random.uniform(keys[1], (64, 2)),
        jnp.zeros(64), jnp.ones(64), jax.random.normal(keys[2], (64, 3)),
    )  # fmt: skip
    batch = Batch(transition, jnp.ones(()), jnp.zeros(64))
    _, metrics = jax.jit(cql.update)(config, state, jnp.int32(0), keys[3], batch)
    noise = Noise(*(jnp.zeros((size, 2, 2)) for size in (64, 64, 16, 16, 16)))
    small = Batch(jax.tree.map(lambda leaf: leaf[:16], transition), batch.bound, batch.floor[:16])
    penalty_grad = jax.jit(cql._penalty_grad)
    some, of_small = (penalty_grad(config, state, jnp.ones(()), x, noise) for x in (batch, small))
    chex.assert_trees_all_close(some, of_small, **of_sums(16 * 8))
    assert float(metrics["gap"]) == pytest.approx(float(some[1].mean()), rel=0.2)  # other actions


def test_the_actor_finds_the_best_action_and_keeps_its_entropy():
    action = np.random.default_rng(0).uniform(-1, 1, (500, 1))
    data = bandit(action, -10 * (action[:, 0] - 0.3) ** 2)
    config, state = learn(data, 3000, hidden_dims=(64, 64), target_entropy=-0.5)
    mean, _ = cql._head(config, state.actor, jnp.ones((1, 1)))
    assert float(jnp.tanh(mean[0, 0])) == pytest.approx(0.3, abs=0.1)
    _, log_prob = sac.sample_actions(
        cql._head(config, state.actor, jnp.ones((1, 1))),
        jax.random.normal(jax.random.key(0), (1, 2000, 1)),
    )
    assert float(-log_prob.mean()) == pytest.approx(-0.5, abs=0.2)


def test_bounded_critics_stay_within_what_rewards_allow():
    """Critics that start too high stay there by themselves, but not where they are bounded."""
    data = chain(3, terminated=False)
    free = Config(hidden_dims=(32,), batch_size=64, discount=0.5)
    bounded = dataclasses.replace(free, bound_q=True)
    state = cql.init(free, jax.random.key(0), vectors(4, 1, 10), UNKNOWN)
    raised = jax.tree.map(lambda leaf: leaf + 1, state.critic)
    state = state._replace(critic=raised, target_critic=raised)
    batch = cql.sample(
        free, jax.random.key(1), state, Sources(make_dataset(data, unit_normalizer(4)))
    )
    assert float(batch.bound) == 2

    def highest(config: Config) -> tuple[float, float]:
        backup = cql._backup(config, state, jnp.ones(()), batch, jnp.zeros((64, 1)))
        _, metrics = cql._critic_loss(state.critic, config, batch.bound, batch.transition, backup)
        return float(metrics["max_q"]), float(backup.max())

    assert min(highest(free)) > 10
    np.testing.assert_allclose(highest(bounded), 2, rtol=1e-5)


def test_the_warm_up_clones_the_data():
    action = np.full((100, 1), -0.7)
    config, state = learn(bandit(action, np.zeros(100)), 1000, bc_updates=1000, alpha=0.01)
    mean, _ = cql._head(config, state.actor, jnp.ones((1, 1)))
    assert float(jnp.tanh(mean[0, 0])) == pytest.approx(-0.7, abs=0.05)


def test_an_actor_that_would_clone_to_the_end_is_refused():
    for num_updates in (100, 101):
        config = Config(hidden_dims=(8,), num_updates=num_updates, bc_updates=100)
        if num_updates == 101:
            cql.init(config, jax.random.key(0), vectors(4, 1, 10), UNKNOWN)
        else:
            with pytest.raises(InputError, match="--bc_updates=100: Q would never move the actor"):
                cql.init(config, jax.random.key(0), vectors(4, 1, 10), UNKNOWN)


def test_cloning_beside_q_is_that_of_td3_bc():
    """Without entropy the loss is TD3+BC's, times mean |Q| / alpha; weight 0 is the authors'."""
    keys = jax.random.split(jax.random.key(0), 3)
    observation = jax.random.normal(keys[0], (64, 3))
    transition = Transition(
        observation, jax.random.uniform(keys[1], (64, 2), minval=-1), jnp.zeros(64), jnp.ones(64),
        observation,
    )  # fmt: skip
    batch, noise = Batch(transition, jnp.ones(()), jnp.zeros(64)), jnp.zeros((64, 2))
    config = Config(hidden_dims=(8,), actor_bc=0.4)
    state = cql.init(config, keys[2], vectors(3, 2, 10), UNKNOWN)

    def loss(config: Config, critic: Any) -> tuple[jax.Array, Any]:
        arguments = config, critic, jnp.zeros(()), False, batch.bound, transition, noise
        return cql._actor_loss(state.actor, *arguments)

    action = jnp.tanh(cql._head(config, state.actor, observation)[0])
    q = cql._q(config, state.critic, batch.bound, observation, action[:, None]).min(axis=0)
    error = jnp.mean(jnp.square(action - transition.action))
    of_td3_bc = error - 2.5 / jnp.abs(q).mean() * q.mean()
    found, metrics = loss(config, state.critic)
    assert found == pytest.approx(float(jnp.abs(q).mean() / 2.5 * of_td3_bc), rel=1e-4)
    assert metrics["error"] == pytest.approx(float(error), rel=1e-4)
    alone, _ = loss(dataclasses.replace(config, actor_bc=0.0), state.critic)
    assert alone == pytest.approx(-float(q.mean()), rel=1e-4)


def test_the_q_filter_clones_what_q_prefers_to_the_policy():
    """Q grows with the action: of the data's actions those above the policy's are cloned."""
    transition = Transition(
        jnp.zeros((2, 3)), jnp.array([[0.9, 0.9], [-0.9, -0.9]]), jnp.zeros(2), jnp.ones(2),
        jnp.zeros((2, 3)),
    )  # fmt: skip
    keys = jax.random.split(jax.random.key(0))
    config = Config(hidden_dims=(8,), actor_bc=1.0, q_filter=True)
    state = cql.init(config, keys[0], vectors(3, 2, 10), UNKNOWN)

    def grows(*arguments: Any) -> jax.Array:
        return jnp.sum(arguments[-1], axis=-1)[None]  # [E, B, N]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cql, "_q", grows)
        arguments = config, None, jnp.zeros(()), False, jnp.ones(()), transition
        _, metrics = cql._actor_loss(state.actor, *arguments, jnp.zeros((2, 2)))
    action = jnp.tanh(cql._head(config, state.actor, transition.observation)[0])
    assert metrics["error"] == pytest.approx(
        float(jnp.square(action[0] - 0.9).mean() / 2), rel=1e-4
    )


def test_calibrated_q_is_not_lowered_below_what_the_data_gets():
    """Above every Q of the policy, the floor takes its actions from the gradient; below none."""
    config = Config(hidden_dims=(8,), num_actions=2, calibrate=True, clip_gap_min=-1e9)
    keys = jax.random.split(jax.random.key(0), 5)
    transition = Transition(
        jax.random.normal(keys[0], (16, 3)), jax.random.uniform(keys[1], (16, 2)),
        jnp.zeros(16), jnp.ones(16), jax.random.normal(keys[2], (16, 3)),
    )  # fmt: skip
    state = cql.init(config, keys[3], vectors(3, 2, 10), UNKNOWN)
    actions = jax.random.uniform(keys[4], (16, 6, 2), minval=-1)
    log_probs = jnp.zeros((16, 6))

    def gap(config: Config, floor: float) -> np.ndarray:
        _, metrics = cql._penalty_loss(
            state.critic, config, jnp.ones(()), jnp.ones(()), transition,
            jnp.full(16, floor), actions, log_probs,
        )  # fmt: skip
        return np.asarray(metrics["gap"])

    plain = gap(dataclasses.replace(config, calibrate=False), 0.0)
    np.testing.assert_allclose(gap(config, -jnp.inf), plain, rtol=1e-6)
    q = cql._q(
        config, state.critic, jnp.ones(()), transition.observation,
        jnp.concatenate([transition.action[:, None], actions], axis=1),
    )  # fmt: skip
    of_uniform = jnp.exp(q[..., 1:3]).sum(axis=-1)
    expected = jnp.log(of_uniform + 4 * jnp.exp(50.0)) - q[..., 0]
    np.testing.assert_allclose(gap(config, 50.0), expected.mean(axis=1), rtol=1e-5)


def test_with_much_cloning_the_actor_keeps_to_the_data():
    """The reward grows with the action, of which the data has -0.5 and a little more."""
    action = np.random.default_rng(0).uniform(-0.6, -0.4, (500, 1))
    data = bandit(action, 5 * action[:, 0])

    def learned(actor_bc: float) -> float:
        config, state = learn(data, 1000, actor_bc=actor_bc)
        return probes.act(cql, config, state)

    assert learned(0.0) > 0.3
    assert learned(100.0) == pytest.approx(-0.5, abs=0.1)


def test_the_acting_actor_is_an_average_of_those_before():
    action = np.random.default_rng(0).uniform(-1, 1, (50, 1))
    data = bandit(action, action[:, 0])
    _, before = learn(data, 1, actor_tau=0.25)
    config, after = learn(data, 2, actor_tau=0.25)
    expected = jax.tree.map(lambda a, b: 0.75 * a + 0.25 * b, before.average_actor, after.actor)
    acting = cql.actor(config, after)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), acting, expected)
