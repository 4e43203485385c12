"""Trajectories in Parquet, one per row, like Hugging Face's decision_transformer_gym_replay.

`path` is a file, or a folder with files in it, in its `train` or in its `data`. observations,
actions, rewards and dones are lists with one element per step. `dones` are terminations, not time
limits. The observation after the last step is not stored.
"""

from pathlib import Path

import numpy as np

from rlp.data.arrow import cell, read_batches
from rlp.data.flat import Cuts, check_rows, cut, flags, vector
from rlp.data.options import ReadOptions
from rlp.data.reading import announced
from rlp.data.stored import Stored, numbered
from rlp.data.table import INDEX, table_schema
from rlp.errors import InputError

LOOKS_FOR = "trajectories in Parquet (Hugging Face)"
COLUMNS = ("observations", "actions", "rewards", "dones")
FOLDERS = (".", "train", "data")


def matches(path: Path) -> bool:
    """Returns whether `path` is, or contains, Parquet files with one trajectory per row."""
    files = _files(path)
    if not files:
        return False
    schema = table_schema(files[0])
    is_list = "rewards" in schema.names and "list" in str(schema.field("rewards").type)
    return is_list or path.is_dir()


def read(path: Path, options: ReadOptions) -> Stored:
    """Returns the trajectories in order, cut where they are done."""
    del options  # the files state everything
    files, episodes, cuts, count = _files(path), [], Cuts(), 0
    for file in files:
        names = table_schema(file).names
        if unknown := [name for name in names if name not in (*COLUMNS, *INDEX)]:
            raise InputError(
                f"{file}: {', '.join(unknown)} is no column of trajectories, which have "
                f"{', '.join(COLUMNS)}: what it means is not known"
            )
    for file in announced(files, str(path), sum(file.stat().st_size for file in files)):
        for batch in read_batches(file, COLUMNS):
            for row in range(batch.num_rows):
                where = f"{file}, trajectory {count}"
                columns = [cell(batch, name, row, where) for name in COLUMNS]
                check_rows(dict(zip(COLUMNS, columns, strict=True)), where)
                observation, action, reward, done = columns
                ended = flags(done, f"{where}, dones")
                zeros = np.zeros(len(ended), bool)
                episodes += cut(
                    observation, action, vector(reward), ended, zeros, None, where, cuts, True
                )
                count += 1
    return Stored(episodes, numbered(str(path), "trajectory"), notes=cuts.notes())


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    return next(filter(None, (sorted((path / f).glob("*.parquet")) for f in FOLDERS)), [])
