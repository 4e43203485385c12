"""Reads untrusted Arrow, Parquet and CSV files: every byte is checked, only numbers are read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rlp.data.reading import check_file, check_sizes
from rlp.errors import InputError

BATCH = 64  # rows read at once where each row holds an episode


@contextmanager
def pyarrow_of(path: Path) -> Iterator[Any]:
    """Yields the pyarrow module for reading a file.

    Raises:
        InputError: if the file is damaged, or pyarrow is not installed.
    """
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise InputError(f"{path}: install pyarrow to read it") from None
    check_file(path)
    try:
        yield pyarrow
    except InputError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: damaged, or no {path.suffix[1:]} file ({error})") from error


def read_batches(path: Path, columns: Sequence[str], num_rows: int = BATCH) -> Iterator[Any]:
    """Yields the record batches of an Arrow (.arrow) or Parquet file that has these columns.

    Raises:
        InputError: if it is damaged or lacks a column, or pyarrow is not installed.
    """
    with pyarrow_of(path) as pyarrow, pyarrow.OSFile(str(path)) as file:
        size = path.stat().st_size
        if path.suffix == ".arrow":
            opened = pyarrow.ipc.open_file(file)
            here = opened.schema.names
            batches = (opened.get_batch(i) for i in range(opened.num_record_batches))
        else:
            from pyarrow import parquet

            opened = parquet.ParquetFile(file, page_checksum_verification=True)
            here = opened.schema_arrow.names
            groups = map(opened.metadata.row_group, range(opened.num_row_groups))
            num_bytes = sum(group.total_byte_size for group in groups)
            check_sizes({"its rows": (num_bytes, size)}, str(path))
            batches = opened.iter_batches(num_rows)
        if missing := [name for name in columns if name not in here]:
            raise InputError(
                f"{path}: no column {', '.join(missing)}; it has {', '.join(here) or 'none'}"
            )
        for batch in batches:
            batch.validate(full=True)
            needed = max(batch.nbytes, batch.num_rows)  # a row may be empty
            check_sizes({"its rows": (needed, size)}, str(path))
            yield batch


def cell(batch: Any, name: str, row: int, where: str) -> np.ndarray:
    """Returns the list in a row of a column as numbers, [N] or [N, W].

    Raises:
        InputError: if it is not a list of numbers.
    """
    import pyarrow.types as kinds

    column = batch.column(name)
    if not kinds.is_list(column.type) or not column[row].is_valid:
        raise InputError(f"{where}: {name} is not a list but {column.type}")
    return numbers(column[row].values, f"{where}, {name}")


def numbers(values: Any, where: str) -> np.ndarray:
    """Returns an Arrow array as [N], or as [N, W] if it holds lists of equal length.

    Raises:
        InputError: if it holds anything but numbers, or values are missing.
    """
    import pyarrow.types as kinds

    if values.null_count:
        raise InputError(f"{where}: {values.null_count} values are missing")
    if kinds.is_list(values.type) or kinds.is_fixed_size_list(values.type):
        lengths = set(values.value_lengths().to_pylist())
        if len(lengths) != 1:
            raise InputError(f"{where}: rows of {sorted(lengths)[:5]} numbers")
        return numbers(values.flatten(), where).reshape(len(values), -1)
    if kinds.is_floating(values.type) or kinds.is_integer(values.type):
        return values.to_numpy()
    if kinds.is_boolean(values.type):
        return values.to_numpy(zero_copy_only=False)
    raise InputError(f"{where}: not numbers but {values.type}")
