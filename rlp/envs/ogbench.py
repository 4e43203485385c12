"""OGBench's single-task environments (2410.20092), `og:cube-single-play-singletask-task1-v0`.

Names of data sets are accepted, too; they have `play` before `singletask`, environments do not.
An episode ends when its task is done, which is its success.
"""

import copy
import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from rlp.envs import OGBENCH
from rlp.errors import InputError, nearest

NUM_BYTES = 60_000_000  # per environment, without the model that all share
NAME = re.compile(
    r"(?P<scene>[a-z0-9-]+?)(-(?P<kind>play|noisy|navigate|stitch|explore))?"
    r"-(?P<task>singletask(-task\d)?)-(?P<version>v\d+)"
)
EXAMPLE = f"{OGBENCH}cube-single-play-singletask-task1-v0"


def data_name(name: str) -> str:
    """Returns the file name of a task's data, such as `cube-single-play-v0`.

    Raises:
        InputError: if the name does not say which of a scene's data sets to use.
    """
    found = _parsed(name)
    if not found["kind"]:
        raise InputError(f"{name}: it does not say which data is meant; name it as {EXAMPLE}")
    return f"{found['scene']}-{found['kind']}-{found['version']}"


def make_all(name: str, num_envs: int, picture_size: tuple[int, int] | None = None) -> list[Any]:
    """Returns environments that share one model: only the first takes seconds to build.

    Args:
        name: of the environment.
        num_envs: number of environments.
        picture_size: width and height of their pictures (None: no pictures).

    Raises:
        ModuleNotFoundError: if OGBench is not installed.
        InputError: if it has no such environment.
    """
    first = _make(name, **_drawing(picture_size))
    shared: dict[int, Any] = {}
    _find_fixed(first.unwrapped, shared, set())
    return [first, *(copy.deepcopy(first, dict(shared)) for _ in range(num_envs - 1))]


def task_rewards(name: str, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns a task's `rewards` in states [N] of the simulator, and `masks`: 1 where not done.

    Args:
        name: of the environment.
        columns: `qpos`, and for scenes with buttons `button_states`, [N, ...].

    Raises:
        ModuleNotFoundError: if OGBench is not installed.
        InputError: if a column is missing, or there is no such environment.
    """
    first = _make(name)
    from ogbench.relabel_utils import relabel_dataset

    filled = dict(columns)
    try:
        relabel_dataset(_gymnasium_id(name), first, filled)
    except KeyError as error:
        raise InputError(f"no column {error.args[0]}, which the rewards of {name} need") from None
    return {each: filled[each] for each in ("rewards", "masks")}


def _parsed(name: str) -> re.Match[str]:
    found = NAME.fullmatch(name.removeprefix(OGBENCH))
    if not found:
        raise InputError(f"{name}: single tasks are learned, not goals; name one as {EXAMPLE}")
    return found


def _gymnasium_id(name: str) -> str:
    """Returns gymnasium's name of the environment."""
    found = _parsed(name)
    return f"{found['scene']}-{found['task']}-{found['version']}"


def _drawing(picture_size: tuple[int, int] | None) -> dict[str, Any]:
    """Returns a constructor's arguments for pictures of this width and height."""
    if picture_size is None:
        return {}
    width, height = picture_size
    return {"render_mode": "rgb_array", "width": width, "height": height}


def _make(name: str, **arguments: Any) -> Any:
    """Returns an environment with its model built."""
    own_id = _gymnasium_id(name)
    try:
        return make_own(own_id, **arguments)
    except LookupError:
        import gymnasium

        known = [f"{OGBENCH}{each}" for each in gymnasium.registry if "singletask" in each]
        raise InputError(f"no environment {name}{nearest(OGBENCH + own_id, known)}") from None


def make_own(own_id: str, **arguments: Any) -> Any:
    """Returns an environment by gymnasium's name, with its model built.

    Args:
        own_id: for example `cube-single-v0`.
        **arguments: of its constructor.

    Raises:
        ModuleNotFoundError: if OGBench is not installed.
        LookupError: if it has no such environment.
    """
    import gymnasium
    import ogbench  # the import registers its environments

    del ogbench
    if own_id not in gymnasium.registry:
        raise LookupError(own_id)
    warnings.filterwarnings("ignore", ".*Box (low|high)'s precision")  # gymnasium's, every reset
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GLFW warns without a display
        made = gymnasium.make(own_id, disable_env_checker=True, **arguments)
        made.reset()
    return made


def _find_fixed(x: Any, found: dict[int, Any], seen: set[int]) -> None:
    """Finds the parts of an object that steps never change: the model and its source."""
    if id(x) in seen:
        return
    seen.add(id(x))
    if type(x).__name__ == "MjModel" or type(x).__module__.startswith("dm_control.mjcf"):
        found[id(x)] = x
    elif isinstance(x, (dict, list, tuple)):
        for each in x.values() if isinstance(x, dict) else x:
            _find_fixed(each, found, seen)
    elif type(x).__module__.startswith("ogbench"):
        _find_fixed(vars(x), found, seen)
