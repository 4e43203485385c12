"""Files that are written whole or not at all, and json that is refused in words."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from rlp.errors import InputError


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Opens a file that takes its place when all of it is written, and else leaves no trace."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


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


def json_object(text: str, where: str) -> dict[str, Any]:
    """Returns the names and values of a json object.

    Raises:
        InputError: if it is none; `where` says what the text was found in.
    """
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: not a json object ({error})") from error
