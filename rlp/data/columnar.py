"""Files of named columns with one row per step: npz, HDF5, CSV and Parquet, with any names."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlp.data import hdf5
from rlp.data.actions import HIGH, LOW
from rlp.data.npz import npz_names, read_npz
from rlp.data.table import INDEX, is_table, read_table, table_schema

ABOUT = ("env", LOW, HIGH)  # apply to all rows: arrays in an npz file, attributes in an HDF5 file


def is_columnar(path: Path) -> bool:
    """Returns whether `path` has the suffix of a file of columns."""
    return hdf5.is_hdf5(path) or is_table(path) or (path.is_file() and path.suffix == ".npz")


def column_names(path: Path) -> list[str]:
    """Returns the names of the columns, and of groups in HDF5.

    Raises:
        InputError: if the file is damaged.
    """
    if is_table(path):
        return [name for name in table_schema(path).names if name not in INDEX]
    if path.suffix == ".npz":
        return [name for name in npz_names(path) if name not in ABOUT]
    with hdf5.open_hdf5(path) as file:
        return hdf5.names(file)


@contextmanager
def open_columns(
    path: Path, wanted: Sequence[str]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Opens a file and yields the wanted columns, and the values that apply to all rows (`ABOUT`).

    HDF5 columns are data sets, to be read in slices; others are arrays.

    Raises:
        InputError: if the file is damaged, or a column is missing or does not hold numbers.
    """
    if is_table(path):
        yield read_table(path, wanted), {}
    elif path.suffix == ".npz":
        columns = read_npz(path, wanted, ABOUT)
        about = {name: columns.pop(name).tolist() for name in ABOUT if name in columns}
        yield columns, about
    else:
        with hdf5.open_hdf5(path) as file:
            about: dict[str, Any] = {"env": hdf5.text(file, "env")}
            about |= {n: hdf5.numbers(file, n) for n in (LOW, HIGH) if n in file.attrs}
            yield hdf5.columns(file, wanted), about
