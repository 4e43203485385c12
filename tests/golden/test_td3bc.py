"""TD3+BC against CORL's: complete updates, two of them with a step of the actor."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import td3, td3bc
from rlp.algos.td3bc import Config, Noise, State
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


def test_complete_updates(golden: Callable[[str], Any]):
    vectors = golden("td3_bc")
    hp = {name[3:]: vectors[name].item() for name in vectors if name.startswith("hp_")}
    assert hp["max_action"] == 1
    actor, target_actor = (read_mlp(vectors, f"init_{name}") for name in ("actor", "actort"))
    config = Config(
        hidden_dims=read_hidden_dims(vectors, "init_actor"),
        actor_learning_rate=hp["actor_lr"],
        critic_learning_rate=hp["critic_lr"],
        discount=hp["discount"],
        tau=hp["tau"],
        policy_noise=hp["policy_noise"],
        noise_clip=hp["noise_clip"],
        policy_every=int(hp["policy_freq"]),
        alpha=hp["alpha"],
    )
    critic, target_critic = read_critics(vectors, "init_"), read_critics(vectors, "init_", "t")
    state = State(
        actor, target_actor, critic, target_critic,
        adam(config.actor_learning_rate).init(actor),
        adam(config.critic_learning_rate).init(critic),
    )  # fmt: skip
    update = jax.jit(td3bc._update)
    for step in range(num_steps(vectors, "step{}_td_target")):
        prefix = f"step{step}_"

        def read(name: str, prefix: str = prefix) -> jax.Array:
            return jnp.asarray(vectors[prefix + name], jnp.float32)

        batch = read_transition(vectors, prefix)
        noise = Noise(read("noise"))
        backup = td3bc._backup(config, state, batch, noise)
        np.testing.assert_allclose(backup, read("td_target")[:, 0], **CLOSE)
        q = td3.q_values(config, state.critic, batch.observation, batch.action)
        np.testing.assert_allclose(q[0], read("q1_pred")[:, 0], **CLOSE)
        np.testing.assert_allclose(q[1], read("q2_pred")[:, 0], **CLOSE)
        grads, _ = jax.grad(td3.critic_loss, has_aux=True)(state.critic, config, batch, backup)
        assert_critics_close(grads, vectors, f"{prefix}grad_", **CLOSE)

        before = state
        state, metrics = update(config, state, jnp.int32(step), batch, noise)
        np.testing.assert_allclose(metrics["critic_loss"], read("critic_loss"), **CLOSE)
        if f"{prefix}actor_loss" in vectors:
            action = td3.policy_action(config, before.actor, batch.observation)
            np.testing.assert_allclose(action, read("pi"), **CLOSE)
            loss = metrics["actor_loss"] / config.policy_every
            np.testing.assert_allclose(loss, read("actor_loss"), **CLOSE)
            grads, _ = jax.grad(td3bc._actor_loss, has_aux=True)(
                before.actor, config, state.critic, batch
            )
            assert_mlp_close(grads, vectors, f"{prefix}grad_actor", **CLOSE)
        after = f"{prefix}after_"
        assert_mlp_close(state.actor, vectors, f"{after}actor", atol=1e-5)
        assert_mlp_close(state.target_actor, vectors, f"{after}actort", atol=1e-5)
        assert_critics_close(state.critic, vectors, after, atol=1e-5)
        assert_critics_close(state.target_critic, vectors, after, "t", atol=1e-5)
