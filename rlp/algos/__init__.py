"""The algorithms: one file each, one line here."""

from typing import Any

from rlp.algos import bc, cql, dt, iql, rebrac, sac, td3bc
from rlp.types import Algo

ALGOS: dict[str, Algo] = {
    "bc": bc,
    "cqlsac": cql,
    "iql": iql,
    "td3bc": td3bc,
    "rebrac": rebrac,
    "sac": sac,
    "dt": dt,
}


def presets(algo: Algo) -> dict[str, dict[str, Any]]:
    """Returns an algorithm's named settings, as changes of its defaults; the first is the usual."""
    return getattr(algo, "PRESETS", {"paper": {}})
