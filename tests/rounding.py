"""How far results may differ that two programs compute: float32 rounds, in whatever order."""

from typing import Any

import numpy as np

UNIT = float(np.finfo(np.float32).eps)


def of_sums(num_terms: int, size: float = 1.0) -> dict[str, Any]:
    """Returns the tolerances of sums of so many terms, which are at most about `size`.

    Each of the additions rounds by half a unit at most, whichever order and width the processor
    takes them in; what cancels is left with the error of its terms.
    """
    return {"rtol": num_terms * UNIT, "atol": num_terms * UNIT * size}


def of_updates(num_updates: int, rate: float, num_terms: int) -> dict[str, Any]:
    """Returns the tolerances of parameters of about 1 after updates of Adam.

    A gradient is a sum of so many terms, an update moves a parameter by the rate at most, and errs
    by as much of it as the gradient does; so do the updates after it.
    """
    return {"rtol": num_terms * UNIT, "atol": num_updates * rate * num_terms * UNIT + UNIT}
