"""The kind of device that programs are made for: what all code asks that differs by it.

It is the kind that this process computes on, but where a program is compiled for another.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import jax
import jax.numpy as jnp

T = TypeVar("T")
U = TypeVar("U")

_other: ContextVar[str | None] = ContextVar("other", default=None)


def platform() -> str:
    """Returns `cpu`, `gpu`, `tpu` or what else JAX calls the kind."""
    return _other.get() or jax.default_backend()


@contextmanager
def compiling_for(platform: str) -> Iterator[None]:
    """Programs that are traced within are made for a kind of device that need not be here.

    A program is traced once, so what was traced before for this machine stays as it is.
    """
    token = _other.set(platform)
    try:
        yield
    finally:
        _other.reset(token)


def cond(
    condition: jax.Array, then: Callable[[T], U], otherwise: Callable[[T], U], operand: T
) -> U:
    """Returns what one of two functions makes of an operand, as `jax.lax.cond`.

    A GPU computes both and takes one: before a branch it would wait for the host, and it would copy
    every array that one of the branches leaves as it is.
    """
    if platform() != "gpu":
        return jax.lax.cond(condition, then, otherwise, operand)
    both = then(operand), otherwise(operand)
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), *both)
