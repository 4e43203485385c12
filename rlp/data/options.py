"""Facts that a reader cannot find in a file, but a user can state."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rlp.envs import Bounds
from rlp.errors import InputError


@dataclass(frozen=True)
class ReadOptions:
    """Reading the data, where it does not state these facts itself."""

    env: str = ""  # environment the data is from, also used to evaluate: walker-walk, gym:Hopper-v4
    columns: str = ""  # names in a table: observation=obs_*,action=act,reward=r,terminated=done
    episode_length: int = 0  # steps after which a time limit cut every episode; 0: as the data says
    action_low: str = ""  # lowest action in the environment's units: a number, or -2:-1 for two
    action_high: str = ""  # highest action, in the same form
    clip_actions: bool = False  # clip actions to these bounds, and count how many were outside
    discrete: bool | None = None  # whether actions are choices, if whole numbers could be either

    def __post_init__(self) -> None:
        """Accepts numbers and arrays as bounds, which is convenient in Python.

        Raises:
            InputError: if a value has the wrong type.
        """
        for name in ("action_low", "action_high"):
            value = getattr(self, name)
            if not isinstance(value, str):
                object.__setattr__(self, name, _typed(name, value))
        for name, kinds, expected in (
            ("env", str, "a name"), ("columns", str, "a text"), ("episode_length", int, "a number"),
            ("clip_actions", bool, "True or False"), ("discrete", bool | None, "True or False"),
        ):  # fmt: skip
            if not isinstance(value := getattr(self, name), kinds):
                raise InputError(f"{name}={value!r}: must be {expected}")

    @property
    def bounds(self) -> Bounds | None:
        """The bounds of the actions, None if they are not given.

        Raises:
            InputError: if only one of them is given, or the lowest is not below the highest.
        """
        if not self.action_low and not self.action_high:
            return None
        given = f"--action_low={self.action_low} --action_high={self.action_high}"
        try:
            low, high = (_numbers(text) for text in (self.action_low, self.action_high))
            low, high = np.broadcast_arrays(low, high)
        except ValueError:
            raise InputError(
                f"{given}: give both, a number each, or as many as actions have"
            ) from None
        if not np.all(np.isfinite([low, high])) or not np.all(low < high):
            raise InputError(f"{given}: the lowest action must be below the highest, and finite")
        return Bounds(low, high)


AS_STORED = ReadOptions()  # the user states nothing


def _typed(name: str, value: Any) -> str:
    """Returns numbers as the text of a flag, such as "-2:-1".

    Raises:
        InputError: if the value is not numbers.
    """
    try:
        numbers = np.ravel(np.asarray(value, np.float64)).tolist()
    except (TypeError, ValueError):
        raise InputError(
            f"{name}={value!r}: must be a number, or as many as actions have"
        ) from None
    return ":".join(map(repr, numbers))


def _numbers(text: str) -> np.ndarray:
    return np.array([float(part) for part in text.split(":")])
