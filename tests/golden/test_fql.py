"""FQL against its authors' code: complete updates.

`fql.npz` has what three calls of `FQLAgent.update` of agents/fql.py give (seohongpark/fql 719d044,
jax 0.10.2, float32), with their own networks of 3 layers of 16, random batches of 8, and the noise
that their keys give. Targets were moved away from the critics first. Three cases: the defaults, a Q
that is normalised, and critics without layer norms (whose variance flax takes from squares: float32
differs by 3e-5 there). Packages that an update does not need were left out.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import fql
from rlp.algos.fql import Config, Noise, State
from rlp.nn.optim import adam
from rlp.types import Params, Transition

pytestmark = pytest.mark.golden
CASES = {"plain": {}, "normalized": {"normalize_q": True}, "norms": {"layer_norm": "none"}}
NAMES = {
    "actor": "modules_actor_onestep_flow/mlp", "flow": "modules_actor_bc_flow/mlp",
    "critic": "modules_critic/value_net", "target_critic": "modules_target_critic/value_net",
}  # fmt: skip


def read_network(vectors: Any, prefix: str) -> Params:
    """Returns the parameters of a network, whose last layer is Dense_3."""
    params: dict[str, dict[str, jax.Array]] = {}
    for name in vectors:
        if name.startswith(prefix + "/"):
            layer, kind = name.removeprefix(prefix + "/").split("/")
            layer = "output" if layer == "Dense_3" else layer
            params.setdefault(layer, {})[kind] = jnp.asarray(vectors[name])
    return params


@pytest.mark.parametrize("case", CASES)
def test_complete_updates(golden: Callable[[str], Any], case: str):
    vectors = golden("fql")
    changed: dict[str, Any] = CASES[case]
    alpha = vectors[f"{case}/alpha"].item()
    config = Config(hidden_dims=(16, 16, 16), batch_size=8, alpha=alpha, **changed)
    before, after = (
        {mine: read_network(vectors, f"{case}/{when}/{theirs}") for mine, theirs in NAMES.items()}
        for when in ("before", "after")
    )
    tx = adam(config.learning_rate)
    opts = {f"{name}_opt": tx.init(before[name]) for name in ("actor", "flow", "critic")}
    state = State(**before, **opts)
    update = jax.jit(fql._update)
    for step in range(3):

        def read(name: str, step: int = step) -> jax.Array:
            return jnp.asarray(vectors[f"{case}/step{step}/{name}"])

        batch = Transition(
            *map(read, ("observations", "actions", "rewards", "masks", "next_observations"))
        )
        noise = Noise(*map(read, Noise._fields))
        state, metrics = update(config, state, batch, noise)
        for mine, theirs in (
            ("critic_loss", "critic_loss"), ("flow_loss", "bc_flow_loss"),
            ("distance", "distill_loss"), ("q", "q_mean"),
        ):  # fmt: skip
            np.testing.assert_allclose(metrics[mine], read(theirs), rtol=1e-4, atol=1e-6)
        expected = alpha * read("distill_loss") + read("q_loss")
        np.testing.assert_allclose(metrics["actor_loss"], expected, rtol=1e-4, atol=1e-5)
    for name, params in after.items():
        found = getattr(state, name)
        assert jax.tree.structure(found) == jax.tree.structure(params)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5), found, params
        )
