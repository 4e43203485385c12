"""Reads untrusted pickles: numbers, texts, lists, dicts and numpy arrays, nothing else.

A name in a file resolves only to the few functions here, never to numpy's own. They make arrays
only from bytes in the file. An object of a class that a format is known to use becomes an `Inert`:
its state without its code. Texts of Python 2 are read as Latin-1, which preserves the bytes of
arrays. The unpickler is Python's pure one: with a damaged number the C one allocates a table of
that size and fills the memory.
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
KEYS = (str, bytes, int, float, np.generic)  # allowed as keys of dicts: they are cheap to hash
MAX_KEY = 2**64  # larger whole numbers can be chosen to have equal hashes
MAX_NUMBER = 2**256
MAX_OBJECTS = 3_000_000  # plus one per 3 bytes of the file; real data has one per 6
MAX_DEPTH = 20  # of lists in lists
MAX_REPEATS = 10  # limit on the value's size without sharing, in sizes of the file
TOO_MANY = "it holds more objects than data of its size has"
READ_ERRORS = (  # what pickle and numpy raise on damaged files
    pickle.UnpicklingError, struct.error, SystemError, EOFError, ValueError, TypeError, KeyError,
    IndexError, AttributeError, MemoryError, OverflowError, OSError,
)  # fmt: skip

Opcode = Callable[[Any], None]


class Inert:
    """Replaces an object whose class is not loaded: keeps its state and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        vars(self).update(state if isinstance(state, dict) else {})


CONTAINERS = {list, tuple, dict, np.ndarray, Inert}


class _Kind:
    """Replaces `numpy.dtype`: the type of numbers or texts."""

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
    """Replaces `numpy._core.multiarray._reconstruct`: the array is filled afterwards."""
    return np.empty(0, np.uint8)


def _fill(array: np.ndarray, state: Any) -> None:
    """Replaces `numpy.ndarray.__setstate__`."""
    if array.size:
        raise TypeError("an array that is filled twice")
    _, shape, kind, by_columns, content = state
    content = _encode(content) if isinstance(content, str) else content  # text from Python 2
    dtype = _fitting(shape, kind, content)
    filled: Any = (1, shape, dtype, bool(by_columns), bytes(content))
    array.__setstate__(filled)
    check_values(array, "an array")


def _from_buffer(
    content: Any, kind: Any, shape: Any, order: Any, axes: Any = None, *_: Any
) -> np.ndarray:
    """Replaces `numpy._core.numeric._frombuffer`."""
    array = np.frombuffer(content, _fitting(shape, kind, content))
    check_values(array, "an array")
    if order == "K":
        return array.reshape(shape).transpose(axes)
    return array.reshape(shape, order=order)


def _scalar(kind: Any, content: Any) -> Any:
    """Replaces `numpy._core.multiarray.scalar`."""
    array = _empty()
    _fill(array, (1, (1,), kind, False, content))
    return array[0]


