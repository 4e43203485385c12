import jax
import jax.numpy as jnp
import pytest

from rlp.bench import workload
from rlp.types import Precision


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_products_of_every_precision_that_a_cpu_has_are_measured(precision: Precision):
    assert workload.matmul_gflop_per_second(precision) > 0.1


def test_operations_in_a_loop_count_as_often_as_it_runs():
    def products(x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda y, _: (y @ x, None), x @ x, length=5)[0]

    program = jax.make_jaxpr(jax.jit(jax.vmap(products)))(jnp.ones((2, 3, 3)))
    assert workload.matmul_flops(program.jaxpr) == 6 * 2 * (2 * 3**3)


def test_operations_in_a_branch_count_half():
    def sometimes(x: jax.Array) -> jax.Array:
        return jax.lax.cond(x[0, 0] > 0, lambda x: x @ x, lambda x: x, x)

    assert workload.matmul_flops(jax.make_jaxpr(sometimes)(jnp.ones((3, 3))).jaxpr) == 3**3
