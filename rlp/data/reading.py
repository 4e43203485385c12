"""What reading large data shows: its size at first, then its progress; or that it cannot fit."""

import difflib
import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import numpy as np
from rich import progress
from rich.console import Console

from rlp.errors import InputError
from rlp.system import memory

LARGE = 100_000_000  # bytes; smaller data is read in silence
CHUNK = 1_000_000  # bytes of a file that are read at once
MAX_AXES = 8  # of an array
MAX_DEFLATE = 1100  # deflate reaches 1032
MAX_EMPTY = 1_000_000  # rows without numbers
MAX_RATIO = 200  # of a large file; measured numbers are compressed to a half

T = TypeVar("T")


def check_file(path: Path) -> None:
    """Checks that what is about to be opened is a file, or a link to one, if it is there at all.

    Raises:
        InputError: if it is a folder, or a device or a pipe, whose reading might never end.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        kind = "a folder" if os.path.isdir(path) else "a device or a pipe"
        raise InputError(f"{path}: {kind}, not a file")


def check_folder(path: Path) -> None:
    """Checks that a folder of data has only files and folders, and links to what is in it.

    Raises:
        InputError: if there is anything else, as deep as formats look.
    """
    root = os.path.realpath(path)
    for pattern in ("*", "*/*", "*/*/*"):
        for each in path.glob(pattern):
            if not os.path.isdir(each):
                check_file(each)
            place = os.path.realpath(each) if each.is_symlink() else root
            if os.path.commonpath([root, place]) != root:
                raise InputError(
                    f"{each}: a link to {place}, out of the folder {path}; put a copy in its place"
                )


def check_names(optional: Iterable[str], here: Sequence[str], where: str) -> None:
    """Checks that no array that may be missing is there under a name that is almost its own.

    Raises:
        InputError: if one is: without it the data would be read as something else.
    """
    for name in optional:
        others = [other for other in here if other not in optional]
        close = difflib.get_close_matches(name, others, n=1, cutoff=0.85)
        if name not in here and close:
            raise InputError(f"{where}: it has {close[0]}; is that {name}? Then name it so")


def check_sizes(sizes: Mapping[str, tuple[int, int]], where: str) -> None:
    """Checks that arrays can be what a file holds of them.

    Args:
        sizes: by name, an array's bytes and those that are stored of it.
        where: what messages call the file.

    Raises:
        InputError: if no compression gets that far, or none of so many measured numbers.
    """
    for name, (num_bytes, stored) in sizes.items():
        if num_bytes > MAX_DEFLATE * stored:
            raise InputError(
                f"{where}, {name}: {stored:,} bytes in the file cannot hold {num_bytes:,} bytes"
            )
    num_bytes, stored = map(sum, zip(*sizes.values(), strict=True)) if sizes else (0, 0)
    if num_bytes > max(LARGE, MAX_RATIO * stored):
        raise InputError(
            f"{where}: {num_bytes:,} bytes of arrays in {stored:,} are made to fill the memory"
        )


def check_axes(shape: Any, where: str) -> None:
    """Checks that a shape is one, and has no endless rows of nothing.

    Raises:
        InputError: if it does not.
    """
    if type(shape) is not tuple or len(shape) > MAX_AXES:
        raise InputError(f"{where}: not a shape of data")
    for size in shape:
        if type(size) is not int or size < 0:
            raise InputError(f"{where}: not a shape of data")
    if 0 in shape and max(shape) > MAX_EMPTY:
        raise InputError(f"{where}: {max(shape):,} rows or columns without a number")


def check_values(array: np.ndarray, where: str) -> None:
    """Checks that the bytes of flags and texts are such, which numpy takes for granted.

    Raises:
        InputError: if a flag is not 0 or 1, or a character none of Unicode.
    """
    if array.dtype.kind not in "bU" or not array.size:
        return
    is_flag = array.dtype.kind == "b"
    number = np.dtype("u1" if is_flag else "u4").newbyteorder(array.dtype.byteorder)
    if array.reshape(-1).view(number).max() > (1 if is_flag else sys.maxunicode):
        raise InputError(f"{where}: damaged {'flags' if is_flag else 'texts'}")


def announced(items: Sequence[T], where: str, num_bytes: int) -> Iterable[T]:
    """Returns the items, whose arrays have about `num_bytes`, with a bar where that is much.

    Raises:
        InputError: if the arrays are larger than the memory of this machine.
    """
    shown = _announce(where, num_bytes)
    return progress.track(items, "reading", console=shown, transient=True, disable=shown.quiet)


@contextmanager
def announced_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file that is read as a whole, announced as `announced` does."""
    shown = _announce(str(path), path.stat().st_size)
    with progress.open(
        path, "rb", description="reading", console=shown, transient=True, disable=shown.quiet
    ) as file:
        yield io.BufferedReader(cast(io.RawIOBase, file), CHUNK)


def _announce(where: str, num_bytes: int) -> Console:
    """Says how large data is, and returns the console for its progress: a quiet one if it is not.

    Raises:
        InputError: if it is larger than the memory of this machine.
    """
    there, size = memory.of_machine(), f"{num_bytes / 1e9:,.1f} GB"
    if num_bytes > there:
        raise InputError(f"{where}: {size} of arrays, but this machine has {there / 1e9:,.1f} GB")
    quiet = num_bytes < LARGE
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True, quiet=quiet)
    console.print(f"reading {where}: {size}")
    return console
