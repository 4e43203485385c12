import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.nn.layers import Dense
from rlp.system import devices, target


def test_the_target_is_this_machine_or_what_is_compiled_for():
    assert target.platform() == jax.default_backend()
    with target.compiling_for("gpu"):
        assert target.platform() == "gpu"
        devices.check_precision("tf32")
    assert target.platform() == jax.default_backend()


@pytest.mark.parametrize(("kind", "holds"), [("cpu", True), ("gpu", False)])
def test_a_program_is_that_of_its_target(kind: str, holds: bool):
    """Only a CPU wants its transposed kernels made."""
    layer, x = Dense(2), jnp.ones((3, 4))
    params = layer.init(jax.random.key(0), x)
    with target.compiling_for(kind):
        program = jax.make_jaxpr(lambda params, x: layer.apply(params, x))(params, x)
    assert ("optimization_barrier" in str(program)) == holds


@pytest.mark.parametrize("kind", ["cpu", "gpu", "tpu"])
@pytest.mark.parametrize("condition", [True, False])
def test_one_of_two_is_taken_with_or_without_a_branch(kind: str, condition: bool):
    def either(condition: jax.Array, x: jax.Array) -> dict[str, jax.Array]:
        return target.cond(condition, lambda x: {"y": x + 1}, lambda x: {"y": x / 0}, x)

    with target.compiling_for(kind):
        program = jax.make_jaxpr(either)(jnp.array(condition), jnp.ones(2))
        found = either(jnp.array(condition), jnp.ones(2))
    assert ("cond[" in str(program)) == (kind != "gpu")
    np.testing.assert_array_equal(found["y"], 2 if condition else np.inf)
