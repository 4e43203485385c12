"""Reads CSV and Parquet tables, one row per step, with pyarrow."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlp.data.arrow import numbers, pyarrow_of, read_batches
from rlp.data.reading import announced_file
from rlp.errors import InputError

SUFFIXES = (".csv", ".parquet")
INDEX = ("", "Unnamed: 0", "__index_level_0__")  # names of pandas' index column
BATCH = 100_000  # rows of Parquet read at once
LARGEST_BLOCK = 2**31 - 1  # bytes of CSV; the first block decides the type of a column


def is_table(path: Path) -> bool:
    """Returns whether `path` has the suffix of a table."""
    return path.is_file() and path.suffix in SUFFIXES


def table_schema(path: Path) -> Any:
    """Returns the pyarrow schema of a table; for a CSV file, as inferred from its first rows.

    Raises:
        InputError: if the file is damaged, two columns have one name, or pyarrow is not installed.
    """
    with pyarrow_of(path):
        from pyarrow import csv, parquet

        if path.suffix == ".parquet":
            schema = parquet.read_schema(path)
        else:
            with path.open("rb") as file:
                lines = csv.ParseOptions(newlines_in_values=True)
                schema = csv.open_csv(file, parse_options=lines).schema
    if len(set(schema.names)) < len(schema.names):
        raise InputError(f"{path}: two columns have the same name, of {', '.join(schema.names)}")
    return schema


def read_table(path: Path, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """Returns columns as arrays, [N], or [N, W] for columns of lists.

    Raises:
        InputError: if the file is damaged, or a column has text, gaps or lists of unequal lengths.
    """
    if path.suffix == ".parquet":
        batches = list(read_batches(path, wanted, BATCH))
    else:
        with pyarrow_of(path), announced_file(path) as file:
            from pyarrow import csv

            whole = csv.ReadOptions(block_size=min(path.stat().st_size + 1, LARGEST_BLOCK))
            options = csv.ConvertOptions(include_columns=list(wanted))
            batches = csv.read_csv(file, whole, convert_options=options).to_batches()
    if not batches:
        raise InputError(f"{path}: it has no rows")
    return {
        name: np.concatenate([numbers(batch.column(name), f"{path}, {name}") for batch in batches])
        for name in wanted
    }
