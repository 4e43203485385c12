"""RLDS (2111.02767) and RL Unplugged (2006.13888): one episode per record in TFRecord files.

`path` is a file or a folder of files (`train-00000-of-00100`) in one of two layouts:

    RL Unplugged     gs://rl_unplugged/dm_control_suite_episodes: reward and discount in a row led
                     to its observation, and the action was taken at it
    RLDS             as TensorFlow Datasets writes it: action, reward and discount in a row belong
                     to the step from its observation

In both, the last row has only the last observation. An RLDS episode terminated if `is_terminal` is
set in its last row, whatever the discounts are; without that column, if the last discount is 0.
Parts of an observation are concatenated in dm_control's order. The last observation in TensorFlow
Datasets' d4rl_mujoco sets is from another episode, so it is treated as not known.
"""

import re
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rlp.data.episodes import Episode
from rlp.data.flat import flags
from rlp.data.options import ReadOptions
from rlp.data.reading import announced
from rlp.data.stored import Stored
from rlp.data.tfrecord import read_examples
from rlp.errors import InputError
from rlp.system.files import read_object

LOOKS_FOR = "TFRecord files of episodes (RLDS, RL Unplugged: *-00000-of-00001)"
SHARD = re.compile(r".*-\d{5}-of-\d{5}")
ORDER = (  # in which dm_control's tasks concatenate the parts that they have
    "orientations", "height", "joint_angles", "head_height", "upright", "target", "extremities",
    "torso_vertical", "com_velocity", "arm_pos", "arm_vel", "position", "velocity", "touch",
    "hand_pos", "object_pos", "object_vel", "target_pos", "target_position", "dist_to_target",
)  # fmt: skip
SUITE = ("cartpole", "cheetah", "finger", "fish", "humanoid", "manipulator", "walker")
MAX_TENSOR = 2**26  # bytes of a compressed tensor of one step


def matches(path: Path) -> bool:
    """Returns whether `path` is, or contains, a file named like a TFRecord file."""
    return bool(_files(path))


def read(path: Path, options: ReadOptions) -> Stored:
    """Returns the episodes in the order of the files."""
    del options  # the files state everything
    files = _files(path)
    info = read_object(files[0].with_name("dataset_info.json"))
    unsure = str(info.get("name", "")).startswith("d4rl_mujoco")
    episodes, places = [], []
    for file in announced(files, str(path), sum(file.stat().st_size for file in files)):
        for number, features in enumerate(read_examples(file)):
            where = f"{file}, record {number}"
            episode = _episode(features, where)
            if unsure:
                episode = episode._replace(observation=episode.observation[:-1])
            episodes.append(episode)
            places.append(where)
    env = _environment(str(info.get("configName", files[0].parent.name)))
    return Stored(episodes, places.__getitem__, env=env)


def _files(path: Path) -> list[Path]:
    candidates = path.iterdir() if path.is_dir() else [path] if path.is_file() else []
    return sorted(file for file in candidates if SHARD.fullmatch(file.name))


def _environment(task: str) -> str:
    """Returns `walker-walk` for RL Unplugged's walker_walk, "" for tasks that are not its own."""
    domain, _, rest = task.partition("_")
    return f"{domain}-{rest}" if domain in SUITE and rest else ""


def _episode(features: Mapping[str, np.ndarray | list[bytes]], where: str) -> Episode:
    is_rlds = "steps/reward" in features
    named = {name.removeprefix("steps/"): values for name, values in features.items()}
    if missing := [name for name in ("reward", "action") if name not in named]:
        raise InputError(
            f"{where}: no feature {', '.join(missing)}; it has {', '.join(features) or 'none'}"
        )
    rows = len(named["reward"])
    reward, action = (
        _matrix(named[name], rows, f"{where}, {name}") for name in ("reward", "action")
    )
    parts = sorted((name for name in named if name.startswith("observation")), key=_place)
    observation = [_matrix(named[name], rows, f"{where}, {name}") for name in parts]
    if not observation or reward.shape[1] != 1:
        raise InputError(f"{where}: no observation, or more than one reward per step")
    shift = 0 if is_rlds else 1
    return Episode(
        observation=np.concatenate(observation, axis=1),
        action=action[:-1],
        reward=reward[shift:, 0][: rows - 1],
        terminated=_is_terminated(named, rows, shift, where),
        is_fragment="is_first" in named and not _flags(named, "is_first", rows, where)[0],
    )


def _is_terminated(
    named: Mapping[str, np.ndarray | list[bytes]], rows: int, shift: int, where: str
) -> bool:
    """Returns whether the MDP ended with the episode.

    Raises:
        InputError: if no column says so, or a flag is set within the episode.
    """
    inside = {"is_first": slice(1, None), "is_last": slice(-1), "is_terminal": slice(-1)}
    for name, part in inside.items():
        if name in named and _flags(named, name, rows, where)[part].any():
            raise InputError(f"{where}: {name} is set within the episode: split it there")
    if "is_terminal" in named:
        return bool(_flags(named, "is_terminal", rows, where)[-1])
    if "discount" not in named:
        raise InputError(f"{where}: neither is_terminal nor discount says whether it terminated")
    discount = _matrix(named["discount"], rows, f"{where}, discount")[shift:][: rows - 1]
    if np.any(discount[:-1] == 0):
        raise InputError(f"{where}: discount is 0 before the last row: split it into episodes")
    return bool(np.any(discount[-1:] == 0))


def _flags(
    named: Mapping[str, np.ndarray | list[bytes]], name: str, rows: int, where: str
) -> np.ndarray:
    return flags(_matrix(named[name], rows, f"{where}, {name}"), f"{where}, {name}")


def _place(name: str) -> tuple[int, str]:
    part = name.removeprefix("observation/")
    return (ORDER.index(part) if part in ORDER else len(ORDER), part)


def _matrix(values: np.ndarray | list[bytes], rows: int, where: str) -> np.ndarray:
    """Returns the numbers of all steps, [rows, W]."""
    if isinstance(values, list):
        values = np.array([_inflate(each, where) for each in values])
    if not rows or values.size % rows:
        raise InputError(f"{where}: {values.size} numbers do not fit {rows} steps")
    return values.reshape(rows, -1)


def _inflate(content: bytes, where: str) -> np.ndarray:
    inflating = zlib.decompressobj()
    try:
        values = inflating.decompress(content, MAX_TENSOR)
    except zlib.error as error:
        raise InputError(f"{where}: not a compressed tensor ({error})") from error
    if not inflating.eof or len(values) % 4:
        raise InputError(f"{where}: a compressed tensor that is cut off or too large")
    return np.frombuffer(values, np.float32)
