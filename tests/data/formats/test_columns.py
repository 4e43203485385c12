"""rlp's minimal layout, as the README says to write it; test_round_trips.py has the rest."""

from pathlib import Path

import numpy as np
import pytest

from rlp import data
from rlp.errors import InputError


def write(path: Path, **changed: np.ndarray) -> str:
    columns = {
        "observation": np.arange(12.0).reshape(6, 2), "action": np.zeros((6, 1)),
        "reward": np.ones(6), "terminated": np.arange(6) == 1, "truncated": np.arange(6) == 3,
        **changed,
    }  # fmt: skip
    np.savez(path, allow_pickle=False, **columns)
    return str(path)


def test_episodes_end_where_a_flag_is_set(tmp_path: Path):
    read = data.load(write(tmp_path / "a.npz", env=np.array("walker-walk")))
    assert read.env == "walker-walk"
    assert read.lengths.tolist() == [2, 2, 2]
    assert [e.terminated for e in read.episodes] == [True, False, False]
    assert [len(e.observation) for e in read.episodes] == [2, 2, 2]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"reward": np.ones(5)}, "a row for each step"),
        ({"next_observation": np.ones((6, 3))}, r"observations of \(2,\), next .* of \(3,\)"),
        ({"action": np.full((6, 1), 3.0)}, "rows 0 to 1: actions reach 3"),
        ({"observation": np.full((6, 2), np.nan)}, "rows 0 to 1: observation has 4 NaN"),
        ({"terminated": np.array(["a"] * 6)}, "terminated is not numbers but <U1"),
    ],
)
def test_columns_that_cannot_be_are_named(
    tmp_path: Path, changed: dict[str, np.ndarray], message: str
):
    with pytest.raises(InputError, match=message):
        data.load(write(tmp_path / "a.npz", **changed))
