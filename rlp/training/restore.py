"""What a run has saved: its last checkpoint, and the policies that are in it."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import numpy as np

from rlp.config import stack
from rlp.data.dataset import unit_normalizer
from rlp.errors import InputError
from rlp.evaluation import policy
from rlp.evaluation.policy import Policy
from rlp.runs import Run, checkpoint
from rlp.runs.checkpoint import Kept, Saved
from rlp.runs.ranking import goodness
from rlp.training import population
from rlp.types import NEVER

Which = Literal["last", "best"]


class Chosen(NamedTuple):
    """The checkpoint of every member: the last, or that of each at its best."""

    saved: Saved
    updates: np.ndarray  # [M], that each has made
    best: int | None = None  # the member that was best of all at its best

    def numbers(self, run: Run, member: str) -> list[int]:
        """Returns the numbers of the members that are meant, as `Run.numbers`.

        Raises:
            InputError: if there is no such member, or the best is not known.
        """
        return run.numbers(member) if member != "best" or self.best is None else [self.best]


def load(run: Run, warn: Callable[[str], None] = lambda _: None) -> tuple[Saved, int]:
    """Returns a run's last checkpoint and its step.

    `warn` gets a line for each checkpoint that is passed over. A process that trains may remove one
    while it is read: then the last one is looked for again.

    Raises:
        InputError: if there is no checkpoint, or it is damaged.
    """
    while True:
        there = checkpoint.steps(run.checkpoints)
        try:
            step = checkpoint.latest_step(run.checkpoints, warn=warn)
            if step is None:
                raise InputError(f"{run.directory} has no checkpoint yet")
            return at(run, step), step
        except (InputError, OSError):
            if checkpoint.steps(run.checkpoints) == there:
                raise


def choose(run: Run, which: Which, warn: Callable[[str], None] = lambda _: None) -> Chosen:
    """Returns the last checkpoint of a run, or that of each member at its best.

    Raises:
        InputError: if there is none, or it is damaged.
    """
    if which == "last":
        saved, step = load(run, warn)
        return Chosen(saved, np.full(len(run.seeds), step))
    criterion = run.keeps
    if criterion is None:
        raise InputError(
            f"{run.directory} keeps no best checkpoint: it was trained without --keep_best"
        )
    kept = best(run)
    number = int(np.nanargmax(goodness(criterion, np.asarray(kept.values))))
    saved = Saved(kept.states, kept.normalizer, np.asarray(kept.diverged))
    return Chosen(saved, np.asarray(kept.updates), number)


def best(run: Run) -> Kept:
    """Returns the members of a run, each at its best.

    Raises:
        InputError: if there is no such checkpoint yet, or it is damaged.
    """
    step = checkpoint.latest_step(run.best_checkpoints)
    if step is None:
        raise InputError(f"{run.directory} has no best checkpoint yet")
    members = np.zeros(len(run.seeds))
    like = Kept(*_like(run), members.astype(np.int32), members.astype(np.float32))
    return checkpoint.restore(run.best_checkpoints, step, like)


def load_policy(run: Run) -> tuple[Policy, int]:
    """Returns the policies of a run's last checkpoint and its step.

    Raises:
        InputError: if there is no checkpoint, or it is damaged.
    """
    saved, step = load(run)
    return policy_of(run, saved), step


def policy_of(run: Run, saved: Saved) -> Policy:
    """Returns the policies of a checkpoint."""
    configs, origin = stack(run.configs), run.origin
    return policy.from_states(run.algo, configs, saved.states, saved.normalizer, origin)


def at(run: Run, step: int) -> Saved:
    """Returns a run's checkpoint of a step.

    Raises:
        InputError: if it is damaged, or the run ends before.
    """
    end = run.configs[0].num_updates
    if "schedule" in run.record and step > end:
        raise InputError(f"{run.checkpoints}/{step}: the run ends at update {end}")
    saved = checkpoint.restore(run.checkpoints, step, _like(run))
    is_finite = np.asarray(jax.vmap(population.is_finite)(saved.states))
    found = np.where(is_finite, NEVER, step - 1)  # older checkpoints have no marks
    return saved._replace(diverged=np.minimum(saved.diverged, found, dtype=np.int32))


def _like(run: Run) -> Saved:
    """Returns the shapes of a checkpoint."""
    members = population.shapes(run.algo, run.configs, run.seeds, run.spec)
    normalizer = jax.eval_shape(lambda: unit_normalizer(run.spec.observation_dim))
    return Saved(members.states, normalizer, np.full(len(run.seeds), NEVER, np.int32))
