"""Reading CSV and Parquet tables, a row a step, with pyarrow."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rlp.data.arrow import numbers, read_batches
from rlp.data.reading import announced_file
from rlp.errors import InputError

SUFFIXES = (".csv", ".parquet")


def is_table(path: Path) -> bool:
    """Returns whether `path` is named as a table is."""
    return path.is_file() and path.suffix in SUFFIXES


def table_schema(path: Path) -> Any:
    """Returns the pyarrow schema of a table: of a CSV file, as its first rows have it.

    Raises:
        InputError: if the file is damaged, or pyarrow is not installed.
    """
    with _pyarrow(path) as pyarrow:
        if path.suffix == ".parquet":
            from pyarrow import parquet

            return parquet.read_schema(path)
        from pyarrow import csv

        with path.open("rb") as file:
            schema = csv.open_csv(file).schema
        if len(set(schema.names)) < len(schema.names):
            raise InputError(
                f"{path}: two columns have the same name, of {', '.join(schema.names)}"
            )
        del pyarrow
        return schema


def read_table(path: Path, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """Returns columns as arrays, [N] or of lists [N, W].

    Raises:
        InputError: if the file is damaged, or a column has text, gaps or lists of other lengths.
    """
    if path.suffix == ".parquet":
        batches = [
            {name: numbers(batch.column(name), f"{path}, {name}") for name in wanted}
            for batch in read_batches(path, wanted)
        ]
        return {name: np.concatenate([batch[name] for batch in batches]) for name in wanted}
    with _pyarrow(path), announced_file(path) as file:
        from pyarrow import csv

        table = csv.read_csv(file, convert_options=csv.ConvertOptions(include_columns=wanted))
    return {
        name: numbers(table.column(name).combine_chunks(), f"{path}, {name}") for name in wanted
    }


@contextmanager
def _pyarrow(path: Path) -> Iterator[Any]:
    """Yields pyarrow, and turns what it raises on a damaged file into an InputError."""
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise InputError(f"{path}: install pyarrow to read it") from None
    try:
        yield pyarrow
    except InputError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: damaged, or no {path.suffix[1:]} table ({error})") from error
