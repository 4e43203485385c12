"""States of gymnasium's MuJoCo environments, rebuilt from observations that determine them."""

from collections.abc import Callable, Iterator

import numpy as np

MAX_HIDDEN = 2  # unobserved positions at the beginning of a state: how far a body has moved


def _double_pendulum(observation: np.ndarray) -> np.ndarray:
    """Returns positions and velocities [6] from the observed sines and cosines of the angles."""
    position, sine, cosine, velocity = np.split(observation[:8], [1, 3, 5])
    return np.concatenate([position, np.arctan2(sine, cosine), velocity])


def _reacher(observation: np.ndarray) -> np.ndarray:
    """Returns positions and velocities [8]; the velocity of the target, the last two, is 0."""
    cosine, sine, target, velocity = np.split(observation[:8], [2, 4, 6])
    return np.concatenate([np.arctan2(sine, cosine), target, velocity, np.zeros(2)])


BY_NAME: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "InvertedDoublePendulum": _double_pendulum,
    "Reacher": _reacher,
}
LAGGING = ("Ant", "Humanoid", "Pusher")  # their rewards use positions of one substep earlier
NUM_USED = 8  # numbers of their observations that determine the state


def candidates(
    name: str, observation: np.ndarray, num_numbers: int
) -> Iterator[tuple[np.ndarray, int]]:
    """Yields states [num_numbers] that may have an observation [O], and its numbers to compare.

    Most observations begin with the state, without the positions that have no effect.
    """
    if name in BY_NAME:
        yield BY_NAME[name](observation), NUM_USED
        return
    for hidden in range(MAX_HIDDEN + 1):
        num_seen = num_numbers - hidden
        if len(observation) >= num_seen:
            yield np.concatenate([np.zeros(hidden), observation[:num_seen]]), num_seen
