"""Converts stored actions to rlp's: scaled to [-1, 1], or one-hots of discrete actions.

Most formats store the actions that the environment received, in its own units. They are scaled by
its bounds, not by the range that the data happens to use. The bounds come from the user, else from
the file, else from the environment if it is known. Only values that rounding put beyond a bound are
clipped, unless the user asks for more.
"""

from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple

import numpy as np

from rlp import envs
from rlp.data.episodes import LARGEST, EpisodeSet
from rlp.data.options import ReadOptions
from rlp.envs import Bounds, Choices
from rlp.errors import InputError
from rlp.system import memory

MAX_CHOICES = 10_000  # discrete actions; more are surely a mistake, and make large one-hots
ROUNDING = 8  # units in the last place by which rounding may put an action beyond a bound
LOW, HIGH = "action_low", "action_high"  # names of the bounds in files that rlp writes
WEAK = 0.5  # actions of unknown bounds that never exceed it are probably not scaled to [-1, 1]


Units = Literal["scaled", "unit", "own"]


class ActionFormat(NamedTuple):
    """What a format, or a file in it, states about its actions."""

    units: Units = "own"
    """scaled: to [-1, 1], whatever the environment. unit: in [-1, 1] if no environment is known,
    else in the environment's own units. own: always in the environment's own units."""

    bounds: Bounds | None = None  # in the environment's units, if the file has them
    discrete: bool | None = None  # None: not stated
    num_choices: int | None = None  # of discrete actions; None: inferred from the largest number
    first_choice: int = 0  # number of the first discrete action


class Actions(NamedTuple):
    """The actions of all episodes in rlp's form."""

    action: list[np.ndarray]  # [T, A] each, float32
    discrete: bool
    bounds: Bounds | None
    notes: list[str]


def standardize(
    action: Sequence[np.ndarray],
    stored: ActionFormat,
    options: ReadOptions,
    env: str,
    where: str,
) -> Actions:
    """Returns the actions of episodes, scaled or as one-hots; actions out of bounds stay so.

    Args:
        action: [T] or [T, A] of each episode, as stored.
        stored: what their format states about them.
        options: what the user states about them.
        env: the environment's name, "" if it is not known.
        where: the data's name in messages.

    Raises:
        InputError: if they are not numbers, or their meaning is ambiguous.
    """
    for number, each in enumerate(action):
        if each.dtype.kind not in "biuf" or each.ndim not in (1, 2) or 0 in each.shape[1:]:
            raise InputError(
                f"{where}: actions must be numbers [T, A] or [T], but those of episode {number} "
                f"are {each.dtype} {list(each.shape)}"
            )
    space, note = _space(env) if stored.units != "scaled" else (None, "")
    if _are_discrete(action, stored, options, space, where):
        if options.bounds:
            raise InputError(f"{where}: its actions are discrete and have no bounds")
        if stored.num_choices is None and isinstance(space, Choices):
            stored = stored._replace(num_choices=space.num, first_choice=space.first)
        return Actions(_one_hots(action, stored, where), True, None, [])
    columns = [each if each.ndim == 2 else each[:, None] for each in action]
    bounds = options.bounds or stored.bounds or (space if isinstance(space, Bounds) else None)
    notes = [note] if note and not bounds else []
    scaled, bounds, more = _scale(columns, bounds, stored, options, where)
    return Actions(scaled, False, bounds, notes + more)


def _space(env: str) -> tuple[Bounds | Choices | None, str]:
    """Returns an environment's action space and "", or None and a note why it is not known."""
    if not env:
        return None, ""
    try:
        return envs.action_space(env), ""
    except InputError as error:
        return (
            None,
            f"actions are assumed to be scaled to [-1, 1], as their bounds are not known: {error}",
        )


