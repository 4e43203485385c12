"""CQL-SAC against CORL's (complete runs) and the authors' (penalties)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import conservative, cql
from rlp.algos.cql import Batch, Config, Noise, State
from rlp.nn.optim import adam
from tests.vectors import (
    assert_critics_close,
    assert_mlp_close,
    num_steps,
    read_critics,
    read_hidden_dims,
    read_mlp,
    read_transition,
)

pytestmark = pytest.mark.golden
CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}


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
        gap = conservative.gap(config, data, q, log_prob).mean(axis=1)
        alpha_prime = conservative.multiplier(jnp.float32(log_alpha_prime))
        penalty = conservative.penalty(config, alpha_prime, gap)
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
        loss, grad = jax.value_and_grad(conservative._multiplier_loss)(
            jnp.float32(log_alpha_prime), config, gap
        )
        np.testing.assert_allclose(loss, vectors[f"{prefix}alpha_prime_loss"], **tolerance)
        expected = vectors[f"{prefix}dalphaprimeloss_dlogalphaprime"]
        np.testing.assert_allclose(grad, expected, **tolerance)


def read_actor(vectors: Any, prefix: str) -> Any:
    names = ("log_std_multiplier", "log_std_offset")
    scalars = {name: jnp.float32(vectors[prefix + name]) for name in names}
    return {"mlp": read_mlp(vectors, f"{prefix}actor"), **scalars}


def read_config(vectors: Any, case: str, action_dim: int) -> Config:
    def hp(name: str, default: Any) -> Any:
        key = f"{case}_hp_{name}"
        return vectors[key].item() if key in vectors else default

    return Config(
        hidden_dims=read_hidden_dims(vectors, f"{case}_init_q1"),
        actor_learning_rate=hp("policy_lr", None),
        critic_learning_rate=hp("qf_lr", None),
        discount=hp("discount", None),
        tau=hp("soft_target_update_rate", None),
        alpha_multiplier=hp("alpha_multiplier", 1.0),
        target_entropy=hp("target_entropy", None) / action_dim,
        backup_entropy=hp("backup_entropy", False),
        log_std_min=-20.0,
        bc_updates=0,
        learn_log_std_scale=hp("learn_scalars", False),
        num_actions=hp("cql_n_actions", None),
        cql_weight=hp("cql_alpha", None),
        cql_temperature=hp("cql_temp", 1.0),
        importance_sampling=hp("cql_importance_sample", True),
        max_target_backup=hp("cql_max_target_backup", False),
        lagrange=hp("cql_lagrange", False),
        target_gap=hp("cql_target_action_gap", 0.0) * hp("cql_alpha", None),  # CORL's threshold
    )


@pytest.mark.parametrize("case", ["base", "corl", "lagr"])
def test_complete_runs(golden: Callable[[str], Any], case: str):
    vectors = golden("cql")
    config = read_config(vectors, case, vectors[f"{case}_step0_actions"].shape[1])
    actor = read_actor(vectors, f"{case}_init_")
    critic = read_critics(vectors, f"{case}_init_")
    log_alpha, log_alpha_prime = (
        jnp.float32(vectors[f"{case}_init_{name}"]) for name in ("log_alpha", "log_alpha_prime")
    )
    actor_tx, critic_tx = adam(config.actor_learning_rate), adam(config.critic_learning_rate)
    state = State(
        actor, actor, critic, read_critics(vectors, f"{case}_init_", "t"),
        log_alpha, log_alpha_prime,
        actor_tx.init(actor), critic_tx.init(critic),
        actor_tx.init(log_alpha), critic_tx.init(log_alpha_prime),
    )  # fmt: skip
    update, find_backup = jax.jit(cql._update), jax.jit(cql._backup)
    critic_gradient = jax.jit(jax.grad(cql._critic_loss, has_aux=True))
    penalty_gradient = jax.jit(cql._penalty_grad)
    actor_gradient = jax.jit(jax.grad(cql._actor_loss, has_aux=True), static_argnums=4)
    for step in range(num_steps(vectors, case + "_step{}_td_target")):
        prefix = f"{case}_step{step}_"

        def read(name: str, prefix: str = prefix) -> jax.Array:
            return jnp.asarray(vectors[prefix + name], jnp.float32)

        transition = read_transition(vectors, prefix)
        floor = jnp.full(len(transition.reward), -jnp.inf)
        batch = Batch(transition, jnp.float32(jnp.inf), floor)
        noise = Noise(
            read("noise_pi"), read("noise_next_backup"),
            read("uniform_cql"), read("noise_cql_current"), read("noise_cql_next"),
        )  # fmt: skip
        alpha = config.alpha_multiplier * jnp.exp(state.log_alpha)
        backup = find_backup(config, state, alpha, batch, noise.backup)
        np.testing.assert_allclose(backup, read("td_target"), **CLOSE)
        alpha_prime = conservative.multiplier(state.log_alpha_prime)
        bellman_grads, _ = critic_gradient(
            state.critic, config, batch.bound, batch.transition, backup
        )
        penalty_grads, gap = penalty_gradient(config, state, alpha_prime, batch, noise)
        critic_grads = jax.tree.map(jnp.add, bellman_grads, penalty_grads)
        assert_critics_close(critic_grads, vectors, f"{prefix}grad_", **CLOSE)
        actor_grads, _ = actor_gradient(
            state.actor,
            config,
            state.critic,
            alpha,
            False,
            batch.bound,
            batch.transition,
            noise.policy,
        )
        assert_mlp_close(actor_grads["mlp"], vectors, f"{prefix}grad_actor", rtol=1e-5, atol=1e-5)
        for name in ("log_std_multiplier", "log_std_offset"):
            if config.learn_log_std_scale:
                np.testing.assert_allclose(actor_grads[name], read(f"grad_actor_{name}"), **CLOSE)
            else:
                assert float(actor_grads[name]) == 0
        np.testing.assert_allclose(gap, [read("cql_qf1_diff"), read("cql_qf2_diff")], **CLOSE)

        state, metrics = update(config, state, batch, noise)
        for ours, theirs in (
            ("actor_loss", "policy_loss"), ("alpha_loss", "alpha_loss"), ("alpha", "alpha"),
            ("log_prob", "log_pi"),
        ):  # fmt: skip
            np.testing.assert_allclose(metrics[ours], read(theirs), **CLOSE)
        expected = read("qf1_loss") + read("qf2_loss")
        np.testing.assert_allclose(metrics["critic_loss"], expected, **CLOSE)
        assert_mlp_close(state.actor["mlp"], vectors, f"{prefix}after_actor", atol=1e-5)
        assert_critics_close(state.critic, vectors, f"{prefix}after_", **CLOSE)
        assert_critics_close(state.target_critic, vectors, f"{prefix}after_", "t", **CLOSE)
        scalars = {**state._asdict(), **state.actor}
        for name in ("log_alpha", "log_alpha_prime", "log_std_multiplier", "log_std_offset"):
            np.testing.assert_allclose(scalars[name], read(f"after_{name}"), atol=1e-5)
