"""Reading pickles without trust: numbers, texts, lists, dicts and numpy arrays, nothing else.

An object of a class that a format is known to have becomes an `Inert`: its state without its code.
The unpickler is the one written in Python: the one in C takes a damaged number for the size of a
table of its own, and fills the memory. In Python only byte arrays are made before they are read.
"""

import pickle
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rlp.data.reading import announced_file
from rlp.errors import InputError

ADMITTED = {
    "numpy": ("ndarray",),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.numeric": ("_frombuffer",),
    "_codecs": ("encode",),  # how Python 2 protocols write bytes
}
NUMBERS = re.compile(r"[<>=|]?([biufcSU]\d+|\?)")  # names of types; numpy's others may crash it
READ_ERRORS = (  # what pickle and numpy raise on damaged files
    pickle.UnpicklingError, struct.error, SystemError, EOFError, ValueError, TypeError, KeyError,
    IndexError, AttributeError, ImportError, MemoryError, OverflowError, OSError, AssertionError,
    RecursionError,
)  # fmt: skip


class Inert:
    """Stands for an object whose class is not loaded: keeps its state and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        vars(self).update(state if isinstance(state, dict) else {})


def _dtype(name: str, *_: Any) -> np.dtype[Any]:
    """Returns the type of an array's numbers or texts."""
    if not isinstance(name, str) or not NUMBERS.fullmatch(name):
        what = "objects" if "O" in str(name) else name
        raise InputError(f"it holds an array of {what}, which is not loaded")
    return np.dtype(name)


PYTHON: Any = pickle._Unpickler  # pyright: ignore[reportAttributeAccessIssue] - the one in Python


class _Unpickler(PYTHON):
    inert: Sequence[str] = ()

    def _load_bytearray(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(size)))

    dispatch: ClassVar[dict[int, Any]] = {
        **PYTHON.dispatch,
        pickle.BYTEARRAY8[0]: _load_bytearray,
    }

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core.", "numpy._core.")  # its name before numpy 2
        if any(f"{module}.".startswith(f"{package}.") for package in self.inert):
            return Inert
        if (module, name) == ("numpy", "dtype"):
            return _dtype
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
            return unpickler.load()
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except READ_ERRORS as error:
        raise InputError(f"{path}: damaged or no pickle ({error})") from error
