import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.nn import networks


@pytest.mark.parametrize(
    ("init", "hidden", "bias", "last", "last_bias"),
    [  # standard deviations of the kernels, bounds of the biases; 50 inputs, 400 and 300 hidden
        ("flax", [50**-0.5, 400**-0.5], (0, 0), 300**-0.5, (0, 0)),
        ("torch", [150**-0.5, 1200**-0.5], (-(50**-0.5), 50**-0.5), 900**-0.5, (-0.06, 0.06)),
        ("rlkit", [1200**-0.5, 900**-0.5], (0.1, 0.1), 3e-3 / 3**0.5, (-3e-3, 3e-3)),
        ("edac", [150**-0.5, 1200**-0.5], (0.1, 0.1), 3e-3 / 3**0.5, (-3e-3, 3e-3)),
        ("orthogonal", [2**0.5 / 400**0.5, 2**0.5 / 400**0.5], (0, 0), 2**0.5 / 300**0.5, (0, 0)),
    ],
)
def test_weights_are_drawn_as_the_authors_do(
    init: networks.Init, hidden: list[float], bias: tuple[float, float], last: float,
    last_bias: tuple[float, float],
):  # fmt: skip
    network = networks.critics((400, 300), 2, init)
    params = network.init(jax.random.key(0), jnp.ones(44), jnp.ones(6))
    for layer, deviation in enumerate(hidden):
        assert params[f"Dense_{layer}"]["kernel"].std() == pytest.approx(deviation, rel=0.02)
    assert params["output"]["kernel"].std() == pytest.approx(last, rel=0.1)
    for name, (low, high) in {"Dense_0": bias, "output": last_bias}.items():
        found = params[name]["bias"]
        assert np.all((found >= np.float32(low)) & (found <= np.float32(high)))
    if bias[0] < bias[1]:
        assert params["Dense_0"]["bias"].std() == pytest.approx(bias[1] / 3**0.5, rel=0.1)
    uniform = init in ("torch", "rlkit", "edac")
    for layer, deviation in enumerate(hidden if uniform else []):
        largest = jnp.abs(params[f"Dense_{layer}"]["kernel"]).max()
        assert largest == pytest.approx(3**0.5 * deviation, rel=0.01)


def test_the_last_layer_of_an_actor_is_smaller_than_a_critic_s():
    params = networks.mlp((16,), 300, "edac").init(jax.random.key(0), jnp.ones(4))
    assert jnp.abs(params["output"]["kernel"]).max() == pytest.approx(1e-3, rel=0.01)


def test_layer_norm_stands_on_the_side_of_the_activation_that_is_asked_for():
    x = jax.random.normal(jax.random.key(1), (5, 4))
    outputs = {}
    for side in ("none", "before", "after"):
        network = networks.mlp((16,), 3, layer_norm=side)
        params = network.init(jax.random.key(0), x)
        hidden = x @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"][None]
        steps = {"none": [], "before": [norm, jax.nn.relu], "after": [jax.nn.relu, norm]}
        for step in steps[side] or [jax.nn.relu]:
            hidden = step(hidden)
        expected = hidden @ params["output"]["kernel"] + params["output"]["bias"][None]
        outputs[side] = network.apply(params, x)
        np.testing.assert_allclose(outputs[side], expected, atol=1e-5)
    assert not np.allclose(outputs["before"], outputs["after"])


def norm(x: jax.Array) -> jax.Array:
    mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + 1e-6)


@pytest.mark.parametrize("shape", [(6, 40), (40, 40), (40, 3), (40, 1)])
def test_orthogonal_weights_are_those_of_a_qr_factorisation(shape: tuple[int, int]):
    params = networks.mlp((), shape[1], "orthogonal").init(jax.random.key(0), jnp.ones(shape[0]))
    kernel = np.asarray(params["output"]["kernel"]) / np.sqrt(2)
    tall = kernel if shape[0] >= shape[1] else kernel.T
    np.testing.assert_allclose(tall.T @ tall, np.eye(min(shape)), atol=1e-5)
    x = np.random.default_rng(0).normal(size=(max(shape), min(shape))).astype(np.float32)
    q, r = np.linalg.qr(x)
    np.testing.assert_allclose(
        networks._orthonormal(jnp.asarray(x)), q * np.sign(np.diag(r)), atol=1e-4
    )
