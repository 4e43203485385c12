"""rlp's minimal layout: flat columns in a file, which a few lines of any language can write.

observation       [N, O]
action            [N, A], taken at the observation in the same row, in the units of the environment
                  (in [-1, 1] if env is not given); or whole numbers [N], which are discrete
reward            [N], optional for algorithms that clone
terminated        [N], whether the MDP ended with that step
truncated         [N], whether the episode was cut there, for example by a time limit
next_observation  [N, O], optional: without it the last step before a cut is not a transition
episode           [N], optional: a number that changes with each new episode
    env           optional: the environment's name, a text (in HDF5 an attribute of the file)
    action_low, action_high   optional: its lowest and its highest action [A] (likewise)

Files are npz, HDF5, and CSV or Parquet tables, in which a vector may be several numbered columns
(observation_0, observation_1, ...). Plural names mean the same. Other names are mapped with
`--columns=observation=obs_*,action=act`.
"""

import fnmatch
import re
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlp.data.actions import ActionFormat, Units, take_bounds
from rlp.data.columnar import column_names, is_columnar, open_columns
from rlp.data.episodes import Episode
from rlp.data.flat import Cuts, check_rows, cut, flags, slices, time_limits, vector
from rlp.data.options import ReadOptions
from rlp.data.stored import Stored, rows_of
from rlp.data.table import is_table
from rlp.errors import InputError, nearest

LOOKS_FOR = "columns (.npz, .hdf5, .csv, .parquet: observation, action, reward, terminated, ...)"
NEEDED = ("observation", "action")
VECTORS = (*NEEDED, "next_observation")
ENDS = ("terminated", "truncated", "next_observation", "episode")  # at least one marks ends
FIELDS = tuple(dict.fromkeys((*NEEDED, "reward", *ENDS)))

MIN_PADDING = 2  # rows of zeros; a single one may be a step

Names = Mapping[str, Sequence[str]]  # the columns of each field


def matches(path: Path) -> bool:
    """Returns whether `path` is a file of these columns, and of no others."""
    return is_columnar(path) and not unexplained(column_names(path))


def unexplained(names: Sequence[str]) -> str:
    """Returns why columns of these names are not in this layout, "" if they are."""
    found = _by_their_names(names)
    missing = [field for field in NEEDED if field not in found]
    if missing:
        return f"no {' and no '.join(missing)}"
    if doubled := next((given for given in found.values() if _is_doubled(given)), None):
        return f"both {' and '.join(doubled)}"
    if not found.keys() & set(ENDS):
        return f"nothing that marks where an episode ends ({', '.join(ENDS)})"
    unknown = [name for name in names if not any(name in each for each in found.values())]
    return f"{', '.join(unknown)}, whose meaning is not known" if unknown else ""


def read(path: Path, options: ReadOptions) -> Stored:
    """Returns the episodes in order.

    Raises:
        InputError: if a required column is missing, or the values of one are invalid.
    """
    where, names = str(path), column_names(path)
    fields = _mapped(options.columns, names, where) if options.columns else _by_their_names(names)
    for field in NEEDED:
        if field not in fields:
            raise InputError(f"{where}: no column of {field}; {hint(names)}")
    wanted = [name for given in fields.values() for name in given]
    is_layout = not options.columns and not is_table(path)
    with open_columns(path, wanted) as (columns, about):
        joined = {field: _join(columns, given) for field, given in fields.items()}
        return from_columns(joined, where, options, about, "unit" if is_layout else "own")


def from_columns(
    columns: Mapping[str, Any],
    where: str,
    options: ReadOptions,
    about: MutableMapping[str, Any],
    units: Units,
) -> Stored:
    """Returns the episodes of columns named by field; `about` has values that apply to all rows."""
    columns = {field: _as_vectors(field, column) for field, column in columns.items()}
    check_rows(columns, where)
    columns, notes = _without_padding(columns)
    env = about.get("env", "")
    if not isinstance(env, str):
        raise InputError(f"{where}: env must be the name of an environment, not {env}")
    num_rows, cuts = columns["action"].shape[0], Cuts()
    zeros = np.zeros(num_rows, bool)
    terminated, truncated = (
        flags(columns[field], f"{where}, {field}") if field in columns else zeros
        for field in ("terminated", "truncated")
    )
    says_limits = any(field in columns for field in ENDS[1:])
    if "episode" in columns:
        truncated = truncated | _changes(vector(columns["episode"]), where)
    takes_length = not says_limits or not (truncated.any() or "episode" in columns)
    if not says_limits or (takes_length and options.episode_length):
        truncated, note = time_limits(terminated, options.episode_length)
        notes += note
    if "terminated" not in columns:
        notes.append("no column says where the MDP terminated: every end is read as a time limit")
    has_rewards = "reward" in columns
    reward = vector(columns["reward"]) if has_rewards else np.zeros(num_rows, np.float32)
    following = columns.get("next_observation")
    episodes = cut(
        columns["observation"], columns["action"], reward, terminated, truncated, following,
        where, cuts,
    )  # fmt: skip
    return Stored(
        episodes,
        rows_of(episodes, where),
        ActionFormat(units, take_bounds(about, where)),
        env,
        has_rewards=has_rewards,
        takes_length=takes_length,
        notes=[*notes, *cuts.notes(), *_interleaved(episodes)],
    )


