"""Reads untrusted npz files: a clear message instead of a traceback, and never a pickle."""

import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from rlp.data.reading import (
    announced,
    check_axes,
    check_file,
    check_names,
    check_sizes,
    check_values,
)
from rlp.errors import InputError

LOCAL = struct.Struct("<4s22x2H")  # local header: signature, ..., lengths of name and extras
UTF8, SIZES_FOLLOW = 0x800, 8  # flags: the name is UTF-8, and sizes follow the array
DESCRIPTORS = (12, 16, 20, 24)  # possible lengths of those sizes in bytes
MAX_ARRAYS = 10_000
MAX_HEADER = 1000  # characters of an array's header, which numpy parses as Python; numbers use 118

# What zipfile, zlib and numpy raise on damaged files; NotImplementedError for an unsupported
# compression, RuntimeError for an apparently encrypted file.
READ_ERRORS = (
    OSError, EOFError, RuntimeError, ValueError, TypeError, SyntaxError, MemoryError, OverflowError,
    NotImplementedError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip

Members = dict[str, zipfile.ZipInfo]


def npz_names(path: Path) -> list[str]:
    """Returns the names of an npz file's arrays.

    Raises:
        InputError: if the file is damaged or not an npz file.
    """
    with _opened(path) as (_, members):
        return list(members)


def read_npz(
    path: Path, required: Sequence[str] = (), optional: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Returns the named arrays of an npz file; all of them if `optional` is None.

    Raises:
        InputError: if the file is damaged, is not an npz file, lacks a required array, or an array
            has neither numbers nor texts.
    """
    with _opened(path) as (file, members):
        if missing := [name for name in required if name not in members]:
            raise InputError(
                f"{path}: no array {', '.join(missing)}; it has {', '.join(members) or 'none'}"
            )
        check_names(optional or (), [name for name in members if name not in required], str(path))
        wanted = members if optional is None else (*required, *optional)
        here = [name for name in wanted if name in members]
        sizes = {name: (members[name].file_size, members[name].compress_size) for name in here}
        check_sizes(sizes, str(path))
        num_bytes = sum(size for size, _ in sizes.values())
        return {
            name: _array(file, members[name], f"{path}, {name}")
            for name in announced(here, str(path), num_bytes)
        }


@contextmanager
def _opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, Members]]:
    """Opens an npz file and yields its arrays by their names."""
    check_file(path)
    try:
        with zipfile.ZipFile(path) as file:
            yield file, _members(path, file)
    except InputError:
        raise
    except READ_ERRORS as error:
        raise InputError(f"{path}: damaged or no npz file ({error})") from error


def _members(path: Path, file: zipfile.ZipFile) -> Members:
    """Returns the arrays by name, as listed in the directory at the end of the file.

    Raises:
        BadZipFile: if the directory does not account for every byte of the file.
    """
    listed = sorted(file.infolist(), key=lambda member: member.header_offset)
    if len(listed) > MAX_ARRAYS:
        raise zipfile.BadZipFile(f"{len(listed):,} arrays, of which {MAX_ARRAYS:,} may be")
    starts = [*(member.header_offset for member in listed), file.start_dir]
    if starts[0]:
        raise zipfile.BadZipFile("something before its first array")
    with path.open("rb") as raw:
        for member, start, following in zip(listed, starts, starts[1:], strict=False):
            encoding = "utf-8" if member.flag_bits & UTF8 else "cp437"
            name = member.orig_filename.encode(encoding)
            raw.seek(start)
            signature, name_length, extra_length = LOCAL.unpack(raw.read(LOCAL.size))
            if signature != b"PK\3\4" or raw.read(name_length) != name:
                raise zipfile.BadZipFile(f"{member.filename} has another name where it is stored")
            stop = start + LOCAL.size + name_length + extra_length + member.compress_size
            if following - stop not in (DESCRIPTORS if member.flag_bits & SIZES_FOLLOW else (0,)):
                raise zipfile.BadZipFile(f"what follows {member.filename} is not in its directory")
            if member.comment:
                raise zipfile.BadZipFile("a comment, which may hide an array")
    members = {member.filename.removesuffix(".npy"): member for member in file.infolist()}
    if len(members) < len(listed):
        raise zipfile.BadZipFile("two arrays of one name")
    return members


def _array(file: zipfile.ZipFile, member: zipfile.ZipInfo, where: str) -> np.ndarray:
    """Returns an array of numbers or texts, with its checksum verified.

    Raises:
        InputError: if it holds anything else, or its size differs from its header's.
    """
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotImplementedError("a compression that numpy does not write")
    with file.open(member) as stored:
        if np.lib.format.read_magic(stored) != (1, 0):
            raise InputError(f"{where}: not an array of numbers or texts")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stored, max_header_size=MAX_HEADER)
        if dtype.kind not in "biufSU" or (dtype.kind == "f" and dtype.itemsize > 8):
            what = "objects" if dtype.hasobject else dtype
            raise InputError(f"{where}: not numbers or texts but {what}")
        check_axes(shape, where)
        needed, there = math.prod(shape) * dtype.itemsize, member.file_size - stored.tell()
        if needed != there:
            raise InputError(f"{where}: {there:,} bytes of {needed:,}")
        stored.seek(0)
        array = np.lib.format.read_array(stored, allow_pickle=False, max_header_size=MAX_HEADER)
    check_values(array, where)
    return array
