from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp import population
from rlp.algos import cqlsac
from rlp.algos.cqlsac import Config, Noise, State
from rlp.data.dataset import make_dataset, unit_normalizer
from rlp.data.episodes import Episode, EpisodeSet
from rlp.optim import adam
from rlp.types import NEVER, Spec, Transition
from tests.vectors import assert_mlp_close, read_mlp

CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}


@pytest.mark.golden
@pytest.mark.parametrize("case", ["is_t1", "is_t2", "nois_t1", "nois_t2", "clip", "lagrange"])
def test_penalties(golden: Callable[[str], Any], case: str):
    vectors = golden("cql")
    weight = float(vectors["pen_min_q_weight"])
    config = Config(
        cql_weight=weight,
        importance_sampling="nois" not in case,
        cql_temperature=2 if case.endswith("t2") else 1,
        lagrange=case == "lagrange",
        target_gap=weight * float(vectors["pen_target_action_gap"]),
        clip_gap_min=float(vectors["pen_clip_diff_min"]) if case == "clip" else -1e9,
        clip_gap_max=float(vectors["pen_clip_diff_max"]) if case == "clip" else 1e9,
    )
    _check_penalty(vectors, f"pen_{case}_", config)


@pytest.mark.golden
@pytest.mark.parametrize("case", ["is_t1", "is_t2", "nois_t1", "nois_t2", "lagrange"])
def test_penalties_of_the_official_code(golden: Callable[[str], Any], case: str):
    vectors = golden("cql")
    if f"pen_official_{case}_penalty" not in vectors:
        pytest.skip(f"no pen_official_{case} in these vectors")
    config = Config(
        cql_weight=float(vectors["pen_min_q_weight"]),
        importance_sampling="nois" not in case,
        cql_temperature=2 if case.endswith("t2") else 1,
        lagrange=case == "lagrange",
        target_gap=float(vectors["pen_target_action_gap"]),
    )
    _check_penalty(vectors, f"pen_official_{case}_", config)


def _check_penalty(vectors: Any, prefix: str, config: Config) -> None:
    names = ("q_rand", "q_cur", "q_next", "q_data", "logp_cur", "logp_next")
    rand, cur, following, data, *log_probs = (
        jnp.asarray(vectors[f"pen_{name}"], jnp.float32) for name in names
    )
    uniform = jnp.full_like(log_probs[0], -int(vectors["pen_action_dim"]) * np.log(2))
    log_prob = jnp.concatenate([uniform, *log_probs], axis=1)
    log_alpha_prime = 1.0 if config.lagrange else 0.0

    def penalties(rand: jax.Array, cur: jax.Array, following: jax.Array, data: jax.Array) -> Any:
        q = jnp.concatenate([rand, cur, following], axis=-1)
        gap = cqlsac._gap(config, data, q, log_prob).mean(axis=1)
        alpha_prime = cqlsac._alpha_prime(jnp.float32(log_alpha_prime))
        penalty = cqlsac._penalty(config, alpha_prime, gap)
        return penalty.sum(), (penalty, gap)

    q = (rand, cur, following, data)
    gradient = jax.jit(jax.grad(penalties, argnums=(0, 1, 2, 3), has_aux=True))
    grads, (penalty, gap) = gradient(*q)
    tolerance: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-4}
    np.testing.assert_allclose(penalty, vectors[f"{prefix}penalty"], **tolerance)
    if f"{prefix}diff" in vectors:
        np.testing.assert_allclose(gap, vectors[f"{prefix}diff"], **tolerance)
    for grad, name in zip(grads, ("q_rand", "q_cur", "q_next", "q_data"), strict=True):
        np.testing.assert_allclose(grad, vectors[f"{prefix}dpenalty_d{name}"], **tolerance)
    if config.lagrange:
        loss, grad = jax.value_and_grad(cqlsac._alpha_prime_loss)(
            jnp.float32(log_alpha_prime), config, gap
        )
        np.testing.assert_allclose(loss, vectors[f"{prefix}alpha_prime_loss"], **tolerance)
        expected = vectors[f"{prefix}dalphaprimeloss_dlogalphaprime"]
        np.testing.assert_allclose(grad, expected, **tolerance)


def read_networks(vectors: Any, prefix: str, suffix: str = "") -> Any:
    critics = [read_mlp(vectors, f"{prefix}q{i}{suffix}") for i in (1, 2)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *critics)


