"""EDAC's diversity against CORL's, which is its authors' but for style.

`edac.npz` has what `_critic_diversity_loss` of `algorithms/offline/edac.py` (tinkoff-ai/CORL
6afec90, torch 2.13.0) gives for four critics of three layers of 8, and the gradients in their
parameters, in float32. Packages that the loss does not need were left out.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import sac
from rlp.algos.sac import Config
from rlp.types import Params, Transition

pytestmark = pytest.mark.golden


def read_critics(vectors: Any, suffix: str = "") -> Params:
    """Returns the parameters of all critics or their gradients, [4, ...]."""
    names = ["Dense_0", "Dense_1", "Dense_2", "output"]
    return {
        name: {
            "kernel": jnp.asarray(vectors[f"layer{i}_weight{suffix}"]),
            "bias": jnp.asarray(vectors[f"layer{i}_bias{suffix}"])[:, 0],
        }
        for i, name in enumerate(names)
    }


def test_diversity_and_its_gradient(golden: Callable[[str], Any]):
    vectors = golden("edac")
    config = Config(hidden_dims=(8, 8, 8), num_critics=4, init="edac", diversify=True)
    observation, action = (jnp.asarray(vectors[name]) for name in ("observation", "action"))
    batch = Transition(observation, action, jnp.zeros(16), jnp.ones(16), observation)
    critics = read_critics(vectors)
    loss, grads = jax.value_and_grad(sac._likeness, argnums=1)(config, critics, batch)
    assert loss == pytest.approx(float(vectors["loss"]), rel=1e-5)
    jax.tree.map(
        lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4),
        grads, read_critics(vectors, "_grad"),
    )  # fmt: skip
