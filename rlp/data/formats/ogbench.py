"""OGBench's npz files (2410.20092): flat columns whose `terminals` mark the end of a trajectory.

That end is a cut, not a termination: it bootstraps. The observation after the last action of a
trajectory is not stored. Files of a single task have rewards, and masks that are 0 where the task
was done; the others have no rewards, which are read as zeros (for cloning).
"""

from pathlib import Path

import numpy as np

from rlp.data.episodes import EpisodeSet, check_set
from rlp.data.flat import check_rows, checked, cut, vector
from rlp.data.npz import npz_names, read_npz

LOOKS_FOR = "an OGBench file (.npz: observations, actions, terminals)"
COLUMNS = ("observations", "actions", "terminals")


def matches(path: Path) -> bool:
    """Returns whether `path` is an npz file with OGBench's columns."""
    return path.is_file() and path.suffix == ".npz" and set(COLUMNS) <= set(npz_names(path))


def read(path: Path) -> EpisodeSet:
    """Returns the trajectories in their order."""
    arrays = read_npz(path, COLUMNS, ("rewards", "masks"))
    check_rows(arrays, str(path))
    last = vector(arrays["terminals"]).astype(bool)
    done = vector(arrays["masks"]) == 0 if "masks" in arrays else np.zeros(len(last), bool)
    episodes = cut(
        arrays["observations"],
        arrays["actions"],
        vector(arrays["rewards"]) if "rewards" in arrays else np.zeros(len(last), np.float32),
        done,
        last | done,
    )
    metadata = {} if "rewards" in arrays else {"rewards": "none in the file: read as zeros"}
    return check_set(EpisodeSet(str(path), "", checked(episodes, str(path)), metadata))
