"""Reading pickles without trust: numbers, texts, lists, dicts and numpy arrays, nothing else.

An object of a class that a format is known to have becomes an `Inert`: its state without its code.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlp.data.reading import announced_file
from rlp.errors import InputError

ADMITTED = {
    "numpy": ("ndarray", "dtype"),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.numeric": ("_frombuffer",),
    "_codecs": ("encode",),  # how Python 2 protocols write bytes
}
READ_ERRORS = (  # what pickle and numpy raise on damaged files
    pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    ImportError, MemoryError, OverflowError, OSError, AssertionError, RecursionError,
)  # fmt: skip


class Inert:
    """Stands for an object whose class is not loaded: keeps its state and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        vars(self).update(state if isinstance(state, dict) else {})


class _Unpickler(pickle.Unpickler):
    inert: Sequence[str] = ()

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core.", "numpy._core.")  # its name before numpy 2
        if any(f"{module}.".startswith(f"{package}.") for package in self.inert):
            return Inert
        if name not in ADMITTED.get(module, ()):
            raise InputError(f"it holds a {module}.{name}, which is not loaded")
        return super().find_class(module, name)


def is_pickle(path: Path) -> bool:
    """Returns whether `path` is named as a pickle file is."""
    return path.is_file() and path.suffix in (".pkl", ".pickle")


def begins_with(path: Path, package: str) -> bool:
    """Returns whether a pickle file is an object of a package."""
    with path.open("rb") as file:
        return package.encode() in file.read(100)


def read_pickle(path: Path, inert: Sequence[str] = ()) -> Any:
    """Returns the value of a pickle file; objects of the packages `inert` are without their code.

    Raises:
        InputError: if it is damaged, or holds anything but numbers, texts, lists, dicts and arrays
            of numbers.
    """
    try:
        with announced_file(path) as file:
            unpickler = _Unpickler(file)
            unpickler.inert = inert
            value = unpickler.load()
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except READ_ERRORS as error:
        raise InputError(f"{path}: damaged or no pickle ({error})") from error
    if _has_objects(value):
        raise InputError(f"{path}: it holds an array of objects, which is not loaded")
    return value


def _has_objects(value: Any) -> bool:
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.hasobject
    if isinstance(value, Inert):
        value = vars(value)
    if isinstance(value, dict):
        return any(map(_has_objects, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_objects, value))
