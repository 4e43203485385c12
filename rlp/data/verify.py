"""Verifies that data was read correctly: a simulator, set to a stored state, repeats stored steps.

`python -m rlp.data verify PATH --env=NAME`. The state is the stored physics, or is rebuilt from the
observation where that is possible (dm_control's walker and cheetah; gymnasium's MuJoCo, except
Pusher and where a velocity was clipped). If steps do not repeat, the usual mistakes are tested:
actions one row too early or too late, observations in another order.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlp.cli.terminal import Terminal
from rlp.data.episodes import EpisodeSet
from rlp.envs import Simulator
from rlp.errors import InputError

TOLERANCE = 1e-3  # of observations and rewards: allows float32 storage, not other dynamics
MOST = 0.9  # share of rows that must agree with a cause to report it


class Row(NamedTuple):
    """A step that can be replayed: its place, and the simulator's state before it."""

    episode: int
    step: int
    state: np.ndarray


class Verdict(NamedTuple):
    """The result of replaying rows."""

    num_rows: int
    observations: float  # share of rows whose next observation was repeated
    rewards: float | None  # share of rows whose reward was repeated, among rows with actions inside
    # the bounds; None: there were no such rows, or no rewards
    worst: float  # largest error of an observation
    cause: str  # the likely reason if they were not repeated, or ""

    @property
    def repeats(self) -> bool:
        """Whether every row that could be compared was repeated."""
        return self.observations == 1 and self.rewards in (1, None)


def verify(
    data: EpisodeSet,
    physics: Sequence[np.ndarray] | None,
    env: Simulator,
    num_rows: int,
    terminal: Terminal,
) -> Verdict:
    """Returns whether the simulator repeats steps of the data, evenly spaced over all of them.

    Args:
        data: the episodes.
        physics: the states [T or T + 1, P] of each episode, if they are stored.
        env: one environment.
        num_rows: steps to replay.
        terminal: shows the progress.

    Raises:
        InputError: if the state of no step is known.
    """
    rows = _rows(data, physics, env, num_rows)
    if not rows:
        raise InputError(
            f"{data.name}: no state is stored, and none can be rebuilt from an observation, so "
            "nothing can be replayed (gymnasium's MuJoCo and dm_control's walker and cheetah allow "
            "it, if observations are complete and in their original order)"
        )
    with terminal.bar("replaying", len(rows)) as move:
        errors = []
        for count, row in enumerate(rows):
            errors.append(_errors(data, env, row))
            move(count + 1)
    observation_error, reward_error = np.array(errors).T
    compared = reward_error[~np.isnan(reward_error)]
    observations = float(np.mean(observation_error <= TOLERANCE))
    rewards = float(np.mean(compared <= TOLERANCE)) if len(compared) else None
    cause = ""
    if observations < 1:
        cause = _cause(data, physics, env, rows)
    elif rewards is not None and rewards < 1:
        cause = "the rewards are of another task or another version of it"
    return Verdict(len(rows), observations, rewards, float(observation_error.max()), cause)


def _rows(
    data: EpisodeSet, physics: Sequence[np.ndarray] | None, env: Simulator, count: int
) -> list[Row]:
    """Returns up to `count` steps whose state and successor are known."""
    every = [
        (number, step)
        for number, episode in enumerate(data.episodes)
        for step in range(len(episode.observation) - 1)
    ]
    rows = []
    for index in np.unique(np.linspace(0, len(every) - 1, 20 * count).astype(int)):
        number, step = every[index]
        if physics is not None:
            state = physics[number][step]
        else:
            state = env.rebuild(data.episodes[number].observation[step])
        if state is not None:
            rows.append(Row(number, step, state))
    chosen = np.unique(np.linspace(0, len(rows) - 1, count).astype(int)) if rows else []
    return [rows[i] for i in chosen]


def _errors(data: EpisodeSet, env: Simulator, row: Row, shift: int = 0) -> tuple[float, float]:
    """Returns the largest error of the next observation, and the error of the reward.

    The reward's error is NaN if the action is at its bound, because it may have been clipped.
    """
    episode = data.episodes[row.episode]
    action = episode.action[row.step + shift]
    outcome = env.step_from(row.state, action)
    stored = episode.observation[row.step + 1]
    observation_error = _error(outcome.observation[0], stored)
    inside = np.abs(action).max() < 1 and data.has_rewards
    reward_error = abs(outcome.reward[0] - episode.reward[row.step]) if inside else np.nan
    return observation_error, float(reward_error)


def _error(found: np.ndarray, stored: np.ndarray) -> float:
    """Returns the largest error of an observation [O], relative for numbers larger than 1."""
    return float(np.max(np.abs(found - stored) / np.maximum(1, np.abs(stored))))


def _cause(
    data: EpisodeSet, physics: Sequence[np.ndarray] | None, env: Simulator, rows: Sequence[Row]
) -> str:
    if physics is not None:
        pairs = [(env.observe(r.state), data.episodes[r.episode].observation[r.step]) for r in rows]
        same = np.mean([_error(a, b) <= TOLERANCE for a, b in pairs])
        sorted_same = np.mean([_error(np.sort(a), np.sort(b)) <= TOLERANCE for a, b in pairs])
        if same < MOST <= sorted_same:
            return "the observations are in another order than the environment's"
        if same < MOST:
            return "the stored states are not those of the observations, or of another environment"
    for shift, where in ((1, "later"), (-1, "earlier")):
        possible = [r for r in rows if 0 <= r.step + shift < len(data.episodes[r.episode].action)]
        errors = [_errors(data, env, row, shift)[0] for row in possible]
        if errors and np.mean(np.array(errors) <= TOLERANCE) >= MOST:
            return f"the actions are shifted: the one taken in a row stands one row {where}"
    return "another version of the environment or of its simulator, or another environment"
