"""Reading pickles without trust: numbers, texts, lists, dicts and numpy arrays, nothing else.

A name in a file finds only one of the few functions here, never numpy's own: they make arrays of
bytes that are in the file. An object of a class that a format is known to have becomes an `Inert`:
its state without its code. Texts of Python 2 are read as Latin-1, which keeps the bytes of arrays.
The unpickler is the one written in Python: the one in C takes a damaged number for the size of a
table of its own, and fills the memory. In Python only byte arrays are made before they are read.
"""

import io
import math
import pickle
import re
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rlp.data.reading import announced_file, check_axes, check_file, check_values
from rlp.errors import InputError

NUMBERS = re.compile(r"[<>=|]?(\?|b1|[iu][1248]|f[248]|c8|c16|[SU][1-9]\d{0,3})")  # names of types
KEYS = (str, bytes, int, float, np.generic)  # of dicts: their hash costs next to nothing
MAX_KEY = 2**64  # larger whole numbers can be chosen to have equal hashes
MAX_NUMBER = 2**256
MAX_OBJECTS = 3_000_000  # lists, tuples, dicts, arrays, references; more in files above 10 MB
MAX_DEPTH = 20  # of lists in lists
MAX_REPEATS = 10  # times the size of the file, of what is made when nothing is shared
READ_ERRORS = (  # what pickle and numpy raise on damaged files
    pickle.UnpicklingError, struct.error, SystemError, EOFError, ValueError, TypeError, KeyError,
    IndexError, AttributeError, ImportError, MemoryError, OverflowError, OSError, AssertionError,
    RecursionError,
)  # fmt: skip

Load = Callable[[Any], None]  # does what one opcode says


class Inert:
    """Stands for an object whose class is not loaded: keeps its state and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        vars(self).update(state if isinstance(state, dict) else {})


class _Kind:
    """Stands for `numpy.dtype`: the type of numbers or texts."""

    def __init__(self, name: Any, *_: Any) -> None:
        if not isinstance(name, str):
            raise TypeError("a type of numbers without a name")
        if not NUMBERS.fullmatch(name):
            what = "objects" if "O" in name else name[:20]
            raise InputError(f"it holds an array of {what}, which is not loaded")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])  # the rest is in the name, or not loaded


def _empty(*_: Any) -> np.ndarray:
    """Stands for `numpy._core.multiarray._reconstruct`: the array is filled afterwards."""
    return np.empty(0, np.uint8)


def _fill(array: np.ndarray, state: Any) -> None:
    """Stands for `numpy.ndarray.__setstate__`."""
    if array.size:
        raise TypeError("an array that is filled twice")
    _, shape, kind, by_columns, content = state
    content = _encode(content) if isinstance(content, str) else content  # as Python 2 has it
    dtype = _fitting(shape, kind, content)
    filled: Any = (1, shape, dtype, bool(by_columns), bytes(content))
    array.__setstate__(filled)
    check_values(array, "an array")


def _from_buffer(
    content: Any, kind: Any, shape: Any, order: Any, axes: Any = None, *_: Any
) -> np.ndarray:
    """Stands for `numpy._core.numeric._frombuffer`."""
    array = np.frombuffer(content, _fitting(shape, kind, content))
    check_values(array, "an array")
    if order == "K":
        return array.reshape(shape).transpose(axes)
    return array.reshape(shape, order=order)


def _scalar(kind: Any, content: Any) -> Any:
    """Stands for `numpy._core.multiarray.scalar`."""
    array = _empty()
    _fill(array, (1, (1,), kind, False, content))
    return array[0]


def _fitting(shape: Any, kind: Any, content: Any) -> np.dtype[Any]:
    """Returns the type of an array, of which the file has all bytes.

    Raises:
        TypeError: if it is described with something else than a shape, a type and bytes.
        InputError: if the file has more bytes, or less.
    """
    if not isinstance(kind, _Kind) or not isinstance(content, bytes | bytearray):
        raise TypeError("an array without a type or bytes")
    check_axes(shape, "an array")
    needed = math.prod(shape) * kind.dtype.itemsize
    if needed != len(content):
        raise InputError(f"an array of {needed:,} bytes, of which it has {len(content):,}")
    return kind.dtype


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Stands for `_codecs.encode`, which is how Python 3 writes bytes in Python 2's protocols."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise TypeError("bytes in an unknown encoding")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Stands for `bytes`, which those protocols have for no bytes."""
    return b""


