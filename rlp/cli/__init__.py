"""Strict command lines. Fire splits the words; everything is checked before anything runs.

Fire alone would run a function with its defaults and complain about an unknown flag afterwards; of
a flag given twice it takes the last, and one without a value it takes for True.
Here flags are the fields of dataclasses: an unknown flag, a stray word or a value of another type
is one line that names the nearest flag, and exit code 2. A field without default is a plain word;
a tuple takes all that are left.
"""

import dataclasses
import errno
import inspect
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import fire
import fire.decorators
import numpy as np

from rlp.config import as_typed, field_comments, float_names
from rlp.errors import DataWarning, InputError, nearest
from rlp.system import compilation_cache

T = TypeVar("T")
Given = dict[str, str]  # the flags that were given, as typed
LARGEST = np.iinfo(np.int32).max  # updates and steps are counted in 32 bits
FLOATS = np.finfo(np.float32)
WITH_ZEROS = re.compile(r"([0-9_]+)[eE]([0-9]{1,2})")  # a whole number as 1e4
FLAG = re.compile(r"--|-[a-zA-Z]")  # how Fire knows one
OF_THE_DISK = (  # errors that are the machine's or the user's, not ours
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS,
    errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP,
)  # fmt: skip


class Command(NamedTuple):
    """A command: what it does with the flags it was given, and which there are."""

    run: Callable[[Given], Any]
    flags: Sequence[type]
    doc: str


def main(
    prog: str, commands: Mapping[str, Command] | Command, argv: Sequence[str] | None = None
) -> None:
    """Runs a command line; bad input is one line on stderr and exit code 2."""
    words = list(sys.argv[1:] if argv is None else argv)
    compilation_cache.keep()
    warnings.showwarning = _show_warning
    try:
        for word in words:
            if not word.isprintable():
                raise InputError(f"{word!r}: has a character that cannot be printed")
        if isinstance(commands, Command):
            _run(prog, commands, words)
        elif not words or words[0] in ("--help", "-h"):
            _print_overview(prog, commands)
        elif words[0] not in commands:
            known = ", ".join(commands)
            raise InputError(f"no {words[0]}{nearest(words[0], commands)}; there is {known}")
        else:
            name, *rest = words
            _run(f"{prog} {name}", commands[name], rest)
    except InputError as error:
        fail(str(error))
    except KeyboardInterrupt:  # where a run does not end by itself, as while data is read
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:  # the reader went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else exit complains again
        sys.exit(1)
    except MemoryError as error:
        fail(f"the memory does not suffice: {error or 'choose less of everything'}")
    except OSError as error:
        if error.errno not in OF_THE_DISK:
            raise
        fail(f"{error.filename or 'disk'}: {error.strerror}")


def parse(cls: type[T], given: Mapping[str, str]) -> T:
    """Returns the dataclass `cls` with the given values, each read strictly by its annotation."""
    return cls(**parse_values((cls,), given))


def parse_values(classes: Sequence[type], given: Mapping[str, str]) -> dict[str, Any]:
    """Returns the given values that are of fields of dataclasses, each read by its annotation."""
    kinds = {k: v for cls in classes for k, v in get_type_hints(cls, include_extras=True).items()}
    return {k: parse_value(k, v, kinds[k]) for k, v in given.items() if k in kinds}


def parse_sweep(cls: type, given: Mapping[str, str]) -> dict[str, list[Any]]:
    """Returns the given values of each field; float fields take several, as `3e-4,1e-3`."""
    kinds, floats = get_type_hints(cls, include_extras=True), float_names(cls)
    values = {
        name: [parse_value(name, part, kinds[name]) for part in _entries(name, text)]
        if name in floats
        else [parse_value(name, text, kinds[name])]
        for name, text in given.items()
        if name in kinds
    }
    for name in values.keys() & set(floats):
        _refuse_doubled(name, given[name], list(map(np.float32, values[name])))
    return values


