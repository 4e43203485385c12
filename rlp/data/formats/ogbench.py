"""OGBench's npz files (2410.20092): flat columns whose `terminals` mark the end of a trajectory.

That end is a cut, not a termination: it bootstraps. The observation after the last action of a
trajectory is not stored. Files of a single task have rewards, and masks that are 0 where the task
was done. The published files have neither. If the user names the environment of a task
(`--env=og:...`), both are computed from the simulator's states, as in OGBench; else rewards are
zeros (for cloning).
"""

from pathlib import Path

import numpy as np

from rlp.data.flat import check_rows, cut, flags, vector
from rlp.data.npz import npz_names, read_npz
from rlp.data.options import ReadOptions
from rlp.data.stored import Stored, rows_of
from rlp.envs import OGBENCH, ogbench
from rlp.errors import InputError

LOOKS_FOR = "an OGBench file (.npz: observations, actions, terminals, with both rewards and masks)"
COLUMNS = ("observations", "actions", "terminals")
SINGLE_TASK = ("rewards", "masks")  # a file has both or neither
FOLDER = Path("~/.ogbench/data")
STATES = ("qpos", "qvel", "button_states")  # of the simulator


def matches(path: Path) -> bool:
    """Returns whether `path` is an npz file of OGBench's columns, and of no others."""
    if not path.is_file() or path.suffix != ".npz":
        return False
    names = set(npz_names(path)) - set(STATES)
    return names in (set(COLUMNS), {*COLUMNS, *SINGLE_TASK})


def read(path: Path, options: ReadOptions) -> Stored:
    """Returns the trajectories in order."""
    where, is_of_task = str(path), options.env.startswith(OGBENCH)
    arrays = read_npz(path, COLUMNS, (*SINGLE_TASK, *STATES) if is_of_task else SINGLE_TASK)
    states = {name: arrays.pop(name) for name in STATES if name in arrays}
    if is_of_task and "rewards" not in arrays:
        arrays |= _task_rewards(options.env, states, where)
    check_rows(arrays, where)
    last = flags(arrays["terminals"], f"{where}, terminals")
    has_rewards = "rewards" in arrays
    done, reward = np.zeros(len(last), bool), np.zeros(len(last), np.float32)
    if has_rewards:
        done = ~flags(arrays["masks"], f"{where}, masks")
        reward = vector(arrays["rewards"])
    episodes = cut(arrays["observations"], arrays["actions"], reward, done, last & ~done)
    starts = np.cumsum([0, *(len(episode.action) for episode in episodes)])[:-1]
    goes_on = np.append(False, done & ~last)[starts]  # the trajectory before was done here
    episodes = [e._replace(is_fragment=bool(on)) for e, on in zip(episodes, goes_on, strict=True)]
    env = options.env if is_of_task else ""
    return Stored(episodes, rows_of(episodes, where), env=env, has_rewards=has_rewards)


def stored(name: str) -> Path:
    """Returns OGBench's file of the data of a task, `og:cube-single-play-singletask-task1-v0`.

    Raises:
        InputError: if the file is missing.
    """
    file = ogbench.data_name(name)
    path = FOLDER.expanduser() / f"{file}.npz"
    if not path.exists():
        how = f"import ogbench; ogbench.download_datasets(['{file}'])"
        raise InputError(f'no data set {name}: {path} is missing; python -c "{how}" gets it')
    return path


def _task_rewards(env: str, states: dict[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    try:
        return ogbench.task_rewards(env, states)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except ModuleNotFoundError as error:
        raise InputError(
            f"{where}: {error.name}, which computes the rewards of {env}, is not installed "
            f"(pip install {error.name})"
        ) from None