def _as_vectors(field: str, column: Any) -> Any:
    """Returns a column, with observations of one number turned into vectors [N, 1]."""
    is_flat = field in ("observation", "next_observation") and len(column.shape) == 1
    return column[:][:, None] if is_flat else column


def _without_padding(columns: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Returns columns without the rows of zeros at the end of a buffer that is not full; notes."""
    num_rows = columns["action"].shape[0]
    kept = num_rows
    if not any(np.any(column[-1:]) for column in columns.values()):
        for part in reversed(slices(num_rows)):
            read = [column[part] for column in columns.values()]
            is_used = np.any([np.any(rows.reshape(len(rows), -1), axis=1) for rows in read], axis=0)
            kept = part.start + int(np.max(np.flatnonzero(is_used), initial=-1)) + 1
            if is_used.any():
                break
    if kept == 0 or num_rows - kept < MIN_PADDING:
        return dict(columns), []
    note = f"the last {num_rows - kept:,} rows have nothing but zeros and are left out"
    return {field: column[:kept] for field, column in columns.items()}, [note]


def _interleaved(episodes: Sequence[Episode]) -> list[str]:
    """Returns a note if most episodes have one step without a known successor."""
    alone = sum(len(e.action) == 1 == len(e.observation) for e in episodes)
    if alone <= len(episodes) / 2 or len(episodes) < 4:
        return []
    return [
        f"{alone:,} of {len(episodes):,} episodes have one step: are rows of several environments "
        "interleaved? Put the rows of each one after the other"
    ]


def hint(names: Sequence[str]) -> str:
    """Returns which columns a file has, and how to state what they mean."""
    some = ", ".join(names[:30]) + (", ..." if len(names) > 30 else "") or "none"
    return (
        f"it has {some}: say what they are as --columns=observation=NAME,action=NAME,reward=NAME,"
        f"terminated=NAME (or {', '.join(ENDS[1:])}), where NAME may end in * for several"
    )


def _by_their_names(names: Sequence[str]) -> dict[str, list[str]]:
    """Returns the columns of each field that are present under this layout's names."""
    found = {}
    for field in FIELDS:
        given = [name for name in names if name in (field, f"{field}s")]
        if not given and field in VECTORS:
            given = _in_order([name for name in names if re.fullmatch(rf"{field}s?_\d+", name)])
        if given:
            found[field] = given
    return found


def _is_doubled(given: Sequence[str]) -> bool:
    return len(given) > 1 and not given[0][-1].isdigit()


def _mapped(text: str, names: Sequence[str], where: str) -> dict[str, list[str]]:
    """Returns the columns of each field by `--columns`, and of other fields by their names."""
    found = _by_their_names(names)
    mapped = []
    for part in text.split(","):
        field, _, patterns = part.partition("=")
        if field not in FIELDS or not patterns or field in mapped:
            raise InputError(
                f"--columns={text}: {part or 'nothing'} is not FIELD=NAME, each once, with one of "
                f"{', '.join(FIELDS)}{nearest(field, FIELDS)}"
            )
        mapped.append(field)
        found[field] = []
        for pattern in patterns.split("+"):
            matching = _in_order([name for name in names if fnmatch.fnmatchcase(name, pattern)])
            if not matching:
                raise InputError(f"{where}: no column {pattern}; it has {', '.join(names)}")
            numbered = [name[len(pattern) - 1 :].isdigit() for name in matching]
            if pattern.endswith("*") and any(numbered) and not all(numbered):
                odd = matching[numbered.index(False)]
                raise InputError(
                    f"--columns={text}: {pattern} is {odd}, too; numbers are {pattern[:-1]}[0-9]*"
                )
            found[field] += matching
    used = [name for given in found.values() for name in given]
    if twice := next((name for name in used if used.count(name) > 1), None):
        raise InputError(f"--columns={text}: {twice} is given two meanings")
    return found


def _in_order(names: Sequence[str]) -> list[str]:
    """Returns names in the order of the numbers at their ends, if all have one."""
    ends = [re.search(r"\d+$", name) for name in names]
    if not all(ends):
        return list(names)
    return sorted(names, key=lambda name: int(re.findall(r"\d+$", name)[0]))


def _join(columns: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Returns the column of a field, with several columns stacked side by side."""
    if len(names) > 1:
        return np.column_stack([columns[name][:] for name in names])
    (name,) = names
    return columns[name]


def _changes(episode: np.ndarray, where: str) -> np.ndarray:
    """Returns after which rows the episode number changes, [N] bool."""
    changes = np.append(episode[1:] != episode[:-1], True)
    if changes.sum() > len(np.unique(episode)):
        values, counts = np.unique(episode[changes], return_counts=True)
        twice = values[np.argmax(counts)]
        raise InputError(
            f"{where}: the rows of an episode are not together, such as those of {twice:g}: sort "
            "them by episode, or use new numbers in each file that was joined"
        )
    return changes
