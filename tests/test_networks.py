import jax
import jax.numpy as jnp
import numpy as np

from rlp import networks


def test_an_output_bound_holds_the_last_layer_only():
    network = networks.mlp((16,), 3, output_bound=1e-3)
    params = network.init(jax.random.key(0), jnp.ones(4))
    assert 0 < jnp.abs(params["output"]["kernel"]).max() <= 1e-3
    assert jnp.abs(params["Dense_0"]["kernel"]).max() > 0.1


def test_layer_norm_stands_on_the_side_of_the_activation_that_is_asked_for():
    x = jax.random.normal(jax.random.key(1), (5, 4))
    outputs = {}
    for side in ("none", "before", "after"):
        network = networks.mlp((16,), 3, side)
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
