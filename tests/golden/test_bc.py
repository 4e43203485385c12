"""Behaviour cloning against CORL's."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import bc
from rlp.nn.optim import adam
from rlp.types import Step
from tests.vectors import assert_mlp_close, num_steps, read_hidden_dims, read_mlp

pytestmark = pytest.mark.golden


def test_updates_agree_with_corl(golden: Callable[[str], Any]):
    vectors = golden("bc")
    actor = read_mlp(vectors, "init_actor")
    dims = read_hidden_dims(vectors, "init_actor")
    config = bc.Config(hidden_dims=dims, learning_rate=float(vectors["hp_lr"]))
    state = bc.State(actor, adam(config.learning_rate).init(actor))
    for step in range(num_steps(vectors, "step{}_prediction")):
        names = ("observations", "actions")
        batch = Step(*(jnp.asarray(vectors[f"step{step}_{n}"], jnp.float32) for n in names))
        noise = bc.Noise(jnp.zeros_like(batch.observation))
        grads, _ = jax.grad(bc._actor_loss, has_aux=True)(state.actor, config, batch, noise)
        assert_mlp_close(grads, vectors, f"step{step}_grad_actor", rtol=1e-5, atol=1e-5)
        mean, _ = bc._head(config, state.actor, batch.observation)
        expected = vectors[f"step{step}_prediction"]
        np.testing.assert_allclose(jnp.tanh(mean), expected, rtol=1e-5, atol=1e-5)
        state, metrics = bc._update(config, state, batch, noise)
        assert float(metrics["actor_loss"]) == pytest.approx(
            vectors[f"step{step}_actor_loss"], rel=1e-5
        )
        assert_mlp_close(state.actor, vectors, f"step{step}_after_actor", atol=1e-5)
