"""IQL against the authors' code (complete updates) and CORL's (its losses and gradients)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import iql
from rlp.algos.iql import Config, State
from rlp.nn import optim
from rlp.nn.distributions import normal_log_prob
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


def read_config(vectors: Any) -> Config:
    hp = {name[3:]: vectors[name].item() for name in vectors if name.startswith("hp_")}
    return Config(
        num_updates=hp["max_steps"],
        hidden_dims=read_hidden_dims(vectors, "init_v"),
        actor_learning_rate=hp["actor_lr"],
        value_learning_rate=hp["v_lr"],
        critic_learning_rate=hp["q_lr"],
        discount=hp["discount"],
        tau=hp["tau"],
        expectile=hp["iql_tau"],
        temperature=hp["beta"],
    )


def read_actor(vectors: Any, prefix: str) -> Any:
    log_std = jnp.asarray(vectors[f"{prefix}actor_log_std"], jnp.float32)
    return {"mlp": read_mlp(vectors, f"{prefix}actor"), "log_std": log_std}


def test_the_authors_updates(golden: Callable[[str], Any]):
    vectors = golden("iql")
    config = read_config(vectors)
    actor, value = read_actor(vectors, "init_"), read_mlp(vectors, "init_v")
    critic = read_critics(vectors, "init_")
    state = State(
        actor, value, critic, read_critics(vectors, "init_", "t"),
        optim.adam(config.actor_learning_rate).init(actor),
        optim.adam(config.value_learning_rate).init(value),
        optim.adam(config.critic_learning_rate).init(critic),
    )  # fmt: skip
    update = jax.jit(iql.update)
    for step in range(num_steps(vectors, "official_step{}_adv")):
        state, metrics = update(
            config,
            state,
            jnp.int32(step),
            jax.random.key(0),
            read_transition(vectors, f"step{step}_"),
        )
        prefix = f"official_step{step}_"
        for name in ("value_loss", "critic_loss", "actor_loss"):
            np.testing.assert_allclose(metrics[name], vectors[prefix + name], **CLOSE)
        advantage = vectors[f"{prefix}adv"].mean()
        np.testing.assert_allclose(metrics["advantage"], advantage, **CLOSE)
        after = f"{prefix}after_"
        assert_mlp_close(state.actor["mlp"], vectors, f"{after}actor", atol=1e-5)
        np.testing.assert_allclose(
            state.actor["log_std"], vectors[f"{after}actor_log_std"], atol=1e-5
        )
        assert_mlp_close(state.value, vectors, f"{after}v", atol=1e-5)
        assert_critics_close(state.critic, vectors, after, atol=1e-5)
        assert_critics_close(state.target_critic, vectors, after, "t", atol=1e-5)


def test_corls_losses_and_gradients(golden: Callable[[str], Any]):
    """CORL takes all values from before the update, and half our sum of the critics' losses."""
    vectors = golden("iql")
    config = read_config(vectors)
    before = "init_"
    for step in range(num_steps(vectors, "step{}_adv")):
        prefix = f"step{step}_"

        def read(name: str, prefix: str = prefix) -> jax.Array:
            return jnp.asarray(vectors[prefix + name], jnp.float32)

        batch, after = read_transition(vectors, f"step{step}_"), f"{prefix}after_"
        actor, value = read_actor(vectors, before), read_mlp(vectors, f"{before}v")
        critic, target = read_critics(vectors, before), read_critics(vectors, before, "t")
        target_q = jnp.min(iql._q(config, target, batch), axis=0)
        np.testing.assert_allclose(target_q, read("target_q"), **CLOSE)
        v = iql._value(config, value, batch.observation)
        np.testing.assert_allclose(v, read("v_old"), **CLOSE)
        next_v = iql._value(config, value, batch.next_observation)
        np.testing.assert_allclose(next_v, read("next_v_old"), **CLOSE)
        np.testing.assert_allclose(iql._weight(config, read("adv")), read("weights"), rtol=1e-5)
        log_prob = normal_log_prob(*iql._head(config, actor, batch.observation), batch.action)
        np.testing.assert_allclose(log_prob, read("action_log_prob"), **CLOSE)
        assert config.decay_actor_learning_rate
        decay = optim.cosine_decay(jnp.int32(step), config.num_updates)
        np.testing.assert_allclose(
            config.actor_learning_rate * decay, read("actor_lr_used"), rtol=1e-5
        )

        grads, metrics = jax.grad(iql._value_loss, has_aux=True)(value, config, batch, target_q)
        np.testing.assert_allclose(metrics["value_loss"], read("value_loss"), **CLOSE)
        assert_mlp_close(grads, vectors, f"{prefix}grad_v", **CLOSE)
        grads, metrics = jax.grad(iql._actor_loss, has_aux=True)(actor, config, batch, read("adv"))
        np.testing.assert_allclose(metrics["actor_loss"], read("actor_loss"), **CLOSE)
        assert_mlp_close(grads["mlp"], vectors, f"{prefix}grad_actor", rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            grads["log_std"], read("grad_actor_log_std"), rtol=1e-4, atol=1e-5
        )
        grads, metrics = jax.grad(iql._critic_loss, has_aux=True)(
            critic, config, batch, read("td_target")
        )
        np.testing.assert_allclose(metrics["critic_loss"], 2 * read("q_loss"), **CLOSE)
        halves = jax.tree.map(lambda leaf: leaf / 2, grads)
        assert_critics_close(halves, vectors, f"{prefix}grad_", **CLOSE)
        before = after


@pytest.mark.parametrize("percent", [50, 70, 90])
def test_the_expectile_loss(golden: Callable[[str], Any], percent: int):
    vectors = golden("iql")
    difference = jnp.asarray(vectors["expectile_diff"], jnp.float32)

    def loss(difference: jax.Array) -> jax.Array:
        return jnp.mean(iql._expectile_loss(percent / 100, difference))

    value, grad = jax.value_and_grad(loss)(difference)
    np.testing.assert_allclose(value, vectors[f"expectile_loss_{percent}"], **CLOSE)
    np.testing.assert_allclose(grad, vectors[f"expectile_grad_{percent}"], **CLOSE)


@pytest.mark.parametrize("temperature", [0.5, 3.0, 10.0])
def test_the_weights(golden: Callable[[str], Any], temperature: float):
    vectors = golden("iql")
    weight = iql._weight(
        Config(temperature=temperature), jnp.asarray(vectors["weight_adv"], jnp.float32)
    )
    name = f"weight_beta{temperature}".replace(".", "p")
    np.testing.assert_allclose(weight, vectors[name], rtol=1e-5)
