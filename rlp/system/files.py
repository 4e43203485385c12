"""Files that are written whole or not at all, and json that is refused in words."""

import itertools
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from rlp.errors import InputError

MAX_BYTES = 50_000_000  # of a json text: its values may take 20 times as many
MAX_DEPTH = 64  # of json values in each other


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Opens a file that takes its place when all of it is written, and else leaves no trace."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yields a new folder that takes its place when all of it is written, and else leaves no trace.

    Raises:
        InputError: if there is something in that place.
    """
    if path.exists():
        raise InputError(f"{path} exists: choose a new folder")
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all; what UTF-8 does not have is written as its code."""
    with whole(path) as file:
        file.write(text.encode(errors="backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Writes a json file whole or not at all."""
    write_text(path, json_text(value, indent=1) + "\n")


def json_text(value: Any, indent: int | None = None) -> str:
    """Returns a value as strict json: numbers that are not finite are null."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def read_json(path: Path) -> Any:
    """Returns the value of a json file, None for numbers that are not finite.

    Raises:
        InputError: if it is no file, or damaged.
    """
    with _open(path) as file:
        text = file.read(MAX_BYTES + 1)
    try:
        return _parsed(text)
    except ValueError as error:
        raise InputError(f"{path}: damaged json ({error})") from error


def read_object(path: Path) -> dict[str, Any]:
    """Returns the names and values of a json object in a file, none if there is no such file.

    Raises:
        InputError: if it is no file, damaged or no object.
    """
    if not path.exists() and not path.is_symlink():
        return {}
    with _open(path) as file:
        return json_object(file.read(MAX_BYTES + 1), str(path))


def read_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the json object of each line of a file, behind the words that say where it is.

    A last line that does not end is left out: a process was killed while it wrote that.

    Raises:
        InputError: if it is no file, or a line is damaged or no object.
    """
    with _open(path) as file:
        for number in itertools.count(1):
            line = file.readline(MAX_BYTES + 1)
            if not line:
                return
            where = f"{path}, line {number}"
            try:
                value = json_object(line, where)
            except InputError:
                if line.endswith(b"\n") or len(line) > MAX_BYTES:
                    raise
                return
            yield where, value


def json_object(text: str | bytes, where: str) -> dict[str, Any]:
    """Returns the names and values of a json object, None for numbers that are not finite.

    Raises:
        InputError: if it is none; `where` says what the text was found in.
    """
    try:
        value = _parsed(text)
        if not isinstance(value, dict):
            raise ValueError(f"but a {type(value).__name__}")
    except ValueError as error:
        raise InputError(f"{where}: not a json object ({error})") from error
    return value


def check_plain(folder: Path, except_in: str) -> None:
    """Checks that a folder has files and folders only: a link would lead out of it.

    Raises:
        InputError: if it has something else; what is in its folder `except_in` may be anything.
    """
    for root, folders, names in os.walk(folder):
        for path in (Path(root, name) for name in folders + names):
            is_gone = not os.path.lexists(path)  # another process may be writing the folder
            if path.is_symlink() or not (is_gone or path.is_file() or path.is_dir()):
                raise InputError(f"{path} is a link or a device: remove it, or copy what it means")
        if root == str(folder):
            folders[:] = [name for name in folders if name != except_in]


def _open(path: Path) -> BinaryIO:
    """Opens a file; anything else might not end, or wait for a writer."""
    if not path.is_file():
        raise InputError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    return path.open("rb")


def _parsed(text: str | bytes) -> Any:
    """Returns the value of a json text.

    Raises:
        ValueError: if it is damaged, too large or too deep, or has a name twice.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES:,} bytes")
    text = text.decode() if isinstance(text, bytes) else text
    try:
        value = json.loads(text, object_pairs_hook=_named_once, parse_constant=lambda _: None)
    except RecursionError:
        raise ValueError("too deep") from None
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            each
            for values in level
            if isinstance(values, dict | list)
            for each in (values.values() if isinstance(values, dict) else values)
        ]
    if level:
        raise ValueError("too deep")
    return value


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{name[:60]!r} twice")
    return values
