"""rlp's minimal layout, as the README says to write it; test_round_trips.py has the rest."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow
import pytest
from pyarrow import csv, parquet

from rlp import data
from rlp.data.episodes import fingerprint
from rlp.data.options import ReadOptions
from rlp.errors import DataWarning, InputError


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


ROWS = 12
COLUMNS = {
    "obs_0": np.arange(ROWS) / 7, "obs_1": np.cos(np.arange(ROWS)), "obs_10": np.ones(ROWS),
    "obs_2": np.zeros(ROWS), "act": np.linspace(-1, 1, ROWS), "rew": np.ones(ROWS),
    "over": np.arange(ROWS) == 3, "id": np.arange(ROWS) // 4,
}  # fmt: skip
MAPPED = "observation=obs_*,action=act,reward=rew,terminated=over,episode=id"


def table(path: Path, columns: dict[str, np.ndarray]) -> str:
    """Writes a CSV or Parquet table, or an npz or HDF5 file."""
    if path.suffix == ".csv":
        csv.write_csv(pyarrow.table(columns), path)
    elif path.suffix == ".parquet":
        parquet.write_table(pyarrow.table(columns), path)
    elif path.suffix == ".npz":
        np.savez(path, allow_pickle=False, **columns)
    else:
        with h5py.File(path, "w") as file:
            for name, column in columns.items():
                file[name] = column
    return str(path)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz", ".h5"])
def test_columns_of_other_names_are_mapped(tmp_path: Path, suffix: str):
    path = table(tmp_path / f"a{suffix}", COLUMNS)
    with pytest.raises(InputError, match=r"no observation and no action; it has .*--columns=obs"):
        data.load(path)
    read = data.load(path, ReadOptions(columns=MAPPED))
    assert read.lengths.tolist() == [4, 4, 4]
    assert [e.terminated for e in read.episodes] == [True, False, False]
    expected = np.column_stack([COLUMNS[f"obs_{n}"] for n in (0, 1, 2, 10)])
    observation = np.concatenate([e.observation for e in read.episodes])
    np.testing.assert_allclose(observation, expected, rtol=1e-6)
    action = np.concatenate([e.action for e in read.episodes])
    np.testing.assert_allclose(action[:, 0], COLUMNS["act"], rtol=1e-6)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("observation=obs_*,action=turn", "no column turn; it has obs_0"),
        ("observations=obs_*", r"observations=obs_\* is not FIELD=NAME.*did you mean observation"),
        ("observation", "observation is not FIELD=NAME"),
        ("action=act,action=rew", "action=rew is not FIELD=NAME, each once"),
        ("observation=obs_*", "no column of action"),
    ],
)
def test_a_mapping_that_does_not_fit_is_named(tmp_path: Path, columns: str, message: str):
    path = table(tmp_path / "a.csv", COLUMNS)
    with pytest.raises(InputError, match=message):
        data.load(path, ReadOptions(columns=columns))


def test_names_may_be_plural_and_numbered(tmp_path: Path):
    plain = data.load(write(tmp_path / "a.npz", action=np.linspace(-1, 1, 6)[:, None]))
    with np.load(tmp_path / "a.npz") as stored:
        plural = {name if name.endswith("ated") else f"{name}s": stored[name] for name in stored}
        numbered = {f"observation_{i}": stored["observation"][:, i] for i in (0, 1)}
        numbered |= {name: stored[name].reshape(6) for name in stored if name != "observation"}
    assert fingerprint(data.load(table(tmp_path / "b.npz", plural))) == fingerprint(plain)
    assert fingerprint(data.load(table(tmp_path / "c.csv", numbered))) == fingerprint(plain)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dones": np.zeros(6)}, "dones, whose meaning is not known"),
        ({"actions": np.zeros((6, 1))}, "both action and actions"),
    ],
)
def test_every_column_must_be_known(tmp_path: Path, changed: dict[str, np.ndarray], message: str):
    with pytest.raises(InputError, match=message):
        data.load(write(tmp_path / "a.npz", **changed))


def test_what_is_missing_is_said(tmp_path: Path):
    few = {k: v for k, v in COLUMNS.items() if k not in ("rew", "over", "id")}
    path = table(tmp_path / "a.csv", few)
    options = ReadOptions(columns="observation=obs_*,action=act")
    with pytest.warns(DataWarning) as raised:
        read = data.load(path, options)
    assert not read.has_rewards
    said = " ".join(str(warning.message) for warning in raised)
    assert "no column says where a time limit cut" in said
    assert "no column says where the MDP terminated" in said
    with pytest.warns(DataWarning, match="where the MDP terminated"):
        read = data.load(path, replace(options, episode_length=5))
    assert read.lengths.tolist() == [5, 5, 2]
    with pytest.raises(InputError, match=r"--episode_length: .* says itself where"):
        data.load(write(tmp_path / "b.npz"), ReadOptions(episode_length=5))


def test_rows_of_an_episode_must_be_together(tmp_path: Path):
    path = table(tmp_path / "a.csv", {**COLUMNS, "id": np.arange(ROWS) % 2})
    with pytest.raises(InputError, match="rows of an episode are not together"):
        data.load(path, ReadOptions(columns=MAPPED))


@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        ("act", ["left"] * ROWS, "a.csv, act: not numbers but string"),
        ("rew", [1.0] * (ROWS - 1) + [None], "a.csv, rew: 1 values are missing"),
    ],
)
def test_text_and_gaps_in_tables_are_named(tmp_path: Path, name: str, column: Any, message: str):
    path = table(tmp_path / "a.csv", {**COLUMNS, name: column})
    with pytest.raises(InputError, match=message):
        data.load(path, ReadOptions(columns=MAPPED))


def test_bounds_travel_with_the_columns(tmp_path: Path):
    action = np.linspace(-2, 2, 6)[:, None]
    path = write(
        tmp_path / "a.npz", action=action, action_low=np.array([-2.0]), action_high=np.array([2.0])
    )
    read = data.load(path)
    np.testing.assert_allclose(np.concatenate([e.action for e in read.episodes]), action / 2)
    assert read.bounds is not None


def test_numbers_that_begin_as_whole_ones_are_read(tmp_path: Path):
    rows = 300_000  # more than a block of CSV that is read at once
    columns = {
        "observation_0": np.where(np.arange(rows) < rows - 1, 0, 0.5), "action_0": np.ones(rows),
        "reward": np.ones(rows), "truncated": np.arange(rows) % 1000 == 999,
    }  # fmt: skip
    columns["action_0"][-1] = 0.5
    path = table(tmp_path / "a.csv", columns)
    with pytest.warns(DataWarning, match="where the MDP terminated"):
        read = data.load(path)
    assert read.episodes[-1].observation[-1] == 0.5


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_rows_of_zeros_behind_the_last_are_padding(tmp_path: Path, suffix: str):
    with np.load(write(tmp_path / "a.npz", action=np.linspace(-1, 1, 6)[:, None])) as stored:
        columns = {name: stored[name] for name in stored}
    padded = {
        k: np.concatenate([v, np.zeros((5, *v.shape[1:]), v.dtype)]) for k, v in columns.items()
    }
    path = table(tmp_path / f"b{suffix}", padded)
    with pytest.warns(DataWarning, match="the last 5 rows have nothing but zeros"):
        read = data.load(path)
    assert fingerprint(read) == fingerprint(data.load(str(tmp_path / "a.npz")))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("observation=obs_*,action=act", r"obs_\* is obs_next_0, too; numbers are obs_\[0-9\]\*"),
        ("observation=obs_[0-9]*,action=act,terminated=over,truncated=over", "over is given two"),
    ],
)
def test_a_mapping_that_takes_too_much_is_refused(tmp_path: Path, columns: str, message: str):
    path = table(tmp_path / "a.csv", {**COLUMNS, "obs_next_0": np.ones(ROWS)})
    with pytest.raises(InputError, match=message):
        data.load(path, ReadOptions(columns=columns))


def test_the_index_of_pandas_is_no_column(tmp_path: Path):
    path = table(tmp_path / "a.csv", {"": np.arange(ROWS), **COLUMNS})
    assert len(data.load(path, ReadOptions(columns=MAPPED)).episodes) == 3


def test_rows_of_several_environments_may_be_interleaved(tmp_path: Path):
    cut = np.repeat(np.arange(8) % 4 == 3, 4)  # four environments, all of which end together
    columns = {
        "observation": np.arange(32.0), "action": np.linspace(-1, 1, 32), "reward": np.ones(32),
        "terminated": np.zeros(32, bool), "truncated": cut,
    }  # fmt: skip
    with pytest.warns(DataWarning, match="6 of 8 episodes have one step: are rows of several"):
        data.load(table(tmp_path / "a.npz", columns))


def test_observations_of_one_number_need_no_second_axis(tmp_path: Path):
    columns = {
        "observation": np.arange(6.0), "action": np.linspace(-1, 1, 6), "reward": np.ones(6),
        "terminated": np.arange(6) == 5, "truncated": np.zeros(6, bool),
        "next_observation": np.arange(1.0, 7),
    }  # fmt: skip
    for name in ("a.npz", "b.h5"):
        assert data.load(table(tmp_path / name, columns)).episodes[0].observation.shape == (7, 1)
