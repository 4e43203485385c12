"""The algorithms: one file each, one line here."""

from rlp.algos import bc, cqlsac
from rlp.types import Algo

ALGOS: dict[str, Algo] = {
    "bc": bc,
    "cqlsac": cqlsac,
}
