"""The algorithms: one file each, one line here; and those of others, by their modules."""

import importlib
from importlib.metadata import entry_points
from typing import Any

from rlp.algos import bc, cql, dqn, dt, fql, iql, rebrac, sac, td3bc, trajectory_transformer
from rlp.errors import InputError
from rlp.types import Algo

ALGOS: dict[str, Algo] = {
    "bc": bc,
    "cqlsac": cql,
    "fql": fql,
    "iql": iql,
    "td3bc": td3bc,
    "rebrac": rebrac,
    "sac": sac,
    "dt": dt,
    "tt": trajectory_transformer,
    "dqn": dqn,
}
GROUP = "rlp.algorithms"  # of entry points
PARTS = (
    "Config", "SUPPORTS", "NEEDS_REWARDS", "policy", "init", "sample", "update", "limits", "actor",
)  # fmt: skip


def presets(algo: Algo) -> dict[str, dict[str, Any]]:
    """Returns an algorithm's named settings, as changes of its defaults; the first is the usual."""
    return getattr(algo, "PRESETS", {"paper": {}})


def register(algo: Any, name: str = "") -> str:
    """Makes an algorithm known by its module's name, or another, and returns that.

    Raises:
        InputError: if it has not all that `rlp.types.Algo` asks for, or the name is taken.
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
    """Imports the algorithm of a module, or of an entry point `rlp.algorithms`, and registers it.

    Only a name that the user has given may come here, none from a file: it runs code.

    Raises:
        InputError: if there is no such module, or it is no algorithm.
    """
    if name in ALGOS:
        return name
    for point in entry_points(group=GROUP, name=name):
        return register(point.load(), name)
    try:
        return register(importlib.import_module(name), name)
    except ModuleNotFoundError as error:
        raise InputError(f"--algo={name}: there is no module {error.name}") from None
