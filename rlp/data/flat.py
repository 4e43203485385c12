"""Cuts columns with one row per step into episodes: those of a whole file, or of one trajectory.

A column is an array, or an HDF5 data set that is read in slices, so that memory holds the episodes
and one slice. Episodes end where a flag is set, and where the stored next observation differs from
the observation in the next row. In the second case the stored successor is kept, and the parts are
fragments.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rlp.data.episodes import Episode, merges_in_float32, needs_float64, to_float32
from rlp.data.reading import announced
from rlp.errors import InputError

SLICE = 100_000  # rows read at once
MANY = 0.5  # share of rows, or of time limits, above which a pattern is not chance
ROUNDING = 2  # units in the last place by which an observation stored twice may differ
SAMPLE = 20  # successors to search for among all rows


def vector(column: Any) -> np.ndarray:
    """Returns a column of one number per row as [N], even if it is stored as [N, 1]."""
    values = column[:]
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def flags(column: Any, where: str) -> np.ndarray:
    """Returns a column of flags, [N] bool, even if they are stored as numbers.

    Raises:
        InputError: if one is neither 0 nor 1.
    """
    values = vector(column)
    wrong = ~((values == 0) | (values == 1))
    if wrong.any():
        row = int(np.argmax(wrong.reshape(len(wrong), -1).any(axis=1)))
        raise InputError(f"{where}: a flag is 0 or 1, not {values[row]} as in row {row}")
    return values.astype(bool)


def slices(num_rows: int) -> list[slice]:
    """Returns slices that cover all rows."""
    return [slice(start, min(start + SLICE, num_rows)) for start in range(0, num_rows, SLICE)]


def check_rows(columns: Mapping[str, Any], where: str) -> None:
    """Checks that every column has numbers and one row per step, and that there are steps.

    Raises:
        InputError: if not; it says what the column has instead.
    """
    for name, column in columns.items():
        if reason := _no_column(column):
            raise InputError(f"{where}: {name} {reason}")
    for name, column in columns.items():
        is_vector = "observation" in name or "action" in name
        if column.ndim > 2 or (column.ndim == 2 and column.shape[1] != 1 and not is_vector):
            what = "rows of one number" if not is_vector else "rows of numbers"
            raise InputError(
                f"{where}: {name} has the shape {list(column.shape)}, not {what}: put the steps of "
                "all episodes one after the other, in two axes"
            )
    rows = {column.shape[0] if column.shape else None for column in columns.values()}
    if rows == {0}:
        raise InputError(f"{where}: it has no steps")
    if len(rows) != 1 or None in rows:
        shapes = ", ".join(f"{name} {column.shape}" for name, column in columns.items())
        raise InputError(f"{where}: the arrays need a row for each step, but have {shapes}")
    widths = [column.shape[1:] for name, column in columns.items() if "observation" in name]
    if len(set(widths)) > 1:
        raise InputError(f"{where}: observations of {widths[0]}, next observations of {widths[1]}")


def _no_column(column: Any) -> str:
    """Returns why a column is not usable as numbers, "" if it is."""
    kind = column.dtype.kind
    if kind not in "biuf":
        named = {
            "U": "text",
            "S": "text",
            "O": "objects",
            "M": "dates",
            "m": "times",
            "c": "complex",
        }
        return f"is not numbers but {column.dtype} ({named.get(kind, 'records')})"
    if column.dtype == np.uint8 and column.ndim > 2:
        return f"has images {list(column.shape[1:])}, which are not read"
    if 0 in column.shape[1:]:
        return f"has rows of no numbers, {list(column.shape)}"
    return ""


@dataclass
class Cuts:
    """Counts of cuts that no flag marks, and of rows that are not ordinary steps."""

    num_rows: int = 0
    flagged: int = 0  # rows where a flag ends an episode
    jumps: int = 0  # rows whose next observation differs from the observation in the next row
    sampled: int = 0  # jumps whose next observation was searched for
    elsewhere: int = 0  # sampled jumps whose next observation was found in another row
    resets: int = 0  # time limits whose next observation is of the next episode, or zeros
    idle: int = 0  # rows in which the environment only reset itself

    def add(self, states: "States", is_end: np.ndarray) -> None:
        """Counts the rows of a file or trajectory, and searches for a sample of successors."""
        self.num_rows += len(is_end)
        self.flagged += int(is_end.sum())
        jumps = np.flatnonzero(states.jumps)
        self.jumps += len(jumps)
        if len(jumps) <= MANY * len(is_end):
            return
        ends_before = np.cumsum(is_end | states.jumps)
        for row in jumps[:: max(1, len(jumps) // SAMPLE)][:SAMPLE]:
            successor = states.rows[row + ends_before[row]]
            self.sampled += 1
            self.elsewhere += np.sum((states.rows == successor).all(axis=1)) > 1

    def notes(self) -> list[str]:
        """Returns notes about the counts for the user, a sentence each."""
        found = []
        if self.jumps:
            unmarked = "" if self.flagged else ", and no flag marks an end"
            found.append(
                f"{self.jumps:,} cuts where the next observation is not that of the next row"
                f"{unmarked}: {self._why()}. Each row keeps its own next observation; the returns "
                "of the parts are not known"
            )
        if self.resets:
            found.append(
                f"at {self.resets:,} time limits the next observation is the first of the next "
                "episode, because the environment resets itself, or zeros: it is left out, so "
                "these steps are no transitions"
            )
        if self.idle:
            found.append(
                f"{self.idle:,} rows behind the end of an episode, with reward 0, lead from its "
                "last observation to the first of the next one: gymnasium's vector environments "
                "reset themselves in a separate step. These rows are left out"
            )
        return found

    def _why(self) -> str:
        if self.jumps <= MANY * self.num_rows:
            return "resets that no flag marks, or steps that were left out"
        if self.elsewhere > MANY * self.sampled:
            return "the rows are in another order than the steps"
        return "steps were left out between the rows"


class States(NamedTuple):
    """The observations of flat columns and, after each end of an episode, the one that followed."""

    rows: np.ndarray  # [N + ends, O]; [N, O] if it is not known what followed
    jumps: np.ndarray  # [N] bool: the next observation differs from the next row's
    meets: np.ndarray  # [N] bool: an end whose next observation equals the next row's
    lost: np.ndarray  # [N] bool: an end whose next observation cannot be right


def cut(
    observation: Any,
    action: Any,
    reward: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    following: Any = None,
    where: str = "arrays",
    cuts: Cuts | None = None,
    ends_whole: bool = False,
) -> list[Episode]:
    """Returns the episodes of flat columns [N, ...], not checked; actions stay as stored.

    Args:
        observation: [N, O], or [N + 1, O] if the last row is what followed the last step.
        action: [N, A] or [N], taken at the observation in the same row.
        reward: [N].
        terminated: [N] bool, whether the MDP ended with that step.
        truncated: [N] bool, whether the episode was cut there, for example by a time limit.
        following: [N, O] observations after the steps, if they are stored.
        where: the columns' name in messages.
        cuts: counts of what is cut and left out; updated.
        ends_whole: the columns are one trajectory, so the last row ends its episode, flag or not.
    """
    cuts = Cuts() if cuts is None else cuts
    is_end = terminated | truncated
    if len(observation) == len(reward) + 1:
        if not is_end[:-1].any():
            is_whole = bool(is_end[-1] or ends_whole)
            states = _in_precision(observation[:])
            return [Episode(states, action[:], reward, bool(terminated[-1]), not is_whole)]
        observation, following = observation[:-1], observation[1:]
    is_flagged, is_end = is_end, is_end.copy()
    is_end[-1] = True
    with np.errstate(all="ignore"):  # the check refuses NaN and overflow in float32
        states = _read_states(observation, following, terminated, is_end, where)
    is_idle, unknown = _resets(states, reward, terminated, is_flagged)
    cuts.add(states, is_flagged)
    cuts.idle += int(is_idle.sum())
    cuts.resets += int((unknown & ~terminated).sum())
    is_end |= states.jumps
    is_cut = states.jumps.copy()  # where a fragment ends, but not its episode
    is_cut[-1] = not (is_flagged[-1] or ends_whole)
    is_scattered = states.jumps.sum() > MANY * len(is_end)  # flags do not mark ends of episodes
    more = 0 if following is None else 1  # rows of an episode beyond its steps
    action = action[:]
    episodes, start, was_cut = [], 0, False
    for number, stop in enumerate((np.flatnonzero(is_end) + 1).tolist()):
        first = start + int(is_idle[start])
        rows = slice(first + more * number, stop + more * (number + (not unknown[stop - 1])))
        episode = Episode(
            observation=states.rows[rows],
            action=action[first:stop],
            reward=reward[first:stop],
            terminated=bool(terminated[stop - 1]),
            is_fragment=bool(is_scattered or was_cut or is_cut[stop - 1]),
        )
        if first < stop:
            episodes.append(episode)
        start, was_cut = stop, bool(is_cut[stop - 1])
    return episodes


def _resets(
    states: States, reward: np.ndarray, terminated: np.ndarray, is_flagged: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows in which an environment only reset itself, and ends of unknown successor, [N].

    An environment that resets itself may return the first observation of the next episode after the
    last step. Or it may, like gymnasium's vector environments, use a separate row for the reset,
    with reward 0, which begins with the last observation.
    """
    is_idle, meets, unknown = np.zeros_like(is_flagged), states.meets, states.lost.copy()
    after = np.flatnonzero(meets[:-1]) + 1
    always = meets.sum() > MANY * is_flagged[:-1].sum()
    if always and not reward[after].any() and np.mean(reward != 0) > MANY:
        is_idle[after] = True
    else:
        unknown |= meets & ~terminated
        unknown[-1] |= always and is_flagged[-1] and not terminated[-1]
    return is_idle, unknown


