"""What the json files of a run must hold: values are checked against annotations.

A file is checked once, when it is read; the code then uses what it says as it is. A message names
the file and the keys that lead to the value: `config.json, members[0], seed is "a", not ...`.
"""

import dataclasses
import math
from collections.abc import Container, Mapping
from functools import cache
from pathlib import Path
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    TypedDict,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import numpy as np

from rlp.algos import ALGOS
from rlp.config import float_names
from rlp.errors import InputError, nearest
from rlp.runs.ranking import Criterion
from rlp.system.files import json_text
from rlp.types import Space, Spec

RENAMED = {  # hyperparameters that older records call otherwise
    "actor_rate": "actor_learning_rate",
    "critic_rate": "critic_learning_rate",
    "value_rate": "value_learning_rate",
    "decay_actor_rate": "decay_actor_learning_rate",
    "decay_rates": "decay_learning_rates",
}
MAX_COUNT = np.iinfo(np.int32).max
MAX_LETTERS = 100  # of the name of a metric: it names a file
MAX_FLOAT = float(np.finfo(np.float32).max)


def _are_numbers(values: list[Any]) -> bool:
    """Returns whether all of one value or several are numbers, or None: one that was not finite."""
    return bool(values) and all(
        value is None or (type(value) in (int, float) and abs(value) <= MAX_FLOAT)
        for value in values
    )


def _are_known(values: list[Any]) -> bool:
    return None not in values and _are_numbers(values)


Numbers = Annotated[list, "one number or several, or null", _are_numbers]
Known = Annotated[list, "one number or several", _are_known]
Seed = Annotated[Any, "a seed", lambda value: type(value) is int and 0 <= value < 2**32]
Limits = Annotated[
    Any,
    "the lowest and the highest value, each a number or null, or the highest alone",
    lambda value: (
        _are_numbers(value) and len(value) == 2
        if isinstance(value, list)
        else _are_numbers([value])
    ),
]
Number = Annotated[Any, "a number or null", lambda value: _are_numbers([value])]


class Member(TypedDict):
    """A member in config.json."""

    seed: Seed
    config: dict


class Sizes(TypedDict):
    """The spec of older runs."""

    observation_dim: int
    action_dim: int
    max_episode_steps: int


class Learner(Member):
    """A member of an offline run."""

    limits: dict[str, Limits]


class Data(TypedDict):
    """What a run has learned from."""

    name: str
    is_kept: NotRequired[bool]  # in the run's folder, as no path leads to it
    fingerprint: str
    returns: Annotated[list, "numbers", lambda values: not values or _are_known(values)]


class Record(TypedDict):
    """The part of config.json that all runs have."""

    algo: str
    env: str
    spec: dict
    settings: dict
    command: Any
    versions: Any
    git_commit: Any
    machine: Any


class ActionBounds(TypedDict):
    """What -1 and 1 are to the environment, a number for each number of an action."""

    low: Known
    high: Known


class Training(Record):
    """The config.json of `rlp.train`."""

    action_bounds: NotRequired[ActionBounds | None]  # runs of before do not have them
    origin: NotRequired[Known | None]
    schedule: dict
    members: Annotated[list[Learner], "one member or several", bool]
    target_returns: Known
    data: Data


class Collection(Record):
    """The config.json of what learns online."""

    plan: dict
    guidance: NotRequired[dict]  # of runs with a guide
    action_bounds: NotRequired[ActionBounds | None]
    origin: NotRequired[Known | None]
    target_returns: NotRequired[Known]
    data: NotRequired[Data]
    members: Annotated[list[Member], "one member or several", bool]


class Trial(TypedDict):
    """A setting of a search, as it was ranked."""

    setting: dict[str, Number]
    members: list[str]
    values: dict[Criterion, Number]
    num_lost: int


class Ranking(TypedDict):
    """The trials of a search, best first."""

    by: Criterion
    trials: Annotated[list[Trial], "one trial or several", bool]


def _are_alike(found: dict[str, Any]) -> bool:
    """Returns whether the trials of a ranking can be the rows of one table."""
    names = {(tuple(trial["setting"]), tuple(trial["values"])) for trial in found["trials"]}
    return len(names) == 1 and found["by"] in found["trials"][0]["values"]