def parse_value(name: str, text: str, kind: Any) -> Any:
    """Returns the value that `text` means for a field `name` annotated `kind`."""
    if get_origin(kind) is Annotated:
        kind, said, holds = get_args(kind)
        value = parse_value(name, text, kind)
        if not holds(value):
            raise InputError(f"--{name}={text}: must be {said}")
        return value
    if kind == bool | None:
        kind = bool
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise InputError(f"--{name}={text}: must be one of {', '.join(get_args(kind))}")
        return text
    if get_origin(kind) is tuple:
        parts = _entries(name, text)
        return tuple(parse_value(name, part, get_args(kind)[0]) for part in parts)
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise InputError(f"--{name}={text}: must be true or false")
        return text.lower() == "true"
    if kind is str:
        if not text.strip():
            raise InputError(f"--{name}={text}: has no value")
        return text
    return _whole_number(name, text) if kind is int else _number(name, text)


def _whole_number(name: str, text: str) -> int:
    """Returns a whole number, which may be written 10000, 10_000 or 1e4."""
    if match := WITH_ZEROS.fullmatch(text):
        digits, num_zeros = match.groups()
        text = digits + int(num_zeros) * "0"
    value = _read(int, name, text, "a whole number")
    if not 0 <= value <= LARGEST:
        bound = "at least 0" if value < 0 else f"at most {LARGEST}"
        raise InputError(f"--{name}={text}: must be {bound}")
    return value


def _number(name: str, text: str) -> float:
    value = _read(float, name, text, "a number")
    if not abs(value) <= float(FLOATS.max):
        raise InputError(f"--{name}={text}: must be finite, in 32 bits")
    if 0 < abs(value) < float(FLOATS.tiny):
        raise InputError(f"--{name}={text}: is too near 0 for 32 bits")
    return value


def _read(kind: Callable[[str], Any], name: str, text: str, noun: str) -> Any:
    """Returns what Python reads in ASCII; it would read the digits of every script."""
    try:
        return kind(text.encode("ascii").decode())
    except ValueError:
        raise InputError(f"--{name}={text}: must be {noun}") from None


def chosen(name: str, text: str, known: Iterable[str]) -> list[str]:
    """Returns the names in the comma-separated value of a flag.

    Raises:
        InputError: if one is not known, or there twice.
    """
    known, names = list(known), _entries(name, text)
    for each in names:
        if each not in known:
            raise InputError(f"--{name}: no {each}{nearest(each, known)}; it is {', '.join(known)}")
    _refuse_doubled(name, text, names)
    return names


def _entries(name: str, text: str) -> list[str]:
    """Returns the entries of a list with commas between them."""
    entries = text.split(",")
    if not all(entry.strip() for entry in entries):
        raise InputError(f"--{name}={text}: has an empty entry")
    return entries


def _refuse_doubled(name: str, text: str, values: Sequence[Any]) -> None:
    if len(set(values)) < len(values):
        raise InputError(f"--{name}={text}: has a value twice")


def _run(prog: str, command: Command, words: Sequence[str]) -> None:
    """Runs a command with the words behind its name."""
    _check_flags(command, words)
    fire.Fire(_lexer(prog, command), command=list(words), name=prog)


def _check_flags(command: Command, words: Sequence[str]) -> None:
    """Checks what Fire lets pass: its own words; flags unknown, given twice, without a value."""
    kinds = {k: v for cls in command.flags for k, v in get_type_hints(cls).items()}
    given = set()
    for word in words:
        if word in ("-", "--"):
            raise InputError(f"stray word {word}: flags are written --name=value")
    for name, has_value in _flags(words):
        if not has_value and name not in kinds and name.removeprefix("no") in kinds:
            name = name.removeprefix("no")
        if name not in {*kinds, "help", "h"}:
            raise InputError(f"no flag --{name}{nearest(name, kinds)}; --help lists them all")
        if not has_value and kinds.get(name, bool) is not bool:
            raise InputError(f"--{name} has no value: flags are written --name=value")
        if name in given:
            raise InputError(f"--{name} is given twice")
        given.add(name)


