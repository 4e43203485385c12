"""Hyperparameters: floats are data, everything else is structure.

A configuration is a frozen dataclass registered as a pytree. Its `float` fields are leaves, kept as
float32 scalars so that one trace serves all values, and may be batched over members. All other
fields are static: another value is another program.
"""

import ast
import dataclasses
import inspect
import itertools
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, dataclass_transform, get_type_hints

import jax
import numpy as np

from rlp.errors import InputError

T = TypeVar("T")
LONGEST_NAME = 200  # bytes; file systems allow 255, and some files add an ending to the name
COMMENT = "comment"  # of a field, in its metadata
# Kinds of values: what they must be, in words, and whether one is. Other whole numbers may be 0.
Positive = Annotated[int, "at least 1", lambda value: value >= 1]
PositiveFloat = Annotated[float, "above 0", lambda value: value > 0]
NonNegativeFloat = Annotated[float, "at least 0", lambda value: value >= 0]
Share = Annotated[float, "from 0 to 1", lambda value: 0 <= value <= 1]
Fraction = Annotated[float, "above 0 and at most 1", lambda value: 0 < value <= 1]
ShareBelowOne = Annotated[float, "at least 0 and below 1", lambda value: 0 <= value < 1]
Discount = Annotated[
    float, "at least 0 and below 1, in 32 bits", lambda value: 0 <= np.float32(value) < 1
]
Distinct = Annotated[
    tuple[T, ...], "different values", lambda values: len(set(values)) == len(values)
]
Name = Annotated[
    str,
    f"a name without / of at most {LONGEST_NAME} bytes",
    lambda text: "/" not in text and text not in (".", "..") and len(text.encode()) <= LONGEST_NAME,
]
Folder = Annotated[str, "a folder, . for this one", lambda text: bool(text.strip())]
NewFile = Annotated[str, "a file, and this is a folder", lambda text: not Path(text).is_dir()]


@dataclass_transform(frozen_default=True, eq_default=False, kw_only_default=True)
def config(cls: type[T]) -> type[T]:
    """Returns `cls` as a frozen dataclass and pytree: floats are leaves, other fields static.

    Configs that it derives from give it their fields. A config whose `*_min` is above its `*_max`
    raises InputError.
    """

    def coerce_floats(self: Any) -> None:
        # Not the tracers and arrays of an unflattened tree.
        given = {k: v for k in floats if isinstance(v := getattr(self, k), int | float)}
        for least, most in pairs:
            if least in given and most in given and given[least] > given[most]:
                raise InputError(f"--{least}={given[least]}: is above --{most}={given[most]}")
        for name, value in given.items():
            object.__setattr__(self, name, np.float32(value))

    setattr(cls, "__post_init__", coerce_floats)  # noqa: B010 - cls has no such attribute to type
    cls = dataclasses.dataclass(frozen=True, eq=False, kw_only=True)(cls)
    names = [field.name for field in dataclasses.fields(cls)]  # pyright: ignore[reportArgumentType] - it is one now
    floats = [name for name in names if name in float_names(cls)]
    stems = [name.removesuffix("_min") for name in floats if name.endswith("_min")]
    pairs = [(f"{stem}_min", f"{stem}_max") for stem in stems]
    jax.tree_util.register_dataclass(cls, floats, [name for name in names if name not in floats])
    return cls


def float_names(cls: type) -> list[str]:
    """Returns the names of the fields that are floats, of whatever kind: the ones that are data."""
    return [name for name, kind in get_type_hints(cls).items() if kind is float]


def stack(configs: Sequence[T]) -> T:
    """Returns the configs of M members as one, every leaf with a leading axis [M].

    Raises:
        ValueError: if the static fields differ.
    """
    return jax.tree.map(lambda *leaves: np.stack(leaves), *configs)


def sweep(cls: type[T], values: Mapping[str, Sequence[Any]]) -> list[T]:
    """Returns a config for every combination of the values, the last name varying fastest."""
    combinations = itertools.product(*values.values())
    return [cls(**dict(zip(values, combination, strict=True))) for combination in combinations]


def to_dict(config: Any) -> dict[str, Any]:
    """Returns the fields as plain json values; a float32 as the shortest number that means it."""
    plain = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        is_float = isinstance(value, np.floating)
        plain[field.name] = float(str(value)) if is_float else value
    return plain


def from_dict(cls: type[T], values: Mapping[str, Any]) -> T:
    """Returns the config that `to_dict` wrote; json's lists are tuples again."""
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def as_typed(value: Any) -> str:
    """Returns a value as one types it behind its flag."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def field_comments(cls: type) -> dict[str, str]:
    """Returns the comment behind each field that a class has itself, as `--help` shows it.

    A class that was made of others' fields has them as COMMENT in the fields' metadata.
    """
    said = {each.name: each.metadata[COMMENT] for each in dataclasses.fields(cls) if each.metadata}
    if said:
        return said
    lines = textwrap.dedent(inspect.getsource(cls)).splitlines()
    (body,) = ast.parse("\n".join(lines)).body
    assert isinstance(body, ast.ClassDef)
    comments = {}
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            end = (node.value or node.annotation).end_col_offset
            line = lines[node.end_lineno - 1] if node.end_lineno else ""
            comments[node.target.id] = line[end:].strip().lstrip("# ")
    return comments
