"""What a reader cannot find in a file, and a user can say."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rlp.envs import Bounds
from rlp.errors import InputError


@dataclass(frozen=True)
class ReadOptions:
    """Reading the data, where it does not say it itself."""

    env: str = ""  # the environment that it is from, and to evaluate in: walker-walk, gym:Hopper-v4
    columns: str = ""  # names in a table: observation=obs_*,action=act,reward=r,terminated=done
    episode_length: int = 0  # steps after which a time limit cut every episode; 0: as the data says
    action_low: str = ""  # what the environment calls its lowest action: a number, or -2:-1 for two
    action_high: str = ""  # its highest action, in the same way
    clip_actions: bool = False  # clip actions to these bounds, and count how many were outside
    discrete: bool | None = None  # whether actions are choices, where whole numbers may be either

    def __post_init__(self) -> None:
        """Takes numbers and arrays for bounds, as one has them in Python.

        Raises:
            InputError: if a value is of another type.
        """
        for name in ("action_low", "action_high"):
            value = getattr(self, name)
            if not isinstance(value, str):
                object.__setattr__(self, name, _typed(name, value))
        for name, kinds, said in (
            ("env", str, "a name"), ("columns", str, "a text"), ("episode_length", int, "a number"),
            ("clip_actions", bool, "True or False"), ("discrete", bool | None, "True or False"),
        ):  # fmt: skip
            if not isinstance(value := getattr(self, name), kinds):
                raise InputError(f"{name}={value!r}: must be {said}")

    @property
    def bounds(self) -> Bounds | None:
        """The bounds of the actions, None where they are not given.

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


AS_STORED = ReadOptions()  # nothing but what the data says


def _typed(name: str, value: Any) -> str:
    """Returns numbers as they are typed behind a flag.

    Raises:
        InputError: if there are none.
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
