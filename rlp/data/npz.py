"""Reading npz files without trust: a clear message instead of a traceback, and never a pickle."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rlp.data.reading import announced, check_names, check_sizes
from rlp.errors import InputError

# What zipfile, zlib and numpy raise on damaged files; NotImplementedError for a method they lack,
# RuntimeError for what seems to be encrypted.
READ_ERRORS = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    SyntaxError,
    MemoryError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


def npz_names(path: Path) -> list[str]:
    """Returns the names of an npz file's arrays.

    Raises:
        InputError: if the file is damaged or no npz file.
    """
    try:
        with zipfile.ZipFile(path) as file:
            return [name.removesuffix(".npy") for name in file.namelist()]
    except READ_ERRORS as error:
        raise InputError(f"{path}: damaged or no npz file ({error})") from error


def read_npz(
    path: Path, required: Sequence[str] = (), optional: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Returns the named arrays of an npz file; all of them where `optional` is None.

    Raises:
        InputError: if the file is damaged, is no npz file, or lacks a required array.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise InputError(f"{path}: a single array, not an npz file")
            missing = [name for name in required if name not in file]
            if missing:
                raise InputError(
                    f"{path}: no array {', '.join(missing)}; it has {', '.join(file) or 'none'}"
                )
            check_names(optional or (), [name for name in file if name not in required], str(path))
            wanted = file if optional is None else (*required, *optional)
            here = [name for name in wanted if name in file]
            sizes = _sizes(path, here)
            check_sizes(sizes, str(path))
            num_bytes = sum(size for size, _ in sizes.values())
            return {name: file[name] for name in announced(here, str(path), num_bytes)}
    except InputError:
        raise
    except READ_ERRORS as error:
        raise InputError(f"{path}: damaged or no npz file ({error})") from error


def _sizes(path: Path, names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Returns the bytes of each array, and of what is stored of it."""
    with zipfile.ZipFile(path) as file:
        if any(member.comment for member in file.infolist()):
            raise zipfile.BadZipFile("a comment, which may hide an array")
        members = {name: file.getinfo(f"{name}.npy") for name in names}
    return {name: (each.file_size, each.compress_size) for name, each in members.items()}