def assert_networks_close(actual: Any, vectors: Any, prefix: str, suffix: str = "") -> None:
    for i in (1, 2):
        critic = jax.tree.map(lambda leaf, i=i: leaf[i - 1], actual)
        assert_mlp_close(critic, vectors, f"{prefix}q{i}{suffix}", atol=1e-5, rtol=1e-5)


def read_actor(vectors: Any, prefix: str) -> Any:
    names = ("log_std_multiplier", "log_std_offset")
    scalars = {name: jnp.float32(vectors[prefix + name]) for name in names}
    return {"mlp": read_mlp(vectors, f"{prefix}actor"), **scalars}


def read_config(vectors: Any, case: str, action_dim: int) -> Config:
    def hp(name: str, default: Any) -> Any:
        key = f"{case}_hp_{name}"
        return vectors[key].item() if key in vectors else default

    return Config(
        hidden_dims=tuple(vectors[f"{case}_init_q1_w{i}"].shape[1] for i in range(2)),
        actor_rate=hp("policy_lr", None),
        critic_rate=hp("qf_lr", None),
        discount=hp("discount", None),
        tau=hp("soft_target_update_rate", None),
        alpha_multiplier=hp("alpha_multiplier", 1.0),
        target_entropy=hp("target_entropy", None) / action_dim,
        backup_entropy=hp("backup_entropy", False),
        learn_log_std_scale=hp("learn_scalars", False),
        num_actions=hp("cql_n_actions", None),
        cql_weight=hp("cql_alpha", None),
        cql_temperature=hp("cql_temp", 1.0),
        importance_sampling=hp("cql_importance_sample", True),
        max_target_backup=hp("cql_max_target_backup", False),
        lagrange=hp("cql_lagrange", False),
        target_gap=hp("cql_target_action_gap", 0.0) * hp("cql_alpha", None),  # CORL's threshold
    )


@pytest.mark.golden
@pytest.mark.parametrize("case", ["base", "corl", "lagr"])
def test_complete_runs(golden: Callable[[str], Any], case: str):
    vectors = golden("cql")
    config = read_config(vectors, case, vectors[f"{case}_step0_actions"].shape[1])
    actor = read_actor(vectors, f"{case}_init_")
    critic = read_networks(vectors, f"{case}_init_")
    log_alpha, log_alpha_prime = (
        jnp.float32(vectors[f"{case}_init_{name}"]) for name in ("log_alpha", "log_alpha_prime")
    )
    actor_tx, critic_tx = adam(config.actor_rate), adam(config.critic_rate)
    state = State(
        actor, critic, read_networks(vectors, f"{case}_init_", "t"), log_alpha, log_alpha_prime,
        actor_tx.init(actor), critic_tx.init(critic),
        actor_tx.init(log_alpha), critic_tx.init(log_alpha_prime),
    )  # fmt: skip
    num_steps = sum(
        name.startswith(f"{case}_step") and name.endswith("_td_target") for name in vectors
    )
    assert num_steps > 0
    update, find_backup = jax.jit(cqlsac._update), jax.jit(cqlsac._backup)
    critic_gradient = jax.jit(jax.grad(cqlsac._critic_loss, has_aux=True))
    penalty_gradient = jax.jit(cqlsac._penalty_grad)
    actor_gradient = jax.jit(jax.grad(cqlsac._actor_loss, has_aux=True))
    for step in range(num_steps):
        prefix = f"{case}_step{step}_"

        def read(name: str, prefix: str = prefix) -> jax.Array:
            return jnp.asarray(vectors[prefix + name], jnp.float32)

        batch = Transition(
            read("observations"), read("actions"), read("rewards")[:, 0],
            1 - read("dones")[:, 0], read("next_observations"),
        )  # fmt: skip
        noise = Noise(
            read("noise_pi"), read("noise_next_backup"),
            read("uniform_cql"), read("noise_cql_current"), read("noise_cql_next"),
        )  # fmt: skip
        alpha = config.alpha_multiplier * jnp.exp(state.log_alpha)
        backup = find_backup(config, state, alpha, batch, noise.backup)
        np.testing.assert_allclose(backup, read("td_target"), **CLOSE)
        alpha_prime = cqlsac._alpha_prime(state.log_alpha_prime)
        bellman_grads, _ = critic_gradient(state.critic, config, batch, backup)
        penalty_grads, gap = penalty_gradient(config, state, alpha_prime, batch, noise)
        critic_grads = jax.tree.map(jnp.add, bellman_grads, penalty_grads)
        assert_networks_close(critic_grads, vectors, f"{prefix}grad_")
        actor_grads, _ = actor_gradient(
            state.actor, config, state.critic, alpha, jnp.int32(step), batch, noise.policy
        )
        assert_mlp_close(actor_grads["mlp"], vectors, f"{prefix}grad_actor", rtol=1e-5, atol=1e-5)
        for name in ("log_std_multiplier", "log_std_offset"):
            if config.learn_log_std_scale:
                np.testing.assert_allclose(actor_grads[name], read(f"grad_actor_{name}"), **CLOSE)
            else:
                assert float(actor_grads[name]) == 0
        np.testing.assert_allclose(gap, [read("cql_qf1_diff"), read("cql_qf2_diff")], **CLOSE)

        state, metrics = update(config, state, jnp.int32(step), batch, noise)
        for ours, theirs in (
            ("actor_loss", "policy_loss"), ("alpha_loss", "alpha_loss"), ("alpha", "alpha"),
            ("log_prob", "log_pi"),
        ):  # fmt: skip
            np.testing.assert_allclose(metrics[ours], read(theirs), **CLOSE)
        expected = read("qf1_loss") + read("qf2_loss")
        np.testing.assert_allclose(metrics["critic_loss"], expected, **CLOSE)
        assert_mlp_close(state.actor["mlp"], vectors, f"{prefix}after_actor", atol=1e-5)
        assert_networks_close(state.critic, vectors, f"{prefix}after_")
        assert_networks_close(state.target_critic, vectors, f"{prefix}after_", "t")
        scalars = {**state._asdict(), **state.actor}
        for name in ("log_alpha", "log_alpha_prime", "log_std_multiplier", "log_std_offset"):
            np.testing.assert_allclose(scalars[name], read(f"after_{name}"), atol=1e-5)


