"""Pickles: everything that could run is refused by name."""

import collections
import os
import pickle
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlp.data.pickles import Inert, read_pickle
from rlp.errors import InputError


def write(path: Path, value: Any) -> Path:
    path.write_bytes(pickle.dumps(value))
    return path


class Harmful:
    def __reduce__(self) -> Any:
        return os.system, ("echo harm",)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Harmful(), "posix.system"),
        ([{"observations": Harmful()}], "posix.system"),
        (collections.OrderedDict(a=1), "collections.OrderedDict"),
        ({"a": np.random.default_rng(0)}, "numpy.random"),
        (np.array([1, "a"], dtype=object), "array of objects"),
        ({"a": [(np.array([None]),)]}, "array of objects"),
        (np.zeros(1, "m8[s]"), "array of m8"),  # a damaged one has crashed numpy
    ],
)
def test_everything_else_is_refused_by_name(tmp_path: Path, value: Any, named: str, capfd: Any):
    with pytest.raises(InputError, match=named):
        read_pickle(write(tmp_path / "a.pkl", value))
    assert "harm" not in capfd.readouterr().out


def test_a_damaged_size_fills_no_memory(tmp_path: Path):
    path, before = tmp_path / "a.pkl", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path.write_bytes(b"\x80\x04]r\xff\xff\xff\x7f.")  # a list, kept under number 2^31 - 1
    assert read_pickle(path) == []
    path.write_bytes(b"\x80\x05\x96" + (2**33).to_bytes(8, "little") + b"abc.")  # 8 GB of bytes
    with pytest.raises(InputError, match="damaged or no pickle"):
        read_pickle(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000  # kilobytes


def test_an_object_of_a_known_package_keeps_its_state_and_runs_nothing(tmp_path: Path, capfd: Any):
    path = write(tmp_path / "a.pkl", {"a": Path("x"), "b": 1})
    with pytest.raises(InputError, match="pathlib"):
        read_pickle(path)
    read = read_pickle(path, inert=["pathlib"])
    assert isinstance(read["a"], Inert)
    assert read["b"] == 1
    with pytest.raises(InputError, match=r"posix\.system"):
        read_pickle(write(tmp_path / "b.pkl", {"a": Path("x"), "b": Harmful()}), inert=["pathlib"])
    assert "harm" not in capfd.readouterr().out
