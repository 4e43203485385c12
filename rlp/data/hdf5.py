"""Reads untrusted HDF5 files: nothing outside the file, no array larger than its bytes can hold."""

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rlp.data.reading import check_axes, check_file, check_names, check_sizes
from rlp.errors import InputError
from rlp.system.files import whole

HEAP = b"GCOL\1\0\0\0"  # starts a heap of texts, each stored as a number, ..., a size and bytes
SIZE, ITEM = struct.Struct("<Q"), struct.Struct("<H6xQ")


def is_hdf5(path: Path) -> bool:
    """Returns whether `path` has the suffix of an HDF5 file."""
    return path.is_file() and path.suffix in (".hdf5", ".h5")


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """Opens an HDF5 file for reading.

    Raises:
        InputError: if it is damaged or not an HDF5 file, or h5py is not installed.
    """
    try:
        import h5py  # training on arrays in memory does not need it
    except ModuleNotFoundError:
        raise InputError(f"{path}: install h5py to read it") from None
    check_file(path)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except InputError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError) as error:  # what h5py raises on damage
        raise InputError(f"{path}: damaged or no HDF5 file ({error})") from error


@contextmanager
def new_hdf5(path: Path) -> Iterator[Any]:
    """Opens a new HDF5 file that appears at `path` only when it is complete."""
    import h5py

    with whole(path) as file, h5py.File(file, "w") as opened:
        yield opened


def names(group: Any) -> list[str]:
    """Returns the names of a group's members that are stored in the same file."""
    import h5py

    return [name for name in group if isinstance(group.get(name, getlink=True), h5py.HardLink)]


def columns(group: Any, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the named h5py data sets of an HDF5 group, to be read in slices.

    Raises:
        InputError: if a required one is missing, one is not an array of numbers in this same file,
            or its size is more than its bytes can hold.
    """
    import h5py

    where = f"{group.file.filename}:{group.name}"
    if not isinstance(group, h5py.Group):
        raise InputError(f"{where}: not a group of arrays")
    here = names(group)
    missing = [name for name in required if name not in here]
    if missing:
        raise InputError(
            f"{where}: no array {', '.join(missing)}; it has {', '.join(here[:20]) or 'none'}"
        )
    check_names(optional, [name for name in here if name not in required], where)
    size, found, sizes = os.stat(group.file.filename).st_size, {}, {}
    for name in (*required, *(name for name in optional if name in here)):
        dataset = group[name]
        if not isinstance(dataset, h5py.Dataset):
            raise InputError(f"{where}: {name} is not an array of numbers but a group")
        if dataset.external or dataset.is_virtual:
            raise InputError(f"{where}: {name} points at other files, which are not read")
        _check_numbers(dataset, f"{where}: {name}")
        stored = min(dataset.id.get_storage_size(), size)  # its chunks may share bytes
        found[name], sizes[name] = dataset, (dataset.nbytes, stored)
    check_sizes(sizes, where)
    return found


def _check_numbers(dataset: Any, where: str) -> None:
    import h5py

    try:
        dtype = dataset.dtype
    except (TypeError, ValueError) as error:  # a type that numpy lacks
        raise InputError(f"{where} is not an array of numbers ({error})") from None
    if dataset.shape is None:
        raise InputError(f"{where} is not an array of numbers but empty")
    is_number = dtype.kind in "biu" or (dtype.kind == "f" and dtype.itemsize <= 8)
    if not is_number or h5py.check_enum_dtype(dtype) is not None:
        what = "an enum" if is_number else dtype
        raise InputError(f"{where} is not an array of numbers but {what}")
    check_axes(dataset.shape, where)


def text(holder: Any, name: str) -> str:
    """Returns the text of an attribute of an HDF5 file or group, "" if there is none.

    Raises:
        InputError: if it is anything but one text.
    """
    where = f"{holder.file.filename}:{holder.name}, attribute {name}"
    if name not in holder.attrs:
        return ""
    _check_heaps(Path(holder.file.filename), where)
    try:
        value = holder.attrs[name]
        value = value.decode() if isinstance(value, bytes) else value
    except (TypeError, ValueError) as error:  # a type that numpy lacks, or not UTF-8
        raise InputError(f"{where}: damaged ({error})") from None
    if not isinstance(value, str):
        raise InputError(f"{where}: not a text but {type(value).__name__}")
    return value


def numbers(holder: Any, name: str) -> list[float]:
    """Returns the numbers of an attribute of an HDF5 file or group.

    Raises:
        InputError: if it is anything but a vector of numbers.
    """
    stored = holder.attrs.get_id(name)
    if stored.dtype.kind not in "iuf" or len(stored.shape) != 1:
        where = f"{holder.file.filename}:{holder.name}, attribute {name}"
        raise InputError(f"{where}: not numbers but {stored.dtype} {list(stored.shape)}")
    return holder.attrs[name].tolist()


def _check_heaps(path: Path, where: str) -> None:
    """Checks the heaps in which HDF5 stores texts: its code loops forever on free space of 0 bytes.

    Raises:
        InputError: if a heap has free space smaller than its own header.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        heap = content.find(HEAP)
        while 0 <= heap <= len(content) - 16:
            (size,) = SIZE.unpack_from(content, heap + len(HEAP))
            place, stop = heap + 16, min(heap + size, len(content)) - ITEM.size
            while place <= stop:
                number, size = ITEM.unpack_from(content, place)
                if number == 0 and size < ITEM.size:
                    raise InputError(f"{where}: damaged (free space of {size} bytes)")
                place += size if number == 0 else ITEM.size + -(-size // 8) * 8
            heap = content.find(HEAP, heap + 1)


def read_arrays(
    group: Any, required: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Returns the named arrays of an HDF5 group, checked as in `columns` and read into memory."""
    return {name: column[()] for name, column in columns(group, required, optional).items()}
