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


def test_a_tpu_computes_whole_tiles():
    """Of 8 x 128, whichever axis of the result has the lanes."""
    whole = workload.Product(batch=3, rows=256, inner=128, columns=8)
    assert workload.tpu_flops(whole) == workload.needed_flops(whole) == 2 * 3 * 256 * 128 * 8
    narrow = workload.Product(batch=1, rows=256, inner=17, columns=6)
    assert workload.tpu_flops(narrow) == 2 * 256 * 128 * 8
    assert workload.tpu_flops(narrow._replace(columns=256)) == 2 * 256 * 128 * 256


def test_sizes_of_products_are_read_off_a_program():
    def product(left: jax.Array, right: jax.Array) -> jax.Array:
        return jnp.einsum("bkm,bnk->bmn", left, right)

    program = jax.make_jaxpr(product)(jnp.ones((5, 7, 2)), jnp.ones((5, 3, 7)))
    sizes = set()
    workload.matmul_flops(program.jaxpr, lambda product: sizes.add(product) or 0)
    assert sizes in ({(5, 2, 7, 3)}, {(5, 3, 7, 2)})  # XLA may turn it around


def test_operations_in_a_branch_count_half():
    def sometimes(x: jax.Array) -> jax.Array:
        return jax.lax.cond(x[0, 0] > 0, lambda x: x @ x, lambda x: x, x)

    assert workload.matmul_flops(jax.make_jaxpr(sometimes)(jnp.ones((3, 3))).jaxpr) == 3**3