STANDS_FOR: dict[str, dict[str, Callable[..., Any]]] = {
    "numpy": {"dtype": _Kind, "ndarray": Inert},  # the class, which arrays name and do not need
    "numpy._core.multiarray": {"_reconstruct": _empty, "scalar": _scalar},
    "numpy._core.numeric": {"_frombuffer": _from_buffer},
    "_codecs": {"encode": _encode},
    "__builtin__": {"bytes": _no_bytes},
}


PYTHON: Any = pickle._Unpickler  # pyright: ignore[reportAttributeAccessIssue] - the one in Python


COUNTED = {  # opcodes of a byte that make something of 50 or more; others make less of each byte
    "load_mark", "load_empty_list", "load_empty_dictionary",
    "load_put", "load_long_binput", "load_memoize",
}  # fmt: skip
NUMBERED = {"load_int", "load_long", "load_long1", "load_long4"}


class _Unpickler(PYTHON):
    """Reads one value; what an opcode is checked for here, the one in `PYTHON` does not check."""

    def __init__(self, file: BinaryIO, size: int, inert: Sequence[str]) -> None:
        super().__init__(file, encoding="latin1")
        self.inert, self.by_python2 = inert, False
        self.num_objects_left = MAX_OBJECTS + size // 3
        self.file = file
        self.metastack, self.stack = [], []
        self.append = self.stack.append

    def load(self) -> Any:
        """Returns the value of the file; in place of the one in `PYTHON`, which is slower."""
        self._read_from(self.file)
        dispatch = self.dispatch
        while (code := self.read(1) or self._leave_frame()) != pickle.STOP:
            dispatch[code[0]](self)
        if self.read(1) or self.file.read(1):
            raise InputError("something follows its value, which would be left out")
        return self.stack.pop()

    def _read_from(self, file: BinaryIO) -> None:
        self.read, self.readline = file.read, file.readline

    def load_frame(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        self._read_from(io.BytesIO(self.file.read(size)))

    def _leave_frame(self) -> bytes:
        """Returns the byte that follows a frame."""
        self._read_from(self.file)
        if following := self.read(1):
            return following
        raise EOFError("it is cut off")

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core.", "numpy._core.")  # its name before numpy 2
        if any(f"{module}.".startswith(f"{package}.") for package in self.inert):
            return Inert
        if name not in STANDS_FOR.get(module, {}):
            raise InputError(f"it holds a {module}.{name}, which is not loaded")
        return STANDS_FOR[module][name]

    def get_extension(self, code: int) -> None:
        raise InputError(f"it holds an object by the number {code}, which is not loaded")

    def _decode_string(self, value: bytes) -> str:
        self.by_python2 = True  # Python 3 writes no such texts
        return super()._decode_string(value)

    def load_bytearray8(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(size)))

    def load_append(self) -> None:
        _check_type(self.stack[-2], list)
        super().load_append()

    def load_appends(self) -> None:
        _check_type(self.metastack[-1][-1], list)
        super().load_appends()

    def load_dict(self) -> None:
        _check_keys(self.stack[::2])
        super().load_dict()

    def load_setitem(self) -> None:
        _check_type(self.stack[-3], dict)
        _check_keys(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        _check_type(self.metastack[-1][-1], dict)
        _check_keys(self.stack[::2])
        super().load_setitems()

    def load_reduce(self) -> None:
        _check_type(self.stack[-1], tuple)
        super().load_reduce()

    def load_build(self) -> None:
        state, built = self.stack.pop(), self.stack[-1]
        if isinstance(built, np.ndarray):
            _fill(built, state)
        elif isinstance(built, Inert | _Kind):
            built.__setstate__(state)
        else:
            raise TypeError(f"a state of a {type(built).__name__}")

    def load_empty_set(self) -> None:
        raise InputError("it holds a set, which is not loaded")

    load_frozenset = load_additems = load_empty_set


def _counted(load: Load) -> Load:
    """Returns an opcode that makes an object, and no more of them than data has."""

    def counted(unpickler: Any) -> None:
        unpickler.num_objects_left -= 1
        if unpickler.num_objects_left < 0:
            raise InputError("it holds more objects than data of its size has")
        load(unpickler)

    return counted


def _bounded(load: Load) -> Load:
    """Returns an opcode that makes a whole number, and none of thousands of digits."""

    def bounded(unpickler: Any) -> None:
        load(unpickler)
        if abs(unpickler.stack[-1]) >= MAX_NUMBER:
            raise InputError("it holds a whole number of more than 77 digits")

    return bounded


def _opcode(load: Load) -> Load:
    """Returns what `_Unpickler` does in place of `PYTHON`."""
    name = load.__name__
    own = getattr(_Unpickler, name)
    return _counted(own) if name in COUNTED else _bounded(own) if name in NUMBERED else own


_Unpickler.dispatch = {code: _opcode(load) for code, load in PYTHON.dispatch.items()}


def _check_type(value: Any, kind: type) -> None:
    if type(value) is not kind:
        raise TypeError(f"a {type(value).__name__} in place of a {kind.__name__}")


def _check_keys(keys: Sequence[Any]) -> None:
    for key in keys:
        if not isinstance(key, KEYS) or (isinstance(key, int) and abs(key) >= MAX_KEY):
            raise InputError(f"a key of a dict is a {type(key).__name__}, not a text or number")


CONTAINERS = {list, tuple, dict, np.ndarray, Inert}


def _allow(value: Any, num_bytes: int, depth: int = 0) -> int:
    """Returns what is left of so many bytes after a value; what is there twice costs twice.

    Raises:
        InputError: if they are not enough, or the value is too deep or within itself.
    """
    if depth > MAX_DEPTH:
        raise InputError(f"it has lists in lists, more than {MAX_DEPTH} deep")
    if isinstance(value, np.ndarray):
        num_bytes -= value.nbytes
    else:
        parts = vars(value) if isinstance(value, Inert) else value
        parts = parts.values() if isinstance(parts, dict) else parts
        num_bytes -= len(parts)
        for part in parts:
            if type(part) in CONTAINERS:
                num_bytes = _allow(part, num_bytes, depth + 1)
    if num_bytes < 0:
        raise InputError("it has the same things over and over, made to fill the memory")
    return num_bytes


def is_pickle(path: Path) -> bool:
    """Returns whether `path` is named as a pickle file is."""
    return path.is_file() and path.suffix in (".pkl", ".pickle")


def begins_with(path: Path, package: str) -> bool:
    """Returns whether a pickle file is an object of a package."""
    check_file(path)
    with path.open("rb") as file:
        return package.encode() in file.read(100)


def read_pickle(path: Path, inert: Sequence[str] = ()) -> Any:
    """Returns the value of a pickle file; objects of the packages `inert` are without their code.

    Raises:
        InputError: if it is damaged, or holds anything but numbers, texts, lists, dicts and arrays
            of numbers.
    """
    check_file(path)
    by = ""
    try:
        with announced_file(path) as file:
            size = path.stat().st_size
            unpickler = _Unpickler(file, size, inert)
            try:
                value = unpickler.load()
            finally:
                by = ", which Python 2 wrote" if unpickler.by_python2 else ""
        _allow([value], MAX_OBJECTS + MAX_REPEATS * size)
    except InputError as error:
        raise InputError(f"{path}{by}: {error}") from None
    except READ_ERRORS as error:
        raise InputError(f"{path}{by}: damaged or no pickle ({error})") from error
    return value
