"""Small arrays of a tree as one vector: what a loop carries where every array costs a launch.

A GPU takes as long to launch the optimizer of a bias as that of a matrix. Matrices stay as they
are, as products read them: a part of a vector they would have to be copied from it.
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

SMALL = 1024  # numbers: biases, scales, last layers of critics


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Packed:
    """A tree of arrays, the small ones of float32 in a vector."""

    vector: jax.Array
    others: list[jax.Array]
    shapes: tuple[jax.ShapeDtypeStruct, ...] = field(metadata={"static": True})  # of all
    structure: Any = field(metadata={"static": True})


def pack(tree: Any) -> Any:
    """Returns a tree packed, or as it is where that would not make fewer arrays of it."""
    leaves, structure = jax.tree.flatten(tree)
    small = [leaf.reshape(-1) for leaf in leaves if _is_small(leaf)]
    if len(small) < 2:
        return tree
    others = [leaf for leaf in leaves if not _is_small(leaf)]
    shapes = tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves)
    return Packed(jnp.concatenate(small), others, shapes, structure)


def unpack(tree: Any) -> Any:
    """Returns what was packed, and a tree that was not as it is."""
    if not isinstance(tree, Packed):
        return tree
    leaves, others, start = [], iter(tree.others), 0
    for shape in tree.shapes:
        if _is_small(shape):
            stop = start + shape.size
            leaves.append(tree.vector[start:stop].reshape(shape.shape))
            start = stop
        else:
            leaves.append(next(others))
    return jax.tree.unflatten(tree.structure, leaves)


def _is_small(leaf: Any) -> bool:
    return leaf.size <= SMALL and leaf.dtype == jnp.float32
