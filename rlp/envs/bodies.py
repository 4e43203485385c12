"""Facts about bodies that do not depend on the task, one record per body.

A body is a domain of dm_control's suite (`walker`), or an environment of gymnasium without its
version (`gym:Hopper`). Facts missing from a record are not known.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

TORSO = 1.3  # metres: the height of the walker's torso where its position is 0


class Mirror(NamedTuple):
    """How left and right are exchanged: the index of the number that moves to each place."""

    observation: Sequence[int]
    action: Sequence[int]


class Body(NamedTuple):
    """The facts about a body."""

    unit_actions: bool = False  # its lowest and highest actions are -1 and 1
    state: Callable[[np.ndarray], np.ndarray] | None = None  # [P] from an observation [O]
    mirror: Mirror | None = None  # only if the mirror image is the same body
    references: tuple[float, float] | None = None  # returns of a random policy and of an expert


def _walker(observation: np.ndarray) -> np.ndarray:
    """Returns positions and velocities [18] from the observed orientation of each limb.

    The horizontal position is not observed, and neither steps nor rewards depend on it.
    """
    orientations, [height], velocity = np.split(observation, [14, 15])
    cosine, sine = orientations.reshape(7, 2).T
    torso, *limbs = np.arctan2(sine, cosine)
    legs = np.array(limbs).reshape(2, 3)  # right and left: thigh, leg, foot
    joints = -np.diff(legs, prepend=torso)  # their axes point opposite to the torso's
    joints = np.remainder(joints + np.pi, 2 * np.pi) - np.pi
    return np.concatenate([[height - TORSO, 0, torso], *joints, velocity])


def _cheetah(observation: np.ndarray) -> np.ndarray:
    """Returns positions and velocities [18]; all but the first are observed."""
    return np.concatenate([[0.0], observation])


_WALKERS_IMAGE = Mirror(  # the walker is planar: no number changes its sign
    observation=(
        *(0, 1), *range(8, 14), *range(2, 8),  # orientations of torso, right leg, left leg
        *(14, *range(15, 18), *range(21, 24), *range(18, 21)),  # height; velocities likewise
    ),
    action=(3, 4, 5, 0, 1, 2),
)  # fmt: skip
_UNIT_ACTIONS = (  # the suite's, except lqr, quadruped and domains with a record below
    "acrobot", "ball_in_cup", "cartpole", "dog", "finger", "fish", "hopper", "humanoid",
    "humanoid_CMU", "manipulator", "pendulum", "point_mass", "reacher", "stacker", "swimmer",
)  # fmt: skip
BODIES: dict[str, Body] = {
    **dict.fromkeys(_UNIT_ACTIONS, Body(unit_actions=True)),
    "walker": Body(unit_actions=True, state=_walker, mirror=_WALKERS_IMAGE),
    "cheetah": Body(unit_actions=True, state=_cheetah),
    "gym:HalfCheetah": Body(references=(-280.178953, 12135.0)),  # d4rl/infos.py
    "gym:Hopper": Body(references=(-20.272305, 3234.3)),
    "gym:Walker2d": Body(references=(1.629008, 4592.3)),
}


def body_of(env: str) -> Body:
    """Returns the facts about the body of an environment, or of several tasks of one body."""
    first = env.split("+")[0]
    stem = first.partition("-v")[0] if first.startswith("gym:") else first.partition("-")[0]
    return BODIES.get(stem, Body())


def d4rl_score(env: str, returns: np.ndarray) -> np.ndarray | None:
    """Returns D4RL's normalised scores (2004.07219): 0 for a random policy, 100 for an expert.

    None for environments without a score, such as gymnasium's version 5 with its other rewards.
    """
    references, version = body_of(env).references, env.partition("-v")[2]
    if references is None or version not in ("2", "3", "4"):
        return None
    random, expert = references
    return 100 * (returns - random) / (expert - random)
