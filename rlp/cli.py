"""Strict command lines. Fire splits the words; everything is checked before anything runs.

Fire alone would run a function with its defaults and complain about an unknown flag afterwards.
Here flags are the fields of dataclasses: an unknown flag, a stray word or a value of another type
is one line that names the nearest flag, and exit code 2. A field without default is a plain word.
"""

import dataclasses
import errno
import inspect
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
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

from rlp import compiled
from rlp.config import field_comments, float_names
from rlp.errors import DataWarning, InputError, nearest

T = TypeVar("T")
Given = dict[str, str]  # the flags that were given, as typed
LARGEST = np.iinfo(np.int32).max  # updates and steps are counted in 32 bits
OF_THE_DISK = (  # errors that are the machine's or the user's, not ours
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS,
    errno.EEXIST, errno.EISDIR, errno.ENOTDIR,
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
    compiled.keep()
    warnings.showwarning = _show_warning
    try:
        if isinstance(commands, Command):
            fire.Fire(_lexer(prog, commands), command=words, name=prog)
        elif not words or words[0] in ("--help", "-h"):
            _print_overview(prog, commands)
        elif words[0] not in commands:
            known = ", ".join(commands)
            raise InputError(f"no {words[0]}{nearest(words[0], commands)}; there is {known}")
        else:
            name, *rest = words
            fire.Fire(_lexer(f"{prog} {name}", commands[name]), command=rest, name=prog)
    except InputError as error:
        _fail(str(error))
    except KeyboardInterrupt:  # where a run does not end by itself, as while data is read
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:  # the reader went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else exit complains again
        sys.exit(1)
    except OSError as error:
        if error.errno not in OF_THE_DISK:
            raise
        _fail(f"{error.filename or 'disk'}: {error.strerror}")


def parse(cls: type[T], given: Mapping[str, str]) -> T:
    """Returns the dataclass `cls` with the given values, each read strictly by its annotation."""
    kinds = get_type_hints(cls, include_extras=True)
    return cls(**{k: parse_value(k, v, kinds[k]) for k, v in given.items() if k in kinds})


def parse_sweep(cls: type, given: Mapping[str, str]) -> dict[str, list[Any]]:
    """Returns the given values of each field; float fields take several, as `3e-4,1e-3`."""
    kinds, floats = get_type_hints(cls, include_extras=True), float_names(cls)
    values = {
        name: [parse_value(name, part, kinds[name]) for part in text.split(",")]
        if name in floats
        else [parse_value(name, text, kinds[name])]
        for name, text in given.items()
        if name in kinds
    }
    for name in values.keys() & set(floats):
        if len(set(map(np.float32, values[name]))) < len(values[name]):
            raise InputError(f"--{name}={given[name]}: has a value twice")
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
        return tuple(parse_value(name, part, get_args(kind)[0]) for part in text.split(",") if part)
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise InputError(f"--{name}={text}: must be true or false")
        return text.lower() == "true"
    if kind is str:
        return text
    try:
        value = kind(text)
    except ValueError:
        noun = "a whole number" if kind is int else "a number"
        raise InputError(f"--{name}={text}: must be {noun}") from None
    if kind is int and value < 0:
        raise InputError(f"--{name}={text}: must be at least 0")
    if kind is int and value > LARGEST:
        raise InputError(f"--{name}={text}: must be at most {LARGEST}")
    if not abs(value) <= float(np.finfo(np.float32).max):
        raise InputError(f"--{name}={text}: must be finite, in 32 bits")
    return value


def chosen(name: str, text: str, known: Iterable[str]) -> list[str]:
    """Returns the names in the comma-separated value of a flag.

    Raises:
        InputError: if one is not known.
    """
    known, names = list(known), text.split(",")
    for each in names:
        if each not in known:
            raise InputError(f"--{name}: no {each}{nearest(each, known)}; it is {', '.join(known)}")
    return names


def _lexer(prog: str, command: Command) -> Callable[..., None]:
    """Returns a function from which Fire learns the flags, and that gets all values as typed."""
    fields = [field for cls in command.flags for field in dataclasses.fields(cls)]
    names = [field.name for field in fields]
    words = [field.name for field in fields if _required(field)]

    def lexed(*stray: str, **given: str) -> None:
        if given.keys() & {"help", "h"}:
            _print_help(prog, command)
            return
        given = {**dict(zip(words, stray, strict=False)), **given}
        for name in given:
            if name not in names:
                raise InputError(f"no flag --{name}{nearest(name, names)}; --help lists them all")
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
    words = "".join(f" {field.name.upper()}" for field in fields if _required(field))
    print(f"usage: {prog}{words} [--flag=value ...]\n\n{command.doc}")
    for cls in command.flags:
        _print_flags(cls)


def _print_flags(cls: type) -> None:
    comments, floats, kinds = field_comments(cls), float_names(cls), get_type_hints(cls)
    print(f"\n{(cls.__doc__ or '').splitlines()[0].rstrip('.')}:")
    rows = [
        (field.name.upper(), "", comments[field.name])
        if _required(field)
        else (
            f"--{field.name}",
            typed(field.default),
            comments[field.name] + _choices(kinds, field),
        )
        for field in dataclasses.fields(cls)
    ]
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    for flag, default, comment in rows:
        print(f"  {flag:{first}}  {default:{second}}  {comment}".rstrip())
    if cls.__name__ == "Config":
        print(f"  Several values, as in --{floats[0]}=1e-3,1e-4, are members of the same program.")


def _choices(kinds: Mapping[str, Any], field: dataclasses.Field[Any]) -> str:
    """Returns what a flag may be, where that is a list of words."""
    kind = kinds[field.name]
    return f" ({', '.join(get_args(kind))})" if get_origin(kind) is Literal else ""


def typed(value: Any) -> str:
    """Returns a value as one types it behind its flag."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _show_warning(message: Warning | str, category: type[Warning], *where: Any) -> None:
    """Prints what a user should know of the data as one line, other warnings as Python does."""
    if issubclass(category, DataWarning):
        print(f"warning: {message}", file=sys.stderr)
    else:
        print(warnings.formatwarning(message, category, *where[:2]), file=sys.stderr, end="")


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