def _are_discrete(
    action: Sequence[np.ndarray],
    stored: ActionFormat,
    options: ReadOptions,
    space: Bounds | Choices | None,
    where: str,
) -> bool:
    """Returns whether actions are discrete, by all available evidence.

    Raises:
        InputError: if the evidence conflicts, or there is none and both are possible.
    """
    evidence = {"the data": stored.discrete, "--discrete": options.discrete}
    are_integers = all(each.dtype.kind in "biu" for each in action)
    if are_integers and all(is_so is None for is_so in evidence.values()):
        evidence["their integer type"] = True if all(_width(each) == 1 for each in action) else None
    if options.bounds or stored.bounds:
        evidence["their bounds"] = False
    if space:
        evidence["their environment"] = isinstance(space, Choices)
    yes, no = ([who for who in evidence if evidence[who] is is_so] for is_so in (True, False))
    if yes and no:
        raise InputError(
            f"{where}: by {' and '.join(yes)} its actions are discrete, by {' and '.join(no)} they "
            "are numbers; --discrete=True or --discrete=False may settle it"
        )
    if yes or no:
        return bool(yes)
    if "their integer type" in evidence or _look_discrete(action):
        raise InputError(
            f"{where}: its actions are whole numbers: are they choices (--discrete=True) or not "
            "(--discrete=False)?"
        )
    return False


def _look_discrete(action: Sequence[np.ndarray]) -> bool:
    """Returns whether actions are different whole numbers, or different one-hots."""
    first = action[0][:1]
    if all(np.array_equal(each, np.broadcast_to(first, each.shape)) for each in action):
        return False  # an action that never changes is no evidence
    if all(_width(each) == 1 for each in action):
        return all(np.array_equal(each, np.round(each)) for each in action)
    return all(_are_one_hots(each) for each in action)


def _are_one_hots(action: np.ndarray) -> bool:
    is_binary = bool(np.all((action == 0) | (action == 1)))
    return is_binary and bool(np.all(action.sum(axis=-1) == 1))


def _width(action: np.ndarray) -> int:
    return 1 if action.ndim == 1 else action.shape[1]


def _one_hots(action: Sequence[np.ndarray], stored: ActionFormat, where: str) -> list[np.ndarray]:
    """Returns discrete actions, stored as numbers or one-hots, as one-hots [T, num_choices]."""
    is_stored_so = stored.units == "scaled" or all(_width(each) > 1 for each in action)
    if is_stored_so and all(each.ndim == 2 and _are_one_hots(each) for each in action):
        return [each.astype(np.float32, copy=False) for each in action]
    lengths = [len(each) for each in action]
    numbers = np.concatenate([each.astype(np.float64) for each in action]) - stored.first_choice
    hot = one_hot(numbers, stored.num_choices, where)
    return np.split(hot, np.cumsum(lengths)[:-1])


def one_hot(action: np.ndarray, num_choices: int | None, where: str) -> np.ndarray:
    """Returns discrete actions, numbered from 0, as one-hots [T, num_choices] float32.

    Args:
        action: [T] or [T, 1].
        num_choices: how many there are; None: inferred from the largest number.
        where: their name in messages.

    Raises:
        InputError: if they are not such numbers.
    """
    chosen = np.asarray(action)
    if chosen.size != len(chosen) or chosen.dtype.kind not in "biuf":
        raise InputError(f"{where}: discrete actions must be a number each, not {chosen.shape}")
    chosen = chosen.reshape(-1)
    limit = MAX_CHOICES if num_choices is None else num_choices
    wrong = ~(np.equal(np.mod(chosen, 1), 0) & (chosen >= 0) & (chosen < LARGEST))
    if num_choices is not None:
        wrong |= chosen >= num_choices
    if wrong.any():
        raise InputError(
            f"{where}: one of its discrete actions is {chosen[np.argmax(wrong)]:g}; they must be "
            f"0, 1, ... below {limit:,}"
        )
    count = num_choices or int(chosen.max(initial=0)) + 1
    if count > MAX_CHOICES:
        raise InputError(f"{where}: {count:,} discrete actions; {MAX_CHOICES:,} at most are read")
    needed, there = 4 * len(chosen) * count, memory.of_machine()
    if needed > there:
        raise InputError(
            f"{where}: {len(chosen):,} actions of {count:,} choices take {needed / 1e9:,.1f} GB as "
            f"one-hots, but this machine has {there / 1e9:,.1f} GB"
        )
    one_hots = np.zeros((len(chosen), count), np.float32)
    one_hots[np.arange(len(chosen)), chosen.astype(np.int64)] = 1
    return one_hots


