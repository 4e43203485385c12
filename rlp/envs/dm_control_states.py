"""States of the suite's simulators from observations, where these tell all that has an effect.

How far a body got along its track is in none of them, and neither steps nor rewards depend on it.
"""

from collections.abc import Callable

import numpy as np

TORSO = 1.3  # metres: the height of the walker's torso where its state says 0


def _walker(observation: np.ndarray) -> np.ndarray:
    """Returns positions and velocities [18]; observed is how each limb is turned in the plane."""
    orientations, [height], velocity = np.split(observation, [14, 15])
    cosine, sine = orientations.reshape(7, 2).T
    torso, *limbs = np.arctan2(sine, cosine)
    legs = np.array(limbs).reshape(2, 3)  # right and left: thigh, leg, foot
    joints = -np.diff(legs, prepend=torso)  # their axes point to the other side than the torso's
    joints = np.remainder(joints + np.pi, 2 * np.pi) - np.pi
    return np.concatenate([[height - TORSO, 0, torso], *joints, velocity])


def _cheetah(observation: np.ndarray) -> np.ndarray:
    """Returns positions and velocities [18]; observed are all but the first."""
    return np.concatenate([[0.0], observation])


STATES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"walker": _walker, "cheetah": _cheetah}
