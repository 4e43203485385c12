"""Replay buffers as columns with other names: tlppo's HDF5, and CSV with observations as text.

state or obs    [N, O]; in CSV a text in numpy's format, "[0.1 0.2 ...]"
action          [N] discrete, or [N, A] in [-1, 1]
reward          [N]
done            [N], read as terminations: no column marks time limits
next_state or next_obs   [N, O]

The rows of an episode are consecutive.
"""

import csv
from pathlib import Path

import numpy as np

from rlp.data.columnar import column_names, is_columnar, open_columns
from rlp.data.formats import columns
from rlp.data.options import ReadOptions
from rlp.data.stored import Stored
from rlp.errors import InputError

LOOKS_FOR = "a replay buffer in columns (.h5, .csv: state or obs, action, reward, done, next_...)"
LAYOUTS = tuple(
    {
        name: "observation", "action": "action", "reward": "reward", "done": "terminated",
        f"next_{name}": "next_observation",
    }
    for name in ("state", "obs")
)  # fmt: skip


def matches(path: Path) -> bool:
    """Returns whether `path` is a file in one of these layouts."""
    return is_columnar(path) and set(column_names(path)) in map(set, LAYOUTS)


def read(path: Path, options: ReadOptions) -> Stored:
    """Returns the episodes in order.

    Raises:
        InputError: if a column does not hold numbers, or its vectors differ in length.
    """
    [layout] = [layout for layout in LAYOUTS if set(column_names(path)) == set(layout)]
    if path.suffix == ".csv":
        found, units = _read_csv(path, list(layout)), "own"
    else:
        with open_columns(path, list(layout)) as (opened, _):
            found, units = {name: np.asarray(column[:]) for name, column in opened.items()}, "unit"
    fields = {layout[name]: column for name, column in found.items()}
    stored = columns.from_columns(fields, str(path), options, {}, units)
    stored.notes.append("done is read as a termination, also where a time limit cut")
    return stored


def _read_csv(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise InputError(f"{path}: it has no rows")
    return {name: _numbers([row[name] for row in rows], f"{path}, {name}") for name in names}


def _numbers(texts: list[str], where: str) -> np.ndarray:
    """Returns numbers [N], or vectors [N, W] if the texts have brackets.

    Raises:
        InputError: if a text is neither, or the vectors have different lengths.
    """
    is_vector = texts[0].lstrip().startswith("[")
    found = []
    for number, text in enumerate(texts):
        try:
            words = text.strip().removeprefix("[").removesuffix("]").replace(",", " ").split()
            found.append([_number(word) for word in words])
        except ValueError:
            raise InputError(f"{where}, row {number}: {text!r} is not numbers") from None
        if len(found[-1]) != (len(found[0]) if is_vector else 1):
            raise InputError(f"{where}, row {number}: {len(found[-1])} numbers in {text!r}")
    array = np.array(found)
    whole = np.array_equal(array, np.round(array)) and all("." not in text for text in texts)
    array = array.astype(np.int64) if whole else array
    return array if is_vector else array[:, 0]


def _number(word: str) -> float:
    return {"True": 1.0, "False": 0.0}[word] if word in ("True", "False") else float(word)
