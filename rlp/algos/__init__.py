"""The algorithms: one file and one line here for each; algorithms of others load by module name."""

import importlib
from importlib.metadata import entry_points
from typing import Any

from rlp.algos import (
    bc,
    cql,
    dqn,
    dt,
    fql,
    iql,
    mobrac,
    rebrac,
    sac,
    td3bc,
    trajectory_transformer,
)
from rlp.errors import InputError
from rlp.types import Algo

ALGOS: dict[str, Algo] = {
    "bc": bc,
    "cqlsac": cql,
    "fql": fql,
    "iql": iql,
    "td3bc": td3bc,
    "rebrac": rebrac,
    "mobrac": mobrac,
    "sac": sac,
    "dt": dt,
    "tt": trajectory_transformer,
    "dqn": dqn,
}
GROUP = "rlp.algorithms"  # group of entry points
PARTS = (
    "Config", "SUPPORTS", "NEEDS_REWARDS", "policy", "init", "sample", "update", "limits", "actor",
)  # fmt: skip


def presets(algo: Algo) -> dict[str, dict[str, Any]]:
    """Returns an algorithm's named settings as changes to its defaults, the usual one first."""
    return getattr(algo, "PRESETS", {"paper": {}})


def register(algo: Any, name: str = "") -> str:
    """Registers an algorithm under its module's name, or another, and returns that name.

    Raises:
        InputError: if it lacks a part of `rlp.types.Algo`, or the name is taken.
    """
    name = name or str(getattr(algo, "__name__", type(algo).__name__))
    missing = [part for part in PARTS if not hasattr(algo, part)]
    if missing:
        raise InputError(f"{name} is no algorithm: it has no {', '.join(missing)} (rlp.types.Algo)")
    for field in ("num_updates", "batch_size"):
        if not hasattr(algo.Config, field):
            raise InputError(f"{name}: its Config has no {field}")
    if ALGOS.get(name, algo) is not algo:
        raise InputError(f"{name}: there is another algorithm of that name")
    ALGOS[name] = algo
    return name


def load(name: str) -> str:
    """Imports an algorithm from a module, or an entry point `rlp.algorithms`, and registers it.

    It runs code, so the name must come from the user, never from a file.

    Raises:
        InputError: if there is no such module, or it is not an algorithm.
    """
    if name in ALGOS:
        return name
    for point in entry_points(group=GROUP, name=name):
        return register(point.load(), name)
    try:
        return register(importlib.import_module(name), name)
    except ModuleNotFoundError as error:
        raise InputError(f"--algo={name}: there is no module {error.name}") from None
