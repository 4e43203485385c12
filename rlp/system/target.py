"""The kind of device that programs are made for: what all code asks that differs by it.

It is the kind that this process computes on, but where a program is compiled for another.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax

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
