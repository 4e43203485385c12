"""The algorithms: one file each, one line here."""

from typing import Any

from rlp.algos import bc, cqlsac, dt, iql, rebrac, td3bc
from rlp.types import Algo

ALGOS: dict[str, Algo] = {
    "bc": bc,
    "cqlsac": cqlsac,
    "iql": iql,
    "td3bc": td3bc,
    "rebrac": rebrac,
    "dt": dt,
}


def presets(algo: Algo) -> dict[str, dict[str, Any]]:
    """Returns an algorithm's named settings, as changes of its defaults; the first is the usual."""
    return getattr(algo, "PRESETS", {"paper": {}})
