"""Npz files that hide arrays, claim more than they hold, or hold something else than numbers."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlp.data import npz
from rlp.data.npz import npz_names, read_npz
from rlp.errors import InputError


def npy(array: Any) -> bytes:
    """Returns an array as numpy stores it."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def header(described: str, version: int = 1) -> bytes:
    """Returns what is before an array, with any description of it."""
    length = struct.pack("<H" if version == 1 else "<I", len(described) + 1)
    return b"\x93NUMPY" + bytes([version, 0]) + length + described.encode() + b"\n"


def write(path: Path, **arrays: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in arrays.items():
            file.writestr(f"{name}.npy", content)
    return path


def shaped(shape: str, kind: str = "<f4") -> str:
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_wrote_is_read(tmp_path: Path, save: Any):
    arrays = {
        "a": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "b": np.zeros((0, 4), ">f4"),
        "c": np.array("walker-walk"), "d": np.array([True, False]),
    }  # fmt: skip
    save(tmp_path / "a.npz", **arrays)
    assert npz_names(tmp_path / "a.npz") == list(arrays)
    read = read_npz(tmp_path / "a.npz")
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array, strict=True)


def test_sizes_may_follow_an_array(tmp_path: Path):
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as file:
        for name in "ab":
            with file.open(f"{name}.npy", "w") as member:
                member.write(npy(np.arange(3)))
    (tmp_path / "a.npz").write_bytes(pipe.getvalue())
    assert [*read_npz(tmp_path / "a.npz")] == ["a", "b"]


@pytest.mark.parametrize("name", ["observation", "env"])
@pytest.mark.parametrize("place", ["where it is stored", "in the directory"])
def test_a_damaged_name_hides_no_array(tmp_path: Path, name: str, place: str):
    path = write(tmp_path / "a.npz", observation=npy(np.zeros(3)), env=npy("walker-walk"))
    content, wanted = path.read_bytes(), f"{name}.npy".encode()
    at = content.index(wanted) if place == "where it is stored" else content.rindex(wanted)
    path.write_bytes(content[:at] + b"X" + content[at + 1 :])
    with pytest.raises(InputError, match=r"a\.npz: damaged .* another name where it is stored"):
        read_npz(path, ["observation"], ["env"])
    with pytest.raises(InputError, match=r"a\.npz: damaged .* another name where it is stored"):
        npz_names(path)


def without_entry(content: bytes) -> bytes:
    """Returns an archive whose directory does not name the first of its arrays."""
    first = content.index(b"PK\1\2")
    second = content.index(b"PK\1\2", first + 1)
    end = bytearray(content[content.index(b"PK\5\6") :])
    count = struct.unpack_from("<H", end, 8)[0] - 1
    size, place = struct.unpack_from("<II", end, 12)
    struct.pack_into("<HHII", end, 8, count, count, size - (second - first), place)
    return content[:first] + content[second : content.index(b"PK\5\6")] + bytes(end)


def overlapping(content: bytes) -> bytes:
    """Returns an archive whose last array claims to have more bytes than it has."""
    changed, at = bytearray(content), content.rindex(b"PK\1\2")
    struct.pack_into("<I", changed, at + 20, struct.unpack_from("<I", content, at + 20)[0] + 30)
    return bytes(changed)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: b"x" + content, "something before its first array"),
        (without_entry, "something before its first array"),
        (overlapping, "what follows env.npy is not in its directory"),
        (lambda content: content[:-30], "damaged or no npz"),
        (lambda _: npy(np.zeros(3)), "damaged or no npz"),
        (lambda _: b"", "damaged or no npz"),
    ],
)
def test_a_directory_accounts_for_the_whole_file(tmp_path: Path, damage: Any, message: str):
    path = write(tmp_path / "a.npz", observation=npy(np.zeros(3)), env=npy("walker-walk"))
    path.write_bytes(damage(path.read_bytes()))
    for read in (read_npz, npz_names):
        with pytest.raises(InputError, match=rf"a\.npz: .*{message}"):
            read(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("again", ["a.npy", "a"])
def test_two_arrays_of_one_name_are_refused(tmp_path: Path, again: str):
    path = write(tmp_path / "a.npz", a=npy(np.zeros(3)))
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(again, npy(np.ones(3)))
    with pytest.raises(InputError, match="two arrays of one name"):
        read_npz(path)


def test_only_so_many_arrays_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "a.npz", a=npy(1), b=npy(2))
    monkeypatch.setattr(npz, "MAX_ARRAYS", 1)
    with pytest.raises(InputError, match="2 arrays, of which 1 may be"):
        npz_names(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy(np.array([None])), "a.npz, a: not numbers or texts but objects"),
        (npy(np.zeros(2, "M8[s]")), "not numbers or texts but datetime64"),
        (npy(np.zeros(2, [("x", "f4")])), "not numbers or texts but"),
        (npy(np.zeros(2, np.longdouble)), "not numbers or texts but float128"),
        (npy(np.zeros(2, "c8")), "not numbers or texts but complex64"),
        (header(shaped("(1000000, 1000000)")), "0 bytes of 4,000,000,000,000"),
        (header(shaped("(1,)")) + bytes(8), "8 bytes of 4"),  # the rest would not be checked
        (header(shaped("(-1, 2)")), "not a shape"),
        (header(shaped("(2000000, 0)")), "2,000,000 rows or columns without a number"),
        (header(shaped("(1,)", "|b1")) + b"\xff", "damaged flags"),
        (header(shaped("(1,)", "<U1")) + b"\xff" * 4, "damaged texts"),
        (header("__import__('os').system('echo harm')"), "damaged or no npz"),
        (header("(" * 500), "damaged or no npz"),
        (header("-" * 900 + "1"), "damaged or no npz"),
        (header(shaped("(1,)") + " " * 2000) + bytes(4), "damaged or no npz .*large"),
        (header(shaped("(1,)"), version=2) + bytes(4), "not an array of numbers or texts"),
        (b"no array", "damaged or no npz"),
    ],
)
def test_what_is_no_numbers_is_refused(tmp_path: Path, content: bytes, message: str, capfd: Any):
    with pytest.raises(InputError, match=message):
        read_npz(write(tmp_path / "a.npz", a=content))
    assert "harm" not in capfd.readouterr().out
