"""Gradients and optimizers: the only file that applies optax updates."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import NamedSharding

from rlp.system import target
from rlp.system.devices import BATCH
from rlp.types import Metrics, Params, reduction

CACHED_ROWS = 1024  # 1 MB of float32 activations, 256 wide: stays in a CPU core's second cache

adam = optax.adam


def adamw(
    learning_rate: jax.Array | float,
    weight_decay: jax.Array | float,
    clip_norm: jax.Array | float,
    beta2: float = 0.999,
    decayed: Callable[[Params], Params] | None = None,
) -> optax.GradientTransformation:
    """Returns AdamW behind a clip of the gradients' norm.

    A transformer has many parameters: as one flat vector they compile in three quarters of the time
    (a perceptron's do not, and a copy of them would cost an update of IQL a tenth of its speed).

    Args:
        learning_rate: of each step.
        weight_decay: of each step, times the learning rate.
        clip_norm: the largest norm of all gradients together.
        beta2: of the squared gradients' average.
        decayed: from parameters to which of them decay, of the same structure; None: all.
    """
    clip = optax.clip_by_global_norm(clip_norm)
    if decayed is None:
        tx = optax.adamw(learning_rate, b2=beta2, weight_decay=weight_decay)
        return optax.flatten(optax.chain(clip, tx))
    return optax.chain(
        optax.flatten(optax.chain(clip, optax.scale_by_adam(b2=beta2))),
        optax.add_decayed_weights(weight_decay, decayed),
        optax.scale_by_learning_rate(learning_rate),
    )


def cosine_decay(step: jax.Array, num_updates: int) -> jax.Array:
    """Returns the factor of a learning rate, from 1 by a cosine to 0 after the last update."""
    return jnp.asarray(optax.cosine_decay_schedule(1.0, num_updates)(step))


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


def grad(
    loss: Callable[..., tuple[jax.Array, Metrics]],
    params: Params,
    *batch: Any,
    rows: int = 1,
    whole: bool = False,
) -> tuple[Params, Metrics]:
    """Returns the gradient of a loss that is a mean over the batch, and its metrics.

    Devices that share the batch take a part each and meet in one sum, of gradients and metrics as a
    vector: XLA would let them meet for every array, where a CPU loses half of its time.

    A CPU takes its part in blocks whose activations stay in its cache, which makes CQL-SAC 1.3
    times as fast, and two of them side by side where it is one device and has no other work for its
    cores; an accelerator takes it at once. All ways differ by rounding only.

    Args:
        loss: from the parameters and a batch to the mean over its items, and metrics that are means
            too, or extremes where their names say so.
        params: of the networks.
        *batch: pytrees of [B, ...].
        rows: that each item becomes in the networks.
        whole: whether the loss needs a value of the whole batch, `mean_of_all` of something. Then
            there are no blocks, each of which would have a value of its own.
    """
    num_parts = jax.sharding.get_abstract_mesh().shape.get(BATCH, 1)
    if num_parts == 1 or len(jax.tree.leaves(batch)[0]) % num_parts:
        return _grad_in_blocks(loss, params, batch, rows, whole)
    of_parts = jax.vmap(
        lambda *part: _grad_in_blocks(loss, params, part, rows, whole),
        axis_name=BATCH,
        spmd_axis_name=BATCH,
    )
    grads, metrics = of_parts(*_split(batch, num_parts))
    extremes = {name: metrics.pop(name) for name in list(metrics) if reduction(name) != "mean"}
    grads, metrics = _over_parts(jnp.mean, (grads, metrics))
    highest = _over_parts(jnp.max, _as_maxima(extremes))
    return grads, {**metrics, **_as_maxima(highest)}


def mean_of_all(x: jax.Array) -> jax.Array:
    """Returns the mean over the whole batch, within a loss of `grad` that says it is `whole`.

    No gradient flows into it.
    """
    mean = jnp.mean(jax.lax.stop_gradient(x))
    try:
        return jax.lax.pmean(mean, BATCH)
    except NameError:  # nobody has another part of it
        return mean


def shared(batch: NamedSharding) -> AbstractContextManager[Any]:
    """Returns a context in which `grad` knows of the devices that share batches."""
    return jax.sharding.use_abstract_mesh(batch.mesh.abstract_mesh)


def _over_parts(combine: Callable[..., jax.Array], tree: Any) -> Any:
    """Returns the mean or maximum of leaves [parts, ...], of all of them as one vector."""
    if not jax.tree.leaves(tree):
        return tree
    vectors = jax.vmap(lambda tree: ravel_pytree(tree)[0])(tree)
    _, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], tree))
    return unravel(combine(vectors, axis=0))


def _as_maxima(extremes: Metrics) -> Metrics:
    """Returns minima with their sign turned, so that they meet in one vector with the maxima."""
    return {name: -x if reduction(name) == "min" else x for name, x in extremes.items()}


def _grad_in_blocks(
    loss: Callable[..., tuple[jax.Array, Metrics]],
    params: Params,
    batch: Any,
    rows: int,
    whole: bool,
) -> tuple[Params, Metrics]:
    size = len(jax.tree.leaves(batch)[0])
    at_once = whole or target.platform() != "cpu"
    num_blocks = 1 if at_once else _num_blocks(size, rows)
    if num_blocks == 1:
        return jax.grad(loss, has_aux=True)(params, *batch)

    def add(total: Params, block: tuple[Any, ...]) -> tuple[Params, Metrics]:
        grads, metrics = jax.grad(loss, has_aux=True)(params, *block)
        return jax.tree.map(lambda sum, grad: sum + grad / num_blocks, total, grads), metrics

    side_by_side = 2 if jax.local_device_count() == 1 else 1
    none = jax.tree.map(jnp.zeros_like, params)
    grads, metrics = jax.lax.scan(add, none, _split(batch, num_blocks), unroll=side_by_side)
    return grads, _as_one(metrics)


def _split(batch: Any, num_parts: int) -> Any:
    """Returns a batch [B, ...] as parts of equal sizes, [num_parts, B / num_parts, ...]."""
    return jax.tree.map(lambda x: x.reshape(num_parts, -1, *x.shape[1:]), batch)


def _as_one(metrics: Metrics) -> Metrics:
    """Returns the metrics of the whole from those of its parts, [num_parts, ...]."""
    return {name: getattr(jnp, reduction(name))(x, axis=0) for name, x in metrics.items()}


def _num_blocks(size: int, rows: int) -> int:
    """Returns how many equal blocks bring a batch near CACHED_ROWS: 1 where none comes near."""
    limit = max(CACHED_ROWS // rows, 1)
    block = max(block for block in range(1, limit + 1) if size % block == 0)
    return size // block if block > limit // 2 else 1