class Cell(TypedDict):
    """A record of a study."""

    algo: str
    env: str
    settings: dict
    members: Annotated[list[Member], "one member or several", bool]
    returns: dict[str, Numbers | None]
    measures: NotRequired[dict[str, dict[str, list]]]
    data: NotRequired[Data]
    schedule: NotRequired[dict]
    versions: NotRequired[dict]
    diverged: NotRequired[dict[str, int]]
    ranking: NotRequired[
        Annotated[Ranking, "a ranking whose trials have the same settings and values", _are_alike]
    ]


class Evaluation(TypedDict):
    """An entry of returns.json."""

    step: int
    member: str
    returns: Numbers | None  # None: the member is not finite
    invalid: NotRequired[list[int]]  # episodes whose simulation became invalid
    measures: NotRequired[dict[str, list]]  # what else the environment says of each episode


class Point(TypedDict):
    """The part that all lines of metrics.jsonl have."""

    step: int
    member: str


def read_run(record: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Returns the record in a run's config.json, checked against all that reads it.

    Raises:
        InputError: if it does not fit.
    """
    read(Collection if "plan" in record else Training, record, str(path))
    record = {**_with_new_names(record), "spec": _with_spaces(record)}
    check_members(record, path)
    spec = read(Spec, record["spec"], f"{path}, spec")
    widths = {"origin": spec.observation_dim, "low": spec.action_dim, "high": spec.action_dim}
    of_numbers = {"origin": record.get("origin"), **(record.get("action_bounds") or {})}
    for name, values in of_numbers.items():
        if values is not None and len(values) != widths[name]:
            raise InputError(f"{path}, {name} does not fit the spec, {record['spec']}")
    if min(*spec.observation.shape, *spec.action.shape, spec.max_episode_steps) < 1:
        raise InputError(f"{path}, spec: a size is below 1")
    num_tasks = len(record["env"].split("+"))
    if len(record.get("target_returns", [0] * num_tasks)) != num_tasks:
        raise InputError(f"{path}, target_returns: not one for each task in {record['env']}")
    return record


def spec_record(spec: Spec) -> dict[str, Any]:
    """Returns a spec as a record has it."""
    plain = {
        name: {**space._asdict(), "shape": list(space.shape)}
        for name, space in (("observation", spec.observation), ("action", spec.action))
    }
    return {**plain, "max_episode_steps": spec.max_episode_steps}


def _with_spaces(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the spec of a record; older ones have the widths of observations and actions only."""
    spec = record["spec"]
    if "observation_dim" not in spec:
        return spec
    sizes = read(Sizes, spec, "spec")
    is_discrete = record["members"][0]["config"].get("head") == "categorical"
    num_choices = sizes["action_dim"] if is_discrete else 0
    return spec_record(
        Spec(
            Space((sizes["observation_dim"],)),
            Space((sizes["action_dim"],), num_choices),
            sizes["max_episode_steps"],
        )
    )


def read_cell(record: Any, path: Path) -> dict[str, Any]:
    """Returns a record of a study, checked. What it has no value for was not there to be set.

    Raises:
        InputError: if it does not fit.
    """
    read(Cell, record, str(path))
    record = _with_new_names(record)
    check_members(record, path, complete=False)
    return record


def _with_new_names(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a record whose hyperparameters have the names of today."""
    members = [
        {**member, "config": {RENAMED.get(k, k): v for k, v in member["config"].items()}}
        for member in record["members"]
    ]
    return {**record, "members": members}


def check_members(record: Mapping[str, Any], path: Path, complete: bool = True) -> None:
    """Checks that members are settings of the record's algorithm which one program can train.

    Args:
        record: has `algo` and `members`.
        path: of the record.
        complete: whether hyperparameters without a value are refused.

    Raises:
        InputError: if they are not.
    """
    if record["algo"] not in ALGOS:
        raise InputError(
            f"{path}: this rlp has no algorithm {record['algo']}; one of your own is given by its "
            "module, as --algo=MODULE, or algo=MODULE in Python"
        )
    cls, members = ALGOS[record["algo"]].Config, record["members"]
    floats = float_names(cls)
    for number, member in enumerate(members):
        where = f"{path}, members[{number}], config"
        read(cls, member["config"], where, complete)
        for name, value in member["config"].items():
            if name not in floats and value != members[0]["config"].get(name):
                raise InputError(f"{where}, {name}: members of one program must agree in it")


def bounds(limit: Any) -> tuple[float | None, float | None]:
    """Returns the lowest and highest value of a metric, as a record has them, None for none.

    Older records have one number, the highest.
    """
    low, high = limit if isinstance(limit, list) else (None, limit)
    return low, high


def read_evaluations(entries: Any, names: list[str], path: Path) -> list[dict[str, Any]]:
    """Returns the entries of returns.json, NaN where a return is not known.

    Raises:
        InputError: if they are not of the same names, those of members and tasks, at each step.
    """
    read(list[Evaluation], entries, str(path))
    for number, entry in enumerate(entries):
        first = entries[number - number % len(names)]
        expected = {"step": first["step"], "member": names[number % len(names)]}
        for name, value in expected.items():
            if entry[name] != value:
                raise InputError(f"{path}[{number}], {name} is {_short(entry[name])}, not {value}")
    if len(entries) % len(names):
        raise InputError(f"{path}: its last evaluation has not all of {', '.join(names)}")
    return [
        {**entry, "returns": [_known(value) for value in entry["returns"] or [None]]}
        for entry in entries
    ]


def read_point(
    line: dict[str, Any], members: Container[str], where: str
) -> tuple[int, str, dict[str, float]]:
    """Returns the step, the member and the metrics, or NaN, of a line of metrics.jsonl.

    Raises:
        InputError: if it has something else.
    """
    point = read(Point, line, where)
    _checked(point["member"], point["member"] in members, "a member of the run", f"{where}, member")
    values = {name: value for name, value in line.items() if name not in point}
    for name, value in values.items():
        said = f"a name of {MAX_LETTERS} letters at most, in one line"
        _checked(name, name.isprintable() and len(name) <= MAX_LETTERS, said, f"{where}: a metric")
        read(Number, value, f"{where}, {name}")
    return *point.values(), {name: _known(value) for name, value in values.items()}


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def read(kind: Any, value: Any, where: str, complete: bool = True) -> Any:
    """Returns a json value as what an annotation says: a number, a list, a dataclass.

    Args:
        kind: the annotation.
        value: the value.
        where: what messages call it.
        complete: whether a dataclass must have a value for every field.

    Raises:
        InputError: if it is something else.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin is Annotated:
        said, holds = parts[1:]
        value = read(parts[0], value, where)
        return _checked(value, holds(value), said, where)
    if origin is NotRequired:
        return read(parts[0], value, where, complete)
    if origin in (UnionType, Union):
        return None if value is None else read(parts[0], value, where)
    if origin is Literal:
        return _checked(value, value in parts, f"one of {', '.join(parts)}", where)
    if origin in (list, tuple):
        items = enumerate(read(list, value, where))
        return origin(read(parts[0], each, f"{where}[{number}]") for number, each in items)
    if origin is dict:
        items = read(dict, value, where).items()
        return {name: read(parts[1], each, f"{where}, {_short(name)}") for name, each in items}
    if kind not in KINDS:
        return _read_fields(kind, read(dict, value, where), where, complete)
    said, holds = KINDS[kind]
    return _checked(value, holds(value), said, where)


def _read_fields(kind: Any, values: dict[str, Any], where: str, complete: bool) -> Any:
    """Returns a dataclass, a NamedTuple, or a TypedDict, which may have more than it says."""
    kinds = _kinds(kind)
    if not is_typeddict(kind):
        kinds = {name: kinds[name] for name in getattr(kind, "_fields", None) or _names(kind)}
        for name in values.keys() - kinds.keys():
            raise InputError(f"{where}: {_short(name)} is not known{nearest(name, kinds)}")
    for name in kinds.keys() - values.keys():
        if complete and get_origin(kinds[name]) is not NotRequired:
            raise InputError(f"{where}: no {name}")
    found = {
        name: read(kinds[name], value, f"{where}, {name}")
        for name, value in values.items()
        if name in kinds
    }
    return kind(**found)


@cache
def _kinds(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _names(cls: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(cls)]


def _checked(value: Any, holds: bool, said: str, where: str) -> Any:
    if not holds:
        raise InputError(f"{where} is {_short(value)}, not {said}")
    return value


def _short(value: Any) -> str:
    """Returns a value from a file as a message shows it: in one line, not too long."""
    text = json_text(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


KINDS = {
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: (
        f"a whole number from 0 to {MAX_COUNT}",
        lambda value: type(value) is int and 0 <= value <= MAX_COUNT,
    ),
    float: ("a number", lambda value: value is not None and _are_numbers([value])),
    str: ("a text in one line", lambda value: isinstance(value, str) and value.isprintable()),
    list: ("a list", lambda value: isinstance(value, list)),
    dict: ("an object", lambda value: isinstance(value, dict)),
}
