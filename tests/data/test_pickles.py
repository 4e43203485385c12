"""Pickles: everything that could run is refused by name."""

import collections
import os
import pickle
import resource
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlp.data import pickles
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


def text(value: str) -> bytes:
    """Returns the opcode of a text."""
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def call(name: str, *arguments: bytes) -> bytes:
    """Returns the opcodes of a call of `module name`."""
    return b"c" + name.replace(" ", "\n").encode() + b"\n(" + b"".join(arguments) + b"tR"


def array(kind: str, shape: bytes, content: bytes) -> bytes:
    """Returns the opcodes of an array, as numpy pickles it in protocol 3."""
    made = call("numpy.core.multiarray _reconstruct", b"cnumpy\nndarray\n", b"(I0\nt", text("b"))
    numbers = call("numpy dtype", text(kind))
    stored = b"B" + struct.pack("<I", len(content)) + content
    return made + b"(I1\n(" + shape + b"t" + numbers + b"\x89" + stored + b"tb"


PAIRS = b"I1\n" + b"2\x86" * 40  # a tuple twice in a tuple, 40 times: 2^40 numbers


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"](" * 1000 + b"e" * 1000, "more than 20 deep"),
        (b")" + b"\x85" * 100_000, "more than 20 deep"),
        (b"]q\0h\0a", "more than 20 deep"),  # a list in itself
        (b"](" + b"]q\0(" + b"K\1" * 3000 + b"e" + b"h\0" * 3000 + b"e", "over and over"),
        (b"}" + PAIRS + b"I1\ns", "a key of a dict is a tuple"),
        (b"}(" + PAIRS + b"I1\nu", "a key of a dict is a tuple"),
        (b"(" + PAIRS + b"I1\nd", "a key of a dict is a tuple"),
        (b"}\x8a\x0a" + b"\x7f" * 10 + b"I1\ns", "a key of a dict is a int"),
        (b"\x8b" + struct.pack("<I", 100_000) + b"\x7f" * 100_000, "whole number of more than 77"),
        (b"L" + b"9" * 4000 + b"L\n", "whole number of more than 77"),
        (b"I" + b"9" * 4000 + b"\n", "whole number of more than 77"),
        (b"\x8f", "a set"),
        (b"\x82\1", "an object by the number 1"),
        (call("_codecs encode", b"C\3abc", text("hex")), "an unknown encoding"),
        (call("_codecs encode", PAIRS, text("latin1")), "an unknown encoding"),
        (call("_codecs lookup", text("hex")), "_codecs.lookup"),
        (call("numpy dtype", PAIRS), "without a name"),
        (call("numpy dtype", text("U99999")), "array of U99999"),
        (call("numpy dtype", text("f16")), "array of f16"),
        (array("f4", b"I1000000\n", b"1234"), "4,000,000 bytes, of which it has 4"),
        (array("f4", b"I-1\nI-1\n", b"1234"), "not a shape"),
        (array("f4", b"I1\n" * 9, b"1234"), "not a shape"),
        (array("f4", b"I0\nI2000000\n", b""), "2,000,000 rows or columns without a number"),
        (array("b1", b"I1\n", b"\xff"), "damaged flags"),
        (array("U1", b"I1\n", b"\xff\xff\xff\xff"), "damaged texts"),
        (array("f4", b"I1\n", b"1234") + b"(I1\n(ttb", "filled twice"),
        (call("numpy ndarray", b"(I9\nt") + b"I0\n" + PAIRS + b"s", "damaged or no pickle"),
        (array("f4", b"I1\n", b"1234") + b"I0\n" + PAIRS + b"s", "ndarray in place of a dict"),
        (b"cnumpy\ndtype\nN}(" + text("x") + b"I1\nu\x86b", "a state of a type"),
        (b"c_codecs\nencode\nN}(" + text("__code__") + b"I1\nu\x86b", "a state of a function"),
        (b"c_codecs\nencode\n" + array("f4", b"I1\n", b"1234") + b"R", "in place of a tuple"),
        (b"\x95" + struct.pack("<Q", 10**10) + b"]", "cut off"),
        (b"\x95" + struct.pack("<Q", 4) + b"\x8c\x05ab" + b"cde", "cut off"),  # beyond its frame
        (b"X" + struct.pack("<I", 10**9) + b"a", "cut off"),
        (b"I12", "cut off"),
        (b"N.N", "something follows its value"),
        (b"](U\1a" + b"cos\nsystem\n", "which Python 2 wrote: it holds a os.system"),
    ],
)
def test_what_no_data_needs_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\4" + content + b".")
    with pytest.raises(InputError, match=message) as caught:
        read_pickle(path)
    assert len(str(caught.value)) < 300 + len(str(path))


@pytest.mark.parametrize("opcode", [b"]", b"}", b"(", b"\x94", b"r\0\0\0\0", b"p0\n"])
def test_more_objects_than_data_has_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opcode: bytes
):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"]" + opcode * 1000 + b".")
    monkeypatch.setattr(pickles, "MAX_OBJECTS", -2000)
    with pytest.raises(InputError, match="more objects than data of its size has"):
        read_pickle(path)


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_gives_the_same(tmp_path: Path, protocol: int):
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((4, 3, 2))
    value = {
        "floats": numbers.astype(np.float32), "by columns": np.asfortranarray(numbers[0]),
        "axes": numbers.transpose(1, 0, 2), "swapped": numbers.astype(">f8"),
        "flags": np.array([True, False]), "none": np.zeros((0, 3)), "one": np.array(2.5),
        "scalar": np.float64(1.5), "count": np.int64(3), "texts": np.array(["ä", "b" * 20]),
        "large": np.zeros(100_000, np.int8), "rest": [(1, -(2**70)), None, True, "ü", b"\xff"],
    }  # fmt: skip
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    read = read_pickle(path)
    assert list(read) == list(value)
    for name, expected in pickle.loads(path.read_bytes()).items():
        if isinstance(expected, np.ndarray | np.generic):
            assert read[name].dtype == expected.dtype
            np.testing.assert_array_equal(read[name], expected, strict=True)
        else:
            assert read[name] == expected


def test_what_python_2_wrote_is_read(tmp_path: Path):
    def string(content: bytes) -> bytes:
        return b"U" + bytes([len(content)]) + content

    content = np.array([[1.5, -2], [300, 4e-5]], ">f4")
    made = call("numpy.core.multiarray _reconstruct", b"cnumpy\nndarray\n", b"(K\0t", string(b"b"))
    kind = call("numpy dtype", string(b"f4"), b"K\0K\1")
    order = b"(K\3" + string(b">") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    state = b"(K\1(K\2K\2t" + kind + order + b"\x89" + string(content.tobytes()) + b"tb"
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\2}(" + string(b"actions") + made + state + string(b"\xe4") + b"L5L\nu.")
    read = read_pickle(path)
    assert list(read) == ["actions", "ä"]
    np.testing.assert_array_equal(read["actions"], content)
    assert read["ä"] == 5


@pytest.mark.slow
def test_a_large_hostile_file_takes_little_time_and_memory(tmp_path: Path):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\4](" + b"}\x94" * 5_000_000 + b"e.")
    code = (
        "import resource, sys; from pathlib import Path; from rlp.data.pickles import read_pickle\n"
        "for limit, most in ((resource.RLIMIT_AS, 2**32), (resource.RLIMIT_CPU, 60)):\n"
        "    resource.setrlimit(limit, (most, most))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_pickle(Path(sys.argv[1]))\n"
        "except ValueError as error: print(error)\n"
        "assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert "more objects than data of its size has" in done.stdout, done.stderr