def _in_precision(observation: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):  # overflow in float32 gives infinity, which the check refuses
        return observation if needs_float64(observation) else to_float32(observation)


def _read_states(
    observation: Any, following: Any, terminated: np.ndarray, is_end: np.ndarray, where: str
) -> States:
    """Reads the observations in slices, as float32 if that is precise enough."""
    jumps, meets, lost = np.zeros((3, len(is_end)), bool)
    is_read = isinstance(observation, np.ndarray)
    if following is None and is_read:
        return States(_in_precision(observation), jumps, meets, lost)
    parts = slices(len(is_end))
    num_rows = len(is_end) + (0 if following is None else int(is_end.sum()) + 1)
    for dtype in (np.float32, np.float64):
        rows, filled = np.empty((num_rows, *observation.shape[1:]), dtype), 0
        low = np.full(observation.shape[1:], np.inf)
        high = -low
        for part in parts if is_read else announced(parts, where, rows.nbytes):
            here = observation[part.start : part.stop + 1]
            new, next_rows = here[: part.stop - part.start], here[1:]
            if following is not None:
                after = following[part]
                differs = _differ(after[: len(next_rows)], next_rows)
                within = slice(part.start, part.start + len(differs))  # rows before another row
                jumps[within] = differs & ~is_end[within]
                ends = np.flatnonzero(is_end[part] | jumps[part])
                moved = np.any(after[ends] != new[ends], axis=1)
                is_met = np.isin(ends, np.flatnonzero(~differs & is_end[within]))
                meets[part.start + ends] = is_met & moved
                lost[part.start + ends] = _are_lost(after[ends], terminated[part][ends]) & moved
                new = new.astype(np.result_type(new, after), copy=False)
                new = np.insert(new, ends + 1, after[ends], axis=0)
            if filled + len(new) > len(rows):
                rows = np.concatenate([rows, np.empty_like(rows)])
            rows[filled : filled + len(new)] = new
            filled += len(new)
            if new.dtype.itemsize > 4:
                low, high = np.minimum(low, new.min(axis=0)), np.maximum(high, new.max(axis=0))
        if not merges_in_float32(low, high):
            break
    is_rare = 0 < meets.sum() <= MANY * is_end.sum()
    if is_rare and np.array_equal(rows[:filled], np.round(rows[:filled])):
        meets[:] = False  # chance: the environment may have few states
    return States(rows[:filled], jumps, meets, lost)