def _flags(words: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yields the name of each flag and whether it has a value, as Fire splits the words."""
    is_value = False
    for word, after in zip(words, [*words[1:], "--"], strict=False):
        is_flag = not is_value and FLAG.match(word) is not None
        is_value = is_flag and "=" not in word and not FLAG.match(after)
        if is_flag:
            name = word.lstrip("-").partition("=")[0].replace("-", "_")
            yield name, "=" in word or is_value


def _lexer(prog: str, command: Command) -> Callable[..., None]:
    """Returns a function from which Fire learns the flags, and that gets all values as typed."""
    fields = [field for cls in command.flags for field in dataclasses.fields(cls)]
    names = [field.name for field in fields]
    required = [field for field in fields if _required(field)]
    words = [field.name for field in required]
    takes_several = bool(required) and get_origin(required[-1].type) is tuple

    def lexed(*stray: str, **given: str) -> None:
        if given.keys() & {"help", "h"}:
            _print_help(prog, command)
            return
        if takes_several and len(stray) > len(words):
            stray = (*stray[: len(words) - 1], ",".join(stray[len(words) - 1 :]))
        for name, word in zip(words, stray, strict=False):
            if name in given:
                raise InputError(
                    f"{name.upper()} is given twice: {word} and --{name}={given[name]}"
                )
            given[name] = word
        if len(stray) > len(words):
            raise InputError(f"stray word {stray[len(words)]}: flags are written --name=value")
        for name in words:
            if name not in given:
                raise InputError(f"{name.upper()} is missing: {prog} {name.upper()} ...")
        command.run(given)

    # Fire must know every name: else it reads --normalize as --no rmalize.
    parameters = [inspect.Parameter("stray", inspect.Parameter.VAR_POSITIONAL)]
    parameters += [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default="") for n in names]
    parameters += [inspect.Parameter("given", inspect.Parameter.VAR_KEYWORD)]
    lexed.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess] - inspect's protocol
    return fire.decorators.SetParseFn(str)(lexed)


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING


def _word(field: dataclasses.Field[Any]) -> str:
    """Returns what stands for a plain word, or several."""
    return f"{field.name.upper()}{' ...' if get_origin(field.type) is tuple else ''}"


def _print_overview(prog: str, commands: Mapping[str, Command]) -> None:
    print(f"usage: {prog} NAME [--flag=value ...]\n\nNAME:")
    for name, command in commands.items():
        print(f"  {name:12}{command.doc.splitlines()[0]}")
    for cls in next(iter(commands.values())).flags:
        if all(cls in command.flags for command in commands.values()):
            _print_flags(cls)
    print(f"\nThe flags of one: {prog} NAME --help")


def _print_help(prog: str, command: Command) -> None:
    fields = [field for cls in command.flags for field in dataclasses.fields(cls)]
    words = "".join(f" {_word(field)}" for field in fields if _required(field))
    print(f"usage: {prog}{words} [--flag=value ...]\n\n{command.doc}")
    for cls in command.flags:
        _print_flags(cls)


def _print_flags(cls: type, shown: Iterable[str] = ()) -> None:
    """Prints the flags of a dataclass and its bases, but for those that were `shown`."""
    comments, floats = field_comments(cls), float_names(cls)
    kinds = get_type_hints(cls, include_extras=True)
    print(f"\n{(cls.__doc__ or '').splitlines()[0].rstrip('.')}:")
    rows = [
        (field.name.upper(), "", comments[field.name])
        if _required(field)
        else (
            f"--{field.name}",
            as_typed(field.default),
            f"{comments[field.name]} {_may_be(kinds[field.name])}",
        )
        for field in dataclasses.fields(cls)
        if field.name in comments and field.name not in shown
    ]
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    for flag, default, comment in rows:
        print(f"  {flag:{first}}  {default:{second}}  {comment}".rstrip())
    for base in cls.__bases__:
        if dataclasses.is_dataclass(base):
            _print_flags(base, {*shown, *comments})
    own = [name for name in floats if name in comments]
    if cls.__name__ == "Config" and own:
        print(f"  Several values, as in --{own[0]}=1e-3,1e-4, are members of the same program.")


def _may_be(kind: Any) -> str:
    """Returns what a value may be, where that is a list of words or a bound."""
    if get_origin(kind) is tuple:
        return _may_be(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return f"({', '.join(get_args(kind))})"
    if get_origin(kind) is not Annotated:
        return ""
    base, said, _ = get_args(kind)
    return f"({said})" if base in (int, float) else _may_be(base)


def _show_warning(message: Warning | str, category: type[Warning], *where: Any) -> None:
    """Prints what a user should know of the data as one line, other warnings as Python does."""
    if issubclass(category, DataWarning):
        print(f"warning: {message}", file=sys.stderr)
    else:
        print(warnings.formatwarning(message, category, *where[:2]), file=sys.stderr, end="")


def fail(message: str) -> None:
    """Prints why nothing was done, in one line on stderr, and exits with code 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
