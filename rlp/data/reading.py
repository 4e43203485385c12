"""Checks before reading: that files are sound, and fit in memory. Large data shows progress."""

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

LARGE = 100_000_000  # bytes; smaller data is read without progress
CHUNK = 1_000_000  # bytes of a file read at once
MAX_AXES = 8  # of an array
MAX_DEFLATE = 1100  # compression ratio; deflate reaches 1032
MAX_EMPTY = 1_000_000  # rows without numbers
MAX_RATIO = 200  # compression ratio of a large file; measured numbers reach about 2

T = TypeVar("T")


def check_file(path: Path) -> None:
    """Checks that a path, if it exists, is a file or a link to one.

    Raises:
        InputError: if it is a folder, or a device or a pipe, which could be read for ever.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        kind = "a folder" if os.path.isdir(path) else "a device or a pipe"
        raise InputError(f"{path}: {kind}, not a file")


def check_folder(path: Path) -> None:
    """Checks that a folder of data has only files, folders, and links to its own contents.

    Raises:
        InputError: if there is anything else, down to the depth at which formats look.
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
    """Checks that no missing optional array is present under a similar name.

    Raises:
        InputError: if one is; without that array the data would be misread.
    """
    for name in optional:
        others = [other for other in here if other not in optional]
        close = difflib.get_close_matches(name, others, n=1, cutoff=0.85)
        if name not in here and close:
            raise InputError(f"{where}: it has {close[0]}; is that {name}? Then name it so")


def check_sizes(sizes: Mapping[str, tuple[int, int]], where: str) -> None:
    """Checks that arrays are not larger than the bytes of a file can hold.

    Args:
        sizes: by name, the bytes of an array, and its bytes in the file.
        where: the file's name in messages.

    Raises:
        InputError: if a ratio exceeds that of any compression, or a large file's exceeds that of
            measured numbers.
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
    """Checks that a shape is valid, and does not have very many empty rows.

    Raises:
        InputError: if not.
    """
    if type(shape) is not tuple or len(shape) > MAX_AXES:
        raise InputError(f"{where}: not a shape of data")
    for size in shape:
        if type(size) is not int or size < 0:
            raise InputError(f"{where}: not a shape of data")
    if 0 in shape and max(shape) > MAX_EMPTY:
        raise InputError(f"{where}: {max(shape):,} rows or columns without a number")


def check_values(array: np.ndarray, where: str) -> None:
    """Checks that the bytes of flags and texts are valid, which numpy does not check.

    Raises:
        InputError: if a flag is not 0 or 1, or a character is not in Unicode.
    """
    if array.dtype.kind not in "bU" or not array.size:
        return
    is_flag = array.dtype.kind == "b"
    number = np.dtype("u1" if is_flag else "u4").newbyteorder(array.dtype.byteorder)
    if array.reshape(-1).view(number).max() > (1 if is_flag else sys.maxunicode):
        raise InputError(f"{where}: damaged {'flags' if is_flag else 'texts'}")


def announced(items: Sequence[T], where: str, num_bytes: int) -> Iterable[T]:
    """Returns the items, whose arrays have about `num_bytes`, with a progress bar if that is large.

    Raises:
        InputError: if the arrays are larger than the memory of this machine.
    """
    shown = _announce(where, num_bytes)
    return progress.track(items, "reading", console=shown, transient=True, disable=shown.quiet)


@contextmanager
def announced_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file that is read as a whole, with a progress bar as in `announced`."""
    shown = _announce(str(path), path.stat().st_size)
    with progress.open(
        path, "rb", description="reading", console=shown, transient=True, disable=shown.quiet
    ) as file:
        yield io.BufferedReader(cast(io.RawIOBase, file), CHUNK)


def _announce(where: str, num_bytes: int) -> Console:
    """Prints the size of large data; returns the console for its progress, a quiet one if small.

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
