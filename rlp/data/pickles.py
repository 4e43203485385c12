"""Reading pickles without trust: numbers, texts, lists, dicts and numpy arrays, nothing else."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

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


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core.", "numpy._core.")  # its name before numpy 2
        if name not in ADMITTED.get(module, ()):
            raise InputError(f"it holds a {module}.{name}, which is not loaded")
        return super().find_class(module, name)


def read_pickle(path: Path) -> Any:
    """Returns the value of a pickle file.

    Raises:
        InputError: if it is damaged, or holds anything but numbers, texts, lists, dicts and arrays
            of numbers.
    """
    try:
        with path.open("rb") as file:
            value = _Unpickler(file).load()
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
    if isinstance(value, dict):
        return any(map(_has_objects, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_objects, value))
