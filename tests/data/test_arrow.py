"""Arrow and Parquet files that claim more rows than their bytes can hold."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from rlp.data.arrow import read_batches
from rlp.errors import InputError


def test_rows_of_nothing_are_refused(tmp_path: Path):
    path = tmp_path / "a.arrow"
    table = pa.table({"a": pa.nulls(10**9)})
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)
    with pytest.raises(InputError, match=r"a\.arrow, its rows: .* cannot hold 1,000,000,000 bytes"):
        list(read_batches(path, ["a"]))


@pytest.mark.parametrize("name", ["a.arrow", "a.parquet"])
def test_other_files_are_refused(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_bytes(b"PAR1" * 100)
    with pytest.raises(InputError, match=f"{name}: damaged, or no (arrow|parquet) file"):
        list(read_batches(path, ["a"]))


def test_a_missing_column_is_named(tmp_path: Path):
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"b": [1.0]}), path)
    with pytest.raises(InputError, match=r"a\.parquet: no column a; it has b"):
        list(read_batches(path, ["a"]))
