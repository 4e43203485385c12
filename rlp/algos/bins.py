"""Numbers as tokens: for each dimension, the number of the bin that contains a value.

All bins of a dimension contain equally many values of the data, as in the quantile discretizer of
jannerm/trajectory-transformer.
"""

import jax
import jax.numpy as jnp


def quantile_edges(columns: jax.Array, counts: jax.Array, num_bins: int) -> jax.Array:
    """Returns the edges of the bins [D, num_bins + 1].

    Args:
        columns: the values of all rows, [N, D].
        counts: which rows count, [N] bool; at least one.
        num_bins: bins per dimension.
    """
    ordered = jnp.sort(jnp.where(counts[:, None], columns, jnp.inf), axis=0)
    num_rows = jnp.sum(counts)
    in_a_bin = (num_rows + num_bins - 1) // num_bins
    lower = jnp.arange(num_bins) * in_a_bin
    return ordered[jnp.minimum(jnp.append(lower, num_rows), num_rows - 1)].T


def tokens(edges: jax.Array, values: jax.Array) -> jax.Array:
    """Returns the bins [D] int32 of values [D]; outside edges [D, num_bins + 1], the nearest."""
    at_or_below = jnp.sum(edges <= values[:, None], axis=1)
    return jnp.clip(at_or_below - 1, 0, edges.shape[1] - 2).astype(jnp.int32)


def centers(edges: jax.Array) -> jax.Array:
    """Returns the middles of the bins, [D, num_bins]."""
    return (edges[:, :-1] + edges[:, 1:]) / 2
