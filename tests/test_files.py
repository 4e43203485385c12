from pathlib import Path

import pytest

from rlp.errors import InputError
from rlp.files import json_object, read_json, whole, write_json


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
