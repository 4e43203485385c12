"""Gradients and optimizers: the only file that applies optax updates."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from rlp.types import Params

CACHED_ROWS = 1024  # 1 MB of float32 activations, 256 wide: stays in a CPU core's second cache

adam = optax.adam


def adamw(
    learning_rate: jax.Array | float, weight_decay: jax.Array | float, clip_norm: jax.Array | float
) -> optax.GradientTransformation:
    """Returns AdamW behind a clip of the gradients' norm.

    A transformer has many parameters: as one flat vector they compile in three quarters of the time
    (a perceptron's do not, and a copy of them would cost an update of IQL a tenth of its speed).
    """
    tx = optax.adamw(learning_rate, weight_decay=weight_decay)
    return optax.flatten(optax.chain(optax.clip_by_global_norm(clip_norm), tx))


def decay(step: jax.Array, num_updates: int, *, decays: bool) -> jax.Array:
    """Returns the factor of a rate: from 1 by a cosine to 0 after the last update, or 1."""
    return jnp.asarray(optax.cosine_decay_schedule(1.0, num_updates)(step) if decays else 1.0)


def polyak(params: Params, target: Params, tau: jax.Array | float) -> Params:
    """Returns (1 - tau) target + tau params."""
    with jax.named_scope("optimizer"):
        return optax.incremental_update(params, target, tau)


def step(
    tx: optax.GradientTransformation, grads: Params, opt_state: Any, params: Params
) -> tuple[Params, Any]:
    """Returns the parameters and the optimizer state after one step down the gradients."""
    with jax.named_scope("optimizer"):
        updates, opt_state = tx.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state


def grad_in_blocks(
    loss: Callable[..., tuple[jax.Array, Any]], params: Params, *batch: Any, rows: int
) -> tuple[Params, Any]:
    """Returns the gradient of a loss that is a mean over the batch, and what it says of each item.

    A CPU takes the batch in blocks whose activations stay in its cache, which makes CQL-SAC 1.3
    times as fast, and two of them side by side where it is one device and has no other work for its
    cores; an accelerator takes the batch at once. The ways differ by rounding only.

    Args:
        loss: from the parameters and a batch to the mean over its items, and a pytree of [B, ...].
        params: of the networks.
        *batch: pytrees of [B, ...].
        rows: that each item becomes in the networks.
    """
    size = len(jax.tree.leaves(batch)[0])
    num_blocks = _num_blocks(size, rows) if jax.default_backend() == "cpu" else 1
    blocks = jax.tree.map(lambda x: x.reshape(num_blocks, size // num_blocks, *x.shape[1:]), batch)

    def add(total: Params, block: tuple[Any, ...]) -> tuple[Params, Any]:
        grads, aux = jax.grad(loss, has_aux=True)(params, *block)
        return jax.tree.map(lambda sum, grad: sum + grad / num_blocks, total, grads), aux

    side_by_side = 2 if jax.local_device_count() == 1 else 1
    none = jax.tree.map(jnp.zeros_like, params)
    grads, aux = jax.lax.scan(add, none, blocks, unroll=side_by_side)
    return grads, jax.tree.map(lambda x: x.reshape(size, *x.shape[2:]), aux)


def _num_blocks(size: int, rows: int) -> int:
    """Returns how many equal blocks bring a batch near CACHED_ROWS: 1 where none comes near."""
    limit = max(CACHED_ROWS // rows, 1)
    block = max(block for block in range(1, limit + 1) if size % block == 0)
    return size // block if block > limit // 2 else 1
