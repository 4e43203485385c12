"""ReBRAC against its authors' code: complete updates, three of them with a step of the actor.

`rebrac.npz` has what `update_td3` and `update_td3_no_targets` of `src/algorithms/rebrac.py` give
(tinkoff-ai/ReBRAC 694385b, jax 0.10.2), run in float64 with their own networks of 3 layers of 8.
Packages that an update does not need were left out, weights and layer norms drawn at random, and
the stored noise is what their key gives. Names are those of the other vectors; a layer norm's scale
and bias are `_s0` and `_c0`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import rebrac
from rlp.algos.rebrac import Config, Noise, State
from rlp.nn.optim import adam
from rlp.types import Params, Sarsa
from tests.vectors import num_steps, read_hidden_dims, read_mlp, read_transition

pytestmark = pytest.mark.golden
CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}


def read_critics(vectors: Any, prefix: str, suffix: str = "") -> Params:
    """Returns the parameters of both critics, their layer norms too, [2, ...]."""
    critics = []
    for name in (f"{prefix}q1{suffix}", f"{prefix}q2{suffix}"):
        norms = {
            f"LayerNorm_{i}": {
                "scale": jnp.asarray(vectors[f"{name}_s{i}"], jnp.float32),
                "bias": jnp.asarray(vectors[f"{name}_c{i}"], jnp.float32),
            }
            for i in range(3)
        }
        critics.append(read_mlp(vectors, name) | norms)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *critics)


def read_networks(vectors: Any, prefix: str) -> dict[str, Params]:
    """Returns the parameters of all networks under their names in the state."""
    return {
        "actor": read_mlp(vectors, f"{prefix}actor"),
        "target_actor": read_mlp(vectors, f"{prefix}actort"),
        "critic": read_critics(vectors, prefix),
        "target_critic": read_critics(vectors, prefix, "t"),
    }


def test_complete_updates(golden: Callable[[str], Any]):
    vectors = golden("rebrac")
    hp = {name[3:]: vectors[name].item() for name in vectors if name.startswith("hp_")}
    config = Config(
        hidden_dims=read_hidden_dims(vectors, "init_actor"),
        actor_learning_rate=hp["actor_lr"],
        critic_learning_rate=hp["critic_lr"],
        discount=hp["gamma"],
        tau=hp["tau"],
        policy_noise=hp["policy_noise"],
        noise_clip=hp["noise_clip"],
        policy_every=int(hp["policy_freq"]),
        actor_penalty=hp["beta1"],
        critic_penalty=hp["beta2"],
    )
    networks = read_networks(vectors, "init_")
    state = State(
        **networks,
        actor_opt=adam(config.actor_learning_rate).init(networks["actor"]),
        critic_opt=adam(config.critic_learning_rate).init(networks["critic"]),
    )
    update = jax.jit(rebrac._update)
    for step in range(num_steps(vectors, "step{}_noise")):
        prefix = f"step{step}_"
        noise, next_action = (
            jnp.asarray(vectors[prefix + name], jnp.float32) for name in ("noise", "next_actions")
        )
        transition = read_transition(vectors, prefix)
        batch = Sarsa(transition, next_action, jnp.ones(len(noise), bool))
        state, metrics = update(config, state, jnp.int32(step), batch, Noise(noise))
        np.testing.assert_allclose(metrics["critic_loss"], vectors[f"{prefix}critic_loss"], **CLOSE)
        if f"{prefix}actor_loss" in vectors:
            for name, stored in (("actor_loss", "actor_loss"), ("distance", "bc_mse_policy")):
                found = metrics[name] / config.policy_every
                np.testing.assert_allclose(found, vectors[prefix + stored], **CLOSE)
        for name, expected in read_networks(vectors, f"{prefix}after_").items():
            actual = getattr(state, name)
            jax.tree.map(
                lambda x, y, name=name: np.testing.assert_allclose(x, y, atol=1e-5, err_msg=name),
                actual, expected,
            )  # fmt: skip