def _scale(
    action: Sequence[np.ndarray],
    bounds: Bounds | None,
    stored: ActionFormat,
    options: ReadOptions,
    where: str,
) -> tuple[list[np.ndarray], Bounds | None, list[str]]:
    """Returns the actions [T, A] scaled by their bounds, those bounds [A], and notes."""
    width = action[0].shape[1]
    if bounds and len(bounds.low) not in (1, width):
        raise InputError(f"{where}: {len(bounds.low)} bounds do not fit actions of {width} numbers")
    if bounds is None and stored.units == "own":
        _check_range(action, where)
    bounds = bounds and Bounds(*np.broadcast_to(bounds, (2, width)))
    used = options.bounds or (None if stored.units == "scaled" else bounds)
    low, high = np.broadcast_to(used or [[-1.0], [1.0]], (2, width))
    center, half = (high + low) / 2, (high - low) / 2
    is_unit = not np.any(center) and bool(np.all(half == 1))
    reach = np.max(np.maximum(np.abs(low), np.abs(high)) / half)
    scaled, num_outside = [], 0
    for each in action:
        with np.errstate(all="ignore"):  # the check of each episode reports NaN
            values = each if is_unit else (each - center) / half
            if np.abs(values).max(initial=0) > 1:
                slack = ROUNDING * reach * np.finfo(_coarser(each.dtype)).eps
                is_outside = np.abs(values) > 1 + slack
                num_outside += int(is_outside.sum())
                clipped = np.clip(values, -1, 1)
                values = clipped if options.clip_actions else np.where(is_outside, values, clipped)
            scaled.append(values.astype(np.float32, copy=False))
    if not (options.clip_actions and num_outside):
        return scaled, bounds, []
    share = num_outside / sum(each.size for each in action)
    note = f"{num_outside:,} numbers of the actions ({share:.1%}) are clipped to the bounds"
    return scaled, bounds, [note]


def _coarser(dtype: np.dtype) -> type[np.floating]:
    """Returns the type whose rounding a stored action has: at best float32, as in action spaces."""
    return np.float16 if dtype == np.float16 else np.float32


def known_bounds(data: EpisodeSet) -> Bounds:
    """Returns the bounds of a set's actions; -1 and 1 if nothing else is known."""
    width, bounds = data.episodes[0].action.shape[1], data.bounds
    if bounds is None and data.env:
        with suppress(InputError):  # the environment's actions are not known
            space = envs.action_space(data.env)
            bounds = space if isinstance(space, Bounds) else None
    if bounds is None or len(bounds.low) not in (1, width):
        bounds = Bounds(np.array([-1.0]), np.array([1.0]))
    return Bounds(*np.broadcast_to(bounds, (2, width)))


def in_units(data: EpisodeSet) -> list[np.ndarray]:
    """Returns the actions of all episodes in the units of the environment, [T, A] each.

    They are float64 where the bounds are not -1 and 1, so that reading them back loses nothing.
    """
    low, high = known_bounds(data)
    center, half = (high + low) / 2, (high - low) / 2
    if not center.any() and np.all(half == 1):
        return [episode.action for episode in data.episodes]
    return [center + half * episode.action for episode in data.episodes]


def named_bounds(bounds: Bounds | None) -> dict[str, list[float]]:
    """Returns bounds under their names in files; empty if there are none."""
    return {LOW: bounds.low.tolist(), HIGH: bounds.high.tolist()} if bounds else {}


def take_bounds(metadata: MutableMapping[str, Any], where: str) -> Bounds | None:
    """Removes the bounds from a file's metadata and returns them; None if there are none.

    Raises:
        InputError: if they are not numbers, or the lowest are not below the highest.
    """
    given = [metadata.pop(name, None) for name in (LOW, HIGH)]
    if given == [None, None]:
        return None
    try:
        bounds = np.array(given, np.float64).reshape(2, -1)
    except (TypeError, ValueError):
        bounds = np.zeros((2, 1))
    if bounds.ndim != 2 or not np.isfinite(bounds).all() or not np.all(bounds[0] < bounds[1]):
        raise InputError(f"{where}: {LOW} and {HIGH} must be numbers, the first below the second")
    return Bounds(*bounds)


def _check_range(action: Sequence[np.ndarray], where: str) -> None:
    """Checks that actions of unknown bounds reach close enough to -1 and 1.

    Raises:
        InputError: if they stay far inside; they probably have other units.
    """
    reach = max(float(np.abs(each[np.isfinite(each)]).max(initial=0)) for each in action)
    if 0 < reach < WEAK:
        raise InputError(
            f"{where}: its actions stay within {reach:.3g}, and their bounds are not known: give "
            f"the environment (--env), or the bounds, as --action_low=-{reach:.1g} "
            f"--action_high={reach:.1g}; -1 and 1 if the policy was weak"
        )
