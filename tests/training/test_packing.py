import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.training.packing import SMALL, Packed, pack, unpack

TREE = {
    "kernel": jnp.arange(2.0 * SMALL).reshape(2, SMALL),
    "bias": jnp.arange(6.0).reshape(2, 3),
    "count": jnp.int32(7),
    "scale": jnp.array(0.5),
}


def test_what_is_packed_comes_back_as_it_was():
    packed = pack(TREE)
    assert [leaf.shape for leaf in jax.tree.leaves(packed)] == [(7,), (), (2, SMALL)]
    found = unpack(packed)
    assert jax.tree.structure(found) == jax.tree.structure(TREE)
    jax.tree.map(np.testing.assert_array_equal, found, TREE)
    assert found["count"].dtype == jnp.int32


def test_a_loop_carries_it():
    def body(carried: Packed, _: None) -> tuple[Packed, Packed]:
        tree = {name: leaf + 1 for name, leaf in unpack(carried).items()}
        return pack(tree), pack({"a": tree["scale"], "b": 2 * tree["scale"]})

    carried, rows = jax.lax.scan(body, pack(TREE), length=3)
    jax.tree.map(
        np.testing.assert_array_equal, unpack(carried), {n: x + 3 for n, x in TREE.items()}
    )
    metrics = jax.vmap(unpack)(rows)
    np.testing.assert_array_equal(metrics["b"], [3, 5, 7])


@pytest.mark.parametrize("tree", [{}, {"bias": jnp.ones(3)}, {"kernel": TREE["kernel"]}])
def test_one_small_array_stays_as_it_is(tree: dict[str, jax.Array]):
    assert pack(tree) is tree
    assert unpack(tree) is tree
