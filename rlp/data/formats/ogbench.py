"""OGBench's npz files (2410.20092): flat columns whose `terminals` mark the end of a trajectory.

That end is a cut, not a termination: it bootstraps. The observation after the last action of a
trajectory is not stored. Files of a single task have rewards, and masks that are 0 where the task
was done; the others have no rewards, which are read as zeros (for cloning).
"""

from pathlib import Path

import numpy as np

from rlp.data.flat import check_rows, cut, flags, vector
from rlp.data.npz import npz_names, read_npz
from rlp.data.options import ReadOptions
from rlp.data.stored import Stored, rows_of

LOOKS_FOR = "an OGBench file (.npz: observations, actions, terminals, with both rewards and masks)"
COLUMNS = ("observations", "actions", "terminals")
SINGLE_TASK = ("rewards", "masks")  # both or none of them
STATES = ("qpos", "qvel", "button_states")  # of the simulator


def matches(path: Path) -> bool:
    """Returns whether `path` is an npz file of OGBench's columns, and of no others."""
    if not path.is_file() or path.suffix != ".npz":
        return False
    names = set(npz_names(path)) - set(STATES)
    return names in (set(COLUMNS), {*COLUMNS, *SINGLE_TASK})


def read(path: Path, options: ReadOptions) -> Stored:
    """Returns the trajectories in their order."""
    del options  # the file says all of it
    where, arrays = str(path), read_npz(path, COLUMNS, SINGLE_TASK)
    check_rows(arrays, where)
    last = flags(arrays["terminals"], f"{where}, terminals")
    has_rewards = "rewards" in arrays
    done, reward = np.zeros(len(last), bool), np.zeros(len(last), np.float32)
    if has_rewards:
        done = ~flags(arrays["masks"], f"{where}, masks")
        reward = vector(arrays["rewards"])
    episodes = cut(arrays["observations"], arrays["actions"], reward, done, last & ~done)
    starts = np.cumsum([0, *(len(episode.action) for episode in episodes)])[:-1]
    goes_on = np.append(False, done & ~last)[starts]  # it begins where the one before was done
    episodes = [e._replace(is_fragment=bool(on)) for e, on in zip(episodes, goes_on, strict=True)]
    return Stored(episodes, rows_of(episodes, where), has_rewards=has_rewards)
