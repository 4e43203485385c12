"""What reading large data shows: its size at first, then its progress; or that it cannot fit."""

import os
from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from rlp.errors import InputError

LARGE = 100_000_000  # bytes; smaller data is read in silence

T = TypeVar("T")


def announced(items: Sequence[T], where: str, num_bytes: int) -> Iterable[T]:
    """Returns the items, whose arrays have `num_bytes` together, with a bar where that is much.

    Raises:
        InputError: if the arrays are larger than the memory of this machine.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    size = f"{num_bytes / 1e9:,.1f} GB"
    if num_bytes > memory:
        raise InputError(f"{where}: {size} of arrays, but this machine has {memory / 1e9:,.1f} GB")
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    large = num_bytes >= LARGE
    if large:
        console.print(f"reading {where}: {size}")
    return track(items, "reading", console=console, transient=True, disable=not large)
