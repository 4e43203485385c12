"""Pickled trajectories: kzl/decision-transformer and CORL (D4RL), CS285's experts, flat dicts.

A list has one dict per trajectory, with arrays or lists of one row per step. A trajectory is cut
where a terminal is set within it. CS285 uses singular names and marks the end of every trajectory
as terminal, even at a time limit; trajectories as long as the longest are read as cut by the limit.
A single dict of arrays is D4RL's, with all episodes concatenated.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlp.data.episodes import Episode
from rlp.data.flat import Cuts, check_rows, cut, flags, vector
from rlp.data.formats import columns, d4rl
from rlp.data.options import ReadOptions
from rlp.data.pickles import begins_with, is_pickle, read_pickle
from rlp.data.reading import check_names
from rlp.data.stored import Stored
from rlp.errors import InputError

LOOKS_FOR = "a pickled list of trajectories (.pkl)"
NAMES = {  # of each field
    "observation": ("observation", "observations"),
    "action": ("action", "actions"),
    "reward": ("reward", "rewards"),
    "terminated": ("terminated", "terminal", "terminals", "dones"),
    "truncated": ("truncated", "timeout", "timeouts"),
    "next_observation": ("next_observation", "next_observations"),
}
REQUIRED = ("observation", "action", "reward", "terminated")
FLAG = re.compile("done|term|trunc|time_?out|mask|valid|last|first|reset", re.IGNORECASE)


def matches(path: Path) -> bool:
    """Returns whether `path` is a pickle file other than a replay buffer."""
    return is_pickle(path) and not begins_with(path, "stable_baselines3")


def read(path: Path, options: ReadOptions) -> Stored:
    """Returns the trajectories in order."""
    found, where = read_pickle(path), str(path)
    if isinstance(found, dict):
        fields = _fields(found, f"{where}: not a list of trajectories, and as one dict of rows")
        stored = columns.from_columns(fields, where, options, {}, "own")
        if "dones" in found:
            stored.notes.append("dones are read as terminations, also where a time limit cut")
        return stored
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise InputError(f"{where}: not a list of trajectories, each a dict of arrays")
    trajectories = [_fields(each, f"{where}, trajectory {i}") for i, each in enumerate(found)]
    notes = _mark_time_limits(found, trajectories, options.episode_length)
    episodes, places, cuts = [], [], Cuts()
    for number, fields in enumerate(trajectories):
        place = f"{where}, trajectory {number}"
        parts = _episodes(fields, place, cuts)
        episodes += parts
        places += [place] * len(parts)
    return Stored(
        episodes,
        places.__getitem__,
        takes_length=bool(notes) or bool(options.episode_length),
        notes=[*notes, *cuts.notes()],
    )


def _fields(trajectory: Mapping[str, Any], where: str) -> dict[str, np.ndarray]:
    """Returns the array of each field that a dict has.

    Raises:
        InputError: if a required array is missing, a value is not an array of numbers, or there are
            flags of unknown meaning.
    """
    known = ", ".join(map(str, trajectory)) or "nothing"
    found = {}
    for field, names in NAMES.items():
        given = [name for name in names if name in trajectory]
        if len(given) > 1:
            raise InputError(f"{where}: it has {' and '.join(given)}: which is {field}?")
        if not given and field in REQUIRED:
            raise InputError(f"{where}: no array {' or '.join(names)}; it has {known}")
        if given:
            found[field] = _array(trajectory[given[0]], f"{where}: {given[0]}")
    used = {name for names in NAMES.values() for name in names}
    check_names(used, [*map(str, trajectory)], where)
    own = [key for key in trajectory if str(key).split("/")[0] not in d4rl.EXTRAS]
    unknown = [key for key in own if key not in used and FLAG.search(str(key))]
    if unknown:
        raise InputError(f"{where}: what {', '.join(map(str, unknown))} means is not known")
    return found


def _array(values: Any, where: str) -> np.ndarray:
    """Returns an array; converts a list of numbers or of equally long lists of numbers."""
    if isinstance(values, dict):
        raise InputError(f"{where} is a dict of {', '.join(map(str, values))}, not an array")
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        try:
            values = np.array(values)
        except ValueError:
            raise InputError(f"{where} is a list of rows that are not equally long") from None
    if not isinstance(values, np.ndarray):
        raise InputError(f"{where} is no array but {type(values).__name__}")
    return values


def _mark_time_limits(
    found: Sequence[Mapping[str, Any]],
    trajectories: Sequence[dict[str, np.ndarray]],
    episode_length: int,
) -> list[str]:
    """Reads the terminals of the longest trajectories as time limits; returns a note if it did.

    It does so if they are named CS285's `terminal` or `dones`, and end every trajectory.

    Args:
        found: the trajectories as stored.
        trajectories: their fields; changed.
        episode_length: steps of the time limit; 0: the length of the longest.
    """
    is_vague = all("terminal" in each or "dones" in each for each in found)
    marks_ends = all(np.all(each["terminated"][-1:]) for each in trajectories)
    if not (trajectories and is_vague and marks_ends):
        return []
    lengths = [len(each["terminated"]) for each in trajectories]
    limit = episode_length or max(lengths)
    for fields, length in zip(trajectories, lengths, strict=True):
        if length == limit:
            terminated = fields["terminated"].copy()
            terminated[-1] = 0
            fields["terminated"] = terminated
    num_cut = lengths.count(limit)
    return [
        f"terminal or dones is set at the end of every trajectory: {num_cut} of {limit} steps are "
        f"read as cut by a time limit, {len(lengths) - num_cut} as terminated; --episode_length "
        "sets another limit"
    ]


def _episodes(fields: Mapping[str, np.ndarray], where: str, cuts: Cuts) -> list[Episode]:
    check_rows(fields, where)
    reward, terminated = vector(fields["reward"]), flags(fields["terminated"], where)
    truncated = flags(fields["truncated"], where) if "truncated" in fields else 0 * terminated
    return cut(
        fields["observation"],
        fields["action"],
        reward,
        terminated,
        truncated.astype(bool),
        fields.get("next_observation"),
        where,
        cuts,
        ends_whole=True,
    )
