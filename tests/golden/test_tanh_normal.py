"""The tanh-squashed normal against CORL's and PyTorch's."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.nn.distributions import tanh_log_det, tanh_normal_log_prob, tanh_normal_sample

pytestmark = pytest.mark.golden


def float32(vectors: Any, *names: str) -> list[jax.Array]:
    return [jnp.asarray(vectors[name], jnp.float32) for name in names]


@pytest.mark.parametrize(("prefix", "atol"), [("", 1e-5), ("sat_", 1e-4)])
def test_samples_and_densities(golden: Callable[[str], Any], prefix: str, atol: float):
    vectors = golden("tanh_normal")
    mean, log_std, noise = float32(vectors, *(prefix + n for n in ("mean", "log_std", "noise")))
    action, log_prob = tanh_normal_sample(mean, log_std, noise)
    np.testing.assert_allclose(action, vectors[prefix + "action"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(log_prob, vectors[prefix + "log_prob"], rtol=1e-5, atol=atol)
    gradients = jax.grad(lambda m, s: tanh_normal_sample(m, s, noise)[1].sum(), (0, 1))(
        mean, log_std
    )
    for gradient, name in zip(gradients, ("dmean", "dlogstd"), strict=True):
        expected = vectors[f"{prefix}dlogprob_{name}"]
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-4)


def test_densities_of_given_actions(golden: Callable[[str], Any]):
    vectors = golden("tanh_normal")
    mean, log_std, action = float32(vectors, "mean", "log_std", "given_action")
    log_prob = tanh_normal_log_prob(mean, log_std, action)
    np.testing.assert_allclose(log_prob, vectors["given_log_prob"], rtol=1e-3)
    gradients = jax.grad(lambda m, s: tanh_normal_log_prob(m, s, action).sum(), (0, 1))(
        mean, log_std
    )
    for gradient, name in zip(gradients, ("dmean", "dlogstd"), strict=True):
        expected = vectors[f"given_dlogprob_{name}"]
        np.testing.assert_allclose(gradient, expected, rtol=2e-3, atol=1e-3)


def test_log_determinant_is_stable(golden: Callable[[str], Any]):
    vectors = golden("tanh_normal")
    (u,) = float32(vectors, "u")
    expected = vectors["tanh_log_det"]
    np.testing.assert_allclose(tanh_log_det(u), expected, rtol=1e-5, atol=1e-6)
