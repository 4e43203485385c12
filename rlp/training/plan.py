"""Online learning: its plan, the members' initial state, and hooks into the loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rlp.config import NonNegativeFloat, Positive, PositiveFloat
from rlp.data.dataset import Dataset, Normalizer
from rlp.data.replay import Layout, layout
from rlp.envs import VectorEnv
from rlp.evaluation.policy import Policy
from rlp.evaluation.rollout import Taken
from rlp.training.population import Population
from rlp.types import NEVER


@dataclass(frozen=True)
class Plan:
    """The learning."""

    num_steps: Positive = 300_000  # environment steps of each member
    num_envs: Positive = 8  # environments of each member, stepped together
    updates_per_step: PositiveFloat = 0.5  # gradient updates per environment step
    num_random_steps: int = 8_000  # first steps of each member with random actions
    learning_starts: int = 0  # steps before the first update; at least `num_random_steps`
    exploration: NonNegativeFloat = 0.1  # for policies without sampling: noise, or random share
    capacity: int = 0  # steps that a replay keeps; 0: all
    log_every: Positive = 1_000  # environment steps between log points
    eval_every: Positive = 10_000  # environment steps between evaluations
    num_episodes: Positive = 10  # episodes of each member in an evaluation
    checkpoint_every: Positive = 50_000  # environment steps between checkpoints

    def layout(self, longest: int) -> Layout:
        """Returns the layout of a member's replay, for episodes of at most `longest` steps."""
        return layout(self.num_envs, self.capacity or self.num_steps, longest)

    @property
    def num_rounds(self) -> int:
        """Rounds that take `num_steps` steps, rounded up."""
        return -(-self.num_steps // self.num_envs)

    @property
    def updates_per_round(self) -> float:
        """Updates after every round; a whole number in a valid plan."""
        return self.updates_per_step * self.num_envs

    @property
    def num_random_rounds(self) -> int:
        """Rounds with random actions."""
        return -(-self.num_random_steps // self.num_envs)

    @property
    def num_idle_rounds(self) -> int:
        """Rounds without updates."""
        return -(-max(self.num_random_steps, self.learning_starts) // self.num_envs)

    @property
    def num_updates(self) -> int:
        """Updates in total."""
        return round((self.num_rounds - self.num_idle_rounds) * self.updates_per_round)


class Start(NamedTuple):
    """The state of members before their first step."""

    members: Population
    normalizer: Normalizer
    offline: Dataset | None = None  # logged data to continue learning from
    offline_share: float = 0.5  # of a batch
    discount: float | None = None  # for the `value_floor` in replays; None: not needed
    evaluates_first: bool = False  # before the first step


class Watch:
    """Hooks into the learning; override any method."""

    def begin(self, env: VectorEnv, which: Sequence[int]) -> None:
        """Called when environments start episodes."""

    def take(self, env: VectorEnv, taken: Taken, number: int) -> None:
        """Called after each round, with its number, and for rounds repeated on resuming."""

    def resume(self, step: int, evaluated: int) -> None:
        """Called when a run resumes at a step, and is evaluated up to step `evaluated`."""

    def evaluate(self, step: int, actors: Policy) -> None:
        """Called before an evaluation."""

    def is_over(self, diverged: np.ndarray) -> bool:
        """Returns whether to stop, given the update at which each member diverged [M]."""
        return NEVER not in diverged
