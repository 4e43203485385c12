import math
import os
from pathlib import Path

import pytest

from rlp.errors import InputError
from rlp.system.files import (
    check_plain,
    json_object,
    read_json,
    read_object,
    read_objects,
    whole,
    write_json,
)


def test_what_fails_half_way_leaves_the_file_as_it_was(tmp_path: Path):
    path = tmp_path / "a.json"
    write_json(path, [1])

    def fail() -> None:
        with whole(path) as file:
            file.write(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk"):
        fail()
    assert read_json(path) == [1]
    assert list(tmp_path.iterdir()) == [path]


def test_its_folder_is_made(tmp_path: Path):
    write_json(tmp_path / "new" / "folder" / "a.json", [1])
    assert read_json(tmp_path / "new" / "folder" / "a.json") == [1]


def test_json_that_is_damaged_or_no_object_is_named(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text('{"a": ')
    with pytest.raises(InputError, match=r"a\.json: damaged json"):
        read_json(path)
    for text in ("3", '{"a": '):
        with pytest.raises(InputError, match="here: not a json object"):
            json_object(text, "here")


def test_numbers_that_are_not_finite_are_null(tmp_path: Path):
    path = tmp_path / "a.json"
    write_json(path, {"a": [math.nan, (math.inf, 0.5)]})
    assert path.read_text().split() == [
        "{",
        '"a":',
        "[",
        "null,",
        "[",
        "null,",
        "0.5",
        "]",
        "]",
        "}",
    ]
    path.write_text("[NaN, -Infinity, 1]")  # as files were written once
    assert read_json(path) == [None, None, 1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 100_000, "too deep"),
        (b"[" * 65 + b"]" * 65, "too deep"),
        (b"9" * 5000, "digits"),
        (b'{"a": 1, "b": 2, "a": 3}', "'a' twice"),
        (b"\xff", "utf-8"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b" " * 50_000_001, "more than 50,000,000 bytes"),
    ],
)
def test_what_no_json_should_be_is_refused(content: bytes, said: str, tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_bytes(content + b"\n")
    for read in (read_json, read_object, lambda path: list(read_objects(path))):
        with pytest.raises(InputError, match=said):
            read(path)


def test_what_is_no_file_is_not_opened(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(InputError, match="not a file"):
            read_object(tmp_path / name)
    with pytest.raises(InputError, match=r"pipe is a link or a device"):
        check_plain(tmp_path, except_in="other")
    (tmp_path / "pipe").unlink()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "link").symlink_to("/")
    check_plain(tmp_path, except_in="other")
    with pytest.raises(InputError, match="link is a link"):
        check_plain(tmp_path, except_in="none")


def test_of_lines_only_the_last_may_be_cut_off(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a"')
    assert [value for _, value in read_objects(path)] == [{"a": 1}]
    path.write_text('{"a": 1}\n{"a"\n{"a": 3}\n')
    with pytest.raises(InputError, match="line 2: not a json object"):
        list(read_objects(path))
