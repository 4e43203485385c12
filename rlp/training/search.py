"""Hyperparameter search: settings that are drawn at random, all trained as one population.

`learning_rate=1e-5..1e-2:log,expectile=0.6..0.95,temperature=1,3,10`: ranges, whose values are
drawn evenly or evenly in their logarithms, and lists of choices.
"""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, NamedTuple, get_type_hints

import numpy as np

from rlp import cli
from rlp.config import float_names
from rlp.errors import InputError, nearest

USUAL = 16  # trials, where the user does not say how many
MOST = 10_000
LOG = ":log"
STEPS = MOST  # of a range, that the digits of a value tell apart
STREAM = 0x736561  # other draws than those of the seeds' own
Trials = Annotated[int, f"at most {MOST:,}", lambda value: value <= MOST]


class Range(NamedTuple):
    """Values from a lowest to a highest."""

    low: float
    high: float
    is_log: bool

    def at(self, share: float) -> float:
        """Returns the value at a share of the way, with no more digits than one needs."""
        if self.is_log:
            width = math.log(self.high / self.low)
            value = self.low * math.exp(share * width)
            step = value * width / STEPS
        else:
            value = self.low + share * (self.high - self.low)
            step = (self.high - self.low) / STEPS
        return min(max(round(value, math.ceil(-math.log10(step))), self.low), self.high)


class Choice(NamedTuple):
    """One of several values."""

    values: tuple[float, ...]

    def at(self, share: float) -> float:
        """Returns the value at a share of the way."""
        return self.values[int(share * len(self.values))]


Space = Mapping[str, Range | Choice]  # by hyperparameter


def parse(text: str, cls: type, algo_name: str) -> Space:
    """Returns what `--search` asks for, of the hyperparameters of a config.

    Raises:
        InputError: if it names what cannot be searched, or a range or list is none.
    """
    kinds, entries = get_type_hints(cls, include_extras=True), _entries(text)
    for name in entries:
        _check_name(name, cls, algo_name)
    return {name: _space(name, parts, kinds[name]) for name, parts in entries.items()}


def draw(space: Space, num_trials: int, seed: int) -> list[dict[str, float]]:
    """Returns different settings; those of fewer trials are the first of them.

    Raises:
        InputError: if there are not so many.
    """
    most = math.prod(_size(each) for each in space.values())
    if num_trials > most:
        raise InputError(
            f"--trials={num_trials}: --search has only {most} different settings; ask for no more"
        )
    rng = np.random.default_rng([STREAM, seed])
    found: dict[tuple[np.float32, ...], dict[str, float]] = {}
    while len(found) < num_trials:
        shares = rng.random(len(space))
        values = {
            name: each.at(share)
            for (name, each), share in zip(space.items(), shares.tolist(), strict=True)
        }
        found.setdefault(tuple(map(np.float32, values.values())), values)
    return list(found.values())


def _entries(text: str) -> dict[str, list[str]]:
    """Returns the parts of each name's value: one that has no name goes on with the last list."""
    entries: dict[str, list[str]] = {}
    for part in text.split(","):
        name, is_named, value = part.partition("=")
        if is_named and name.strip() in entries:
            raise InputError(f"--search={text}: has {name.strip()} twice")
        if not entries and not is_named:
            raise InputError(
                f"--search={text}: begins with no name; it is NAME=LOW..HIGH, NAME=LOW..HIGH{LOG} "
                "or NAME=VALUE,VALUE, several with commas between them"
            )
        if is_named:
            entries[name.strip()] = [value.strip()]
        else:
            entries[next(reversed(entries))].append(part.strip())
    return entries


def _check_name(name: str, cls: type, algo_name: str) -> None:
    floats = float_names(cls)
    if name in floats:
        return
    if name in {field.name for field in fields(cls)}:
        raise InputError(
            f"--search: {name} is no number with a point. Only those are data of the one program "
            f"that trains all trials; another {name} is another program: train each in a run"
        )
    raise InputError(
        f"--search: {algo_name} has no {name}{nearest(name, floats)}; it has {', '.join(floats)}"
    )


def _space(name: str, parts: list[str], kind: Any) -> Range | Choice:
    if ".." not in "".join(parts):
        return _choice(name, parts, kind)
    if len(parts) > 1:
        raise InputError(f"--search: {name}={','.join(parts)}: is a range or a list, not both")
    (text,) = parts
    is_log = text.endswith(LOG)
    low, high = (
        cli.parse_value(f"search: {name}", each, kind)
        for each in text.removesuffix(LOG).split("..", 1)
    )
    if not np.float32(low) < np.float32(high):
        raise InputError(f"--search: {name}={text}: must begin below its end")
    if high - low < STEPS * np.spacing(np.float32(max(abs(low), abs(high)))):
        raise InputError(f"--search: {name}={text}: its ends are too near each other for 32 bits")
    if is_log and low <= 0:
        raise InputError(f"--search: {name}={text}: has logarithms only if it begins above 0")
    return Range(low, high, is_log)


def _choice(name: str, parts: list[str], kind: Any) -> Choice:
    values = [cli.parse_value(f"search: {name}", each, kind) for each in parts]
    if len(set(map(np.float32, values))) < max(2, len(values)):
        raise InputError(
            f"--search: {name}={','.join(parts)}: must be a range, LOW..HIGH, or different values"
        )
    return Choice(tuple(values))


def _size(space: Range | Choice) -> int:
    """Returns how many values there are to draw, of a range no more than there surely are."""
    return STEPS if isinstance(space, Range) else len(space.values)
