"""Files that are written whole or not at all, and json that is refused in words."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from rlp.errors import InputError


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
    """Writes a text file whole or not at all."""
    with whole(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes a json file whole or not at all."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """Returns the value of a json file.

    Raises:
        InputError: if it is damaged.
    """
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path}: damaged json ({error})") from error


def read_object(path: Path) -> dict[str, Any]:
    """Returns the names and values of a json object in a file, none if there is no such file.

    Raises:
        InputError: if it is damaged or no object.
    """
    if not path.exists():
        return {}
    try:
        return json_object(path.read_text(), str(path))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: damaged json ({error})") from error


def json_object(text: str, where: str) -> dict[str, Any]:
    """Returns the names and values of a json object.

    Raises:
        InputError: if it is none; `where` says what the text was found in.
    """
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: not a json object ({error})") from error