def _are_lost(after: np.ndarray, terminated: np.ndarray) -> np.ndarray:
    """Returns which observations after the last steps of episodes [N, O] cannot be used, [N] bool.

    Zeros mean that the observation was not stored. After a termination any value is allowed.
    """
    is_zero = ~after.any(axis=1) & ~terminated
    return is_zero | (terminated & ~np.isfinite(after).all(axis=1))


def _differ(after: np.ndarray, next_rows: np.ndarray) -> np.ndarray:
    """Returns in which rows two columns differ by more than rounding, [N] bool.

    They are compared in the precision of the coarser one, at best float32, because one copy may
    have been rounded earlier.
    """
    differs = np.any(after != next_rows, axis=1)
    if differs.any():
        floats = [np.float32, *(x.dtype for x in (after, next_rows) if x.dtype == np.float16)]
        slack = ROUNDING * float(max(np.finfo(dtype).eps for dtype in floats))
        a, b = (x[differs].astype(np.float64) for x in (after, next_rows))
        size = np.max(np.abs(b), axis=0)  # of each feature
        is_near = np.abs(a - b) <= slack * size
        differs[differs] = ~is_near.all(axis=1)
    return differs


def time_limits(terminated: np.ndarray, episode_length: int) -> tuple[np.ndarray, list[str]]:
    """Returns where time limits cut episodes that no column marks, [N] bool; and notes.

    Args:
        terminated: [N] bool.
        episode_length: the time limit in steps, given by the user; 0: there was none.
    """
    truncated = np.zeros(len(terminated), bool)
    if not episode_length:
        return truncated, [
            "no column says where a time limit cut an episode, so only terminations are taken for "
            "ends; if there was a limit, give it: --episode_length=1000 (for D4RL's MuJoCo tasks)"
        ]
    starts = [0, *(np.flatnonzero(terminated) + 1).tolist()]
    for start, stop in zip(starts, [*starts[1:], len(terminated)], strict=True):
        truncated[start + episode_length - 1 : stop : episode_length] = True
    return truncated & ~terminated, []