def chain(length: int, terminated: bool, reward_last_only: bool) -> EpisodeSet:
    """Episodes of `length` steps through numbered one-hot states; actions are random."""
    rng = np.random.default_rng(0)
    observation = np.eye(length + 1, dtype=np.float32)
    reward = np.ones(length, np.float32)
    if reward_last_only:
        reward[:-1] = 0
    made = [
        Episode(observation, rng.uniform(-1, 1, (length, 1)).astype(np.float32), reward, terminated)
        for _ in range(50)
    ]
    return EpisodeSet("chain", "", made)


def bandit(action: np.ndarray, reward: np.ndarray, terminated: bool = True) -> EpisodeSet:
    """Episodes of one step in one state, with the given actions [N, 1] and rewards [N]."""
    one = np.ones((2, 1), np.float32)
    made = [
        Episode(one, a[None].astype(np.float32), np.array([r], np.float32), terminated)
        for a, r in zip(action, reward, strict=True)
    ]
    return EpisodeSet("bandit", "", made)


def learn(data: EpisodeSet, num_updates: int, **setting: Any) -> tuple[Config, State, Any]:
    config = Config(
        **{
            "batch_size": 64, "hidden_dims": (32,), "actor_rate": 3e-3, "critic_rate": 3e-3,
            "tau": 0.05, "num_actions": 0, **setting,
        }
    )  # fmt: skip
    width = data.episodes[0].observation.shape[1]
    dataset = make_dataset(data, unit_normalizer(width))
    members = population.init(cqlsac, [config], [0], Spec(width, 1, 10))
    states, metrics, alarms = population.train(
        cqlsac, num_updates, members.configs, members.keys, members.states, dataset, jnp.int32(0)
    )
    return config, jax.tree.map(lambda leaf: leaf[0], states), (metrics, alarms)


def values(config: Config, state: State, observation: Any) -> np.ndarray:
    action = jnp.zeros((len(observation), 1, 1))
    return np.asarray(cqlsac._q(config, state.critic, jnp.asarray(observation), action)[0, :, 0])


def test_the_value_of_a_step_before_a_reward_is_the_discount():
    config, state, _ = learn(chain(2, True, True), 1500, discount=0.8)
    q = values(config, state, np.eye(3, dtype=np.float32)[:2])
    np.testing.assert_allclose(q, [0.8, 1.0], atol=0.03)