def _fitting(shape: Any, kind: Any, content: Any) -> np.dtype[Any]:
    """Returns the type of an array after checking that the file has exactly its bytes.

    Raises:
        TypeError: if the array is not described by a shape, a type and bytes.
        InputError: if the file has more or fewer bytes.
    """
    if not isinstance(kind, _Kind) or not isinstance(content, (bytes, bytearray)):
        raise TypeError("an array without a type or bytes")
    check_axes(shape, "an array")
    needed = math.prod(shape) * kind.dtype.itemsize
    if needed != len(content):
        raise InputError(f"an array of {needed:,} bytes, of which it has {len(content):,}")
    return kind.dtype


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Replaces `_codecs.encode`, with which Python 3 writes bytes in Python 2's protocols."""
    if type(text) is not str or type(encoding) is not str or encoding != "latin1":
        raise TypeError("bytes in an unknown encoding")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Replaces `bytes`, with which those protocols write empty bytes."""
    return b""


STANDS_FOR: dict[str, dict[str, Callable[..., Any]]] = {
    "numpy": {"dtype": _Kind, "ndarray": Inert},  # arrays name the class, but do not need it
    "numpy._core.multiarray": {"_reconstruct": _empty, "scalar": _scalar},
    "numpy._core.numeric": {"_frombuffer": _from_buffer},
    "_codecs": {"encode": _encode},
    "__builtin__": {"bytes": _no_bytes},
}

PYTHON: Any = pickle._Unpickler  # pyright: ignore[reportAttributeAccessIssue] - the one in Python


class _Unpickler(PYTHON):
    """Reads one value, and adds to each opcode the checks that `PYTHON` lacks."""

    def __init__(self, file: BinaryIO, size: int, inert: Sequence[str]) -> None:
        super().__init__(file, encoding="latin1")
        self.file, self.inert, self.by_python2 = file, inert, False
        self.num_objects_left = MAX_OBJECTS + size // 3
        self.metastack, self.stack = [], []
        self.append = self.stack.append

    def load(self) -> Any:
        """Returns the value of the file."""
        self._read_from(self.file)
        dispatch = self.dispatch
        while (opcode := self.read(1) or self._leave_frame()) != pickle.STOP:
            dispatch[opcode[0]](self)
        if self.read(1) or self.file.read(1):
            raise InputError("something follows its value, which would be left out")
        return self.stack.pop()

    def _read_from(self, source: BinaryIO) -> None:
        self.source, self.read = source, source.read

    def load_frame(self) -> None:
        if self.source is not self.file:
            raise ValueError("a frame in a frame")
        self._read_from(io.BytesIO(self.read_sized("<Q")))

    def _leave_frame(self) -> bytes:
        """Returns the opcode that follows a frame."""
        self._read_from(self.file)
        if opcode := self.read(1):
            return opcode
        raise EOFError("it is cut off")

    def read_sized(self, size_format: str) -> bytes:
        """Returns bytes that follow their count; they may not continue in another frame."""
        (size,) = struct.unpack(size_format, self.read(struct.calcsize(size_format)))
        content = self.read(size)
        if len(content) < size:
            raise EOFError("it is cut off")
        return content

    def readline(self) -> bytes:
        line = self.source.readline()
        if not line.endswith(b"\n"):
            raise EOFError("it is cut off")
        return line

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

    def load_int(self) -> None:
        super().load_int()
        _check_number(self.stack[-1])

    def load_long(self) -> None:
        super().load_long()
        _check_number(self.stack[-1])

    def load_memoize(self) -> None:
        number = len(self.memo)
        if number > self.num_objects_left:
            raise InputError(TOO_MANY)
        self.memo[number] = self.stack[-1]

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
        elif isinstance(built, (Inert, _Kind)):
            built.__setstate__(state)
        else:
            raise TypeError(f"a state of a {type(built).__name__}")

    def load_empty_set(self) -> None:
        raise InputError("it holds a set, which is not loaded")

    load_frozenset = load_additems = load_empty_set


def _sized(size_format: str, decode: Callable[[bytes], Any]) -> Opcode:
    """Returns an opcode that decodes a value from bytes, which follow their count."""

    def load(unpickler: Any) -> None:
        unpickler.append(decode(unpickler.read_sized(size_format)))

    return load


def _string(size_format: str) -> Opcode:
    """Returns an opcode that reads a text of Python 2."""

    def load(unpickler: Any) -> None:
        unpickler.append(unpickler._decode_string(unpickler.read_sized(size_format)))

    return load


def _counted(opcode: Opcode) -> Opcode:
    """Returns an opcode that makes an object, and refuses more objects than data can have."""

    def load(unpickler: Any) -> None:
        unpickler.num_objects_left -= 1
        if unpickler.num_objects_left < 0:
            raise InputError(TOO_MANY)
        opcode(unpickler)

    return load


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")


def _number(content: bytes) -> int:
    number = pickle.decode_long(content)
    _check_number(number)
    return number


def _check_number(number: int) -> None:
    if abs(number) >= MAX_NUMBER:
        raise InputError("it holds a whole number of more than 77 digits")


def _check_type(value: Any, kind: type) -> None:
    if type(value) is not kind:
        raise TypeError(f"a {type(value).__name__} in place of a {kind.__name__}")


def _check_keys(keys: Sequence[Any]) -> None:
    for key in keys:
        if not isinstance(key, KEYS) or (isinstance(key, int) and abs(key) >= MAX_KEY):
            raise InputError(f"a key of a dict is a {type(key).__name__}, not a text or number")


OPCODES = {
    **{code: getattr(_Unpickler, load.__name__) for code, load in PYTHON.dispatch.items()},
    pickle.SHORT_BINBYTES[0]: _sized("<B", bytes),
    pickle.BINBYTES[0]: _sized("<I", bytes),
    pickle.BINBYTES8[0]: _sized("<Q", bytes),
    pickle.BYTEARRAY8[0]: _sized("<Q", bytearray),
    pickle.SHORT_BINUNICODE[0]: _sized("<B", _text),
    pickle.BINUNICODE[0]: _sized("<I", _text),
    pickle.BINUNICODE8[0]: _sized("<Q", _text),
    pickle.LONG1[0]: _sized("<B", _number),
    pickle.LONG4[0]: _sized("<I", _number),
    pickle.SHORT_BINSTRING[0]: _string("<B"),
    pickle.BINSTRING[0]: _string("<I"),
}
COUNTED = (  # opcodes of one byte that make an object of 50 bytes or more; others make less
    pickle.MARK, pickle.EMPTY_LIST, pickle.EMPTY_DICT, pickle.PUT, pickle.LONG_BINPUT,
)  # fmt: skip
_Unpickler.dispatch = OPCODES | {code: _counted(OPCODES[code]) for (code,) in COUNTED}


def _spend(value: Any, num_bytes: int, depth: int = 0) -> int:
    """Returns the bytes left of a budget after a value; an object that occurs twice costs twice.

    Raises:
        InputError: if the budget is exceeded, or the value is nested too deeply or contains itself.
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
                num_bytes = _spend(part, num_bytes, depth + 1)
    if num_bytes < 0:
        raise InputError("it has the same things over and over, made to fill the memory")
    return num_bytes


def is_pickle(path: Path) -> bool:
    """Returns whether `path` has the suffix of a pickle file."""
    return path.is_file() and path.suffix in (".pkl", ".pickle")


def begins_with(path: Path, package: str) -> bool:
    """Returns whether a pickle file holds an object of a package.

    Raises:
        InputError: if it cannot be opened.
    """
    check_file(path)
    try:
        with path.open("rb") as file:
            return package.encode() in file.read(100)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def read_pickle(path: Path, inert: Sequence[str] = ()) -> Any:
    """Returns the value of a pickle file; objects of the packages `inert` are read without code.

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
        _spend([value], MAX_OBJECTS + MAX_REPEATS * size)
    except InputError as error:
        raise InputError(f"{path}{by}: {error}") from None
    except READ_ERRORS as error:
        what = str(error) or type(error).__name__
        raise InputError(f"{path}{by}: damaged or no pickle ({what})") from error
    return value
