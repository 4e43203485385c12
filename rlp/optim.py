"""Optimizers: the only file that applies optax updates."""

from typing import Any

import jax
import optax

from rlp.types import Params


def adam(learning_rate: jax.Array | float) -> optax.GradientTransformation:
    """Returns Adam on all parameters as one flat vector: one fused pass instead of one a leaf."""
    return optax.flatten(optax.adam(learning_rate))


def polyak(params: Params, target: Params, tau: jax.Array | float) -> Params:
    """Returns (1 - tau) target + tau params."""
    return optax.incremental_update(params, target, tau)


def step(
    tx: optax.GradientTransformation, grads: Params, opt_state: Any, params: Params
) -> tuple[Params, Any]:
    """Returns the parameters and the optimizer state after one step down the gradients."""
    updates, opt_state = tx.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state