@pytest.mark.parametrize(("terminated", "value"), [(False, 10.0), (True, 1.0)])
def test_a_time_limit_bootstraps_and_a_termination_does_not(terminated: bool, value: float):
    """One state for ever, reward 1: worth 1 / (1 - discount) unless it really ends."""
    action = np.random.default_rng(0).uniform(-1, 1, (200, 1))
    data = bandit(action, np.ones(200), terminated)
    config, state, _ = learn(data, 1500, discount=0.9, critic_rate=1e-2)
    assert values(config, state, np.ones((1, 1), np.float32))[0] == pytest.approx(value, rel=0.05)


def test_q_above_its_bound_raises_the_alarm():
    data = chain(2, True, True)
    _, _, (_, alarms) = learn(data, 5, discount=0.5)
    assert alarms["max_q above its bound"][0] == NEVER
    _, _, (_, alarms) = learn(data, 5, discount=0.5, reward_scale=1e-6)
    assert alarms["max_q above its bound"][0] < 5


def test_without_weight_the_penalty_changes_nothing():
    """CQL of weight 0 is SAC, with or without sampled actions."""
    data = chain(3, False, False)
    _, sac, _ = learn(data, 3)
    _, cql, _ = learn(data, 3, num_actions=4, cql_weight=0.0)
    chex.assert_trees_all_close(sac.critic, cql.critic, atol=1e-6)
    _, cql, _ = learn(data, 3, num_actions=4, cql_weight=1.0)
    with pytest.raises(AssertionError):
        chex.assert_trees_all_close(sac.critic, cql.critic, atol=1e-4)


def test_the_penalty_lowers_actions_that_are_not_in_the_data():
    """Actions near 0.5 in the data, all rewards alike: Q is higher there than elsewhere."""
    data = bandit(np.random.default_rng(0).uniform(0.4, 0.6, (200, 1)), np.ones(200))
    config, state, _ = learn(data, 500, num_actions=10, cql_weight=1.0)
    action = jnp.array([[[0.5], [-0.5]]])
    inside, outside = cqlsac._q(config, state.critic, jnp.ones((1, 1)), action)[0, 0]
    assert inside > outside + 0.5


def test_the_penalty_of_some_states_is_that_of_a_smaller_batch():
    config = Config(hidden_dims=(8,), num_actions=2, num_penalised=16, batch_size=64)
    state = cqlsac.init(config, jax.random.key(0), Spec(3, 2, 10))
    keys = jax.random.split(jax.random.key(1), 5)
    batch = Transition(
        jax.random.normal(keys[0], (64, 3)), jax.random.uniform(keys[1], (64, 2)),
        jnp.zeros(64), jnp.ones(64), jax.random.normal(keys[2], (64, 3)),
    )  # fmt: skip
    _, metrics = cqlsac.update(config, state, jnp.int32(0), keys[3], batch)
    noise = Noise(*(jnp.zeros((size, 2, 2)) for size in (64, 64, 16, 16, 16)))
    small = jax.tree.map(lambda leaf: leaf[:16], batch)
    one = jnp.ones(())
    some, gap = cqlsac._penalty_grad(config, state, one, batch, noise)
    chex.assert_trees_all_close(
        (some, gap), cqlsac._penalty_grad(config, state, one, small, noise), rtol=1e-5
    )
    assert float(metrics["gap"]) == pytest.approx(float(gap.mean()), rel=0.2)  # other actions


def test_the_actor_finds_the_best_action_and_keeps_its_entropy():
    action = np.random.default_rng(0).uniform(-1, 1, (500, 1))
    data = bandit(action, -10 * (action[:, 0] - 0.3) ** 2)
    config, state, _ = learn(data, 3000, hidden_dims=(64, 64), target_entropy=-0.5)
    mean, _ = cqlsac._head(config, state.actor, jnp.ones((1, 1)))
    assert float(jnp.tanh(mean[0, 0])) == pytest.approx(0.3, abs=0.1)
    _, log_prob = cqlsac._sample(
        config, state.actor, jnp.ones((1, 1)), jax.random.normal(jax.random.key(0), (1, 2000, 1))
    )
    assert float(-log_prob.mean()) == pytest.approx(-0.5, abs=0.2)


def test_the_warm_up_clones_the_data():
    action = np.full((100, 1), -0.7)
    config, state, _ = learn(bandit(action, np.zeros(100)), 1000, bc_updates=1000, alpha=0.01)
    mean, _ = cqlsac._head(config, state.actor, jnp.ones((1, 1)))
    assert float(jnp.tanh(mean[0, 0])) == pytest.approx(-0.7, abs=0.05)
