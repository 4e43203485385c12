"""The best checkpoint of every member, by a criterion: whatever comes after, it is kept.

It is in the folder `best` of a run, and is written after the run's own checkpoint of that step: a
run that was killed between the two makes it when it goes on.
"""

import jax
import numpy as np

from rlp.runs import Run, checkpoint
from rlp.runs.checkpoint import Kept, Saved
from rlp.runs.ranking import Criterion, goodness
from rlp.training import restore
from rlp.types import NEVER


class Keeper:
    """Keeps the members of a run as each was at its best."""

    def __init__(self, run: Run, criterion: Criterion, step: int, saved: Saved | None) -> None:
        """Goes on from the run's own checkpoint, at `step`, or begins at update 0 without one."""
        self._run = run
        self.criterion: Criterion = criterion
        checkpoint.forget_after(run.best_checkpoints, step)
        is_there = checkpoint.steps(run.best_checkpoints)
        self._kept = restore.best(run) if is_there else None
        if saved:
            self.see(step, saved)

    def see(self, step: int, saved: Saved) -> None:
        """Keeps the members that are better than ever before, by what the log has of this step."""
        values = self._run.judged_at(self.criterion, step).astype(np.float32)
        updates, nothing = np.full(len(values), step, np.int32), np.full_like(values, np.nan)
        first = Kept(saved.states, saved.normalizer, saved.diverged, updates, nothing)
        old = self._kept or first
        before = np.nan_to_num(goodness(self.criterion, old.values), nan=-np.inf)
        is_better = goodness(self.criterion, values) > before
        if not is_better.any():
            return

        def better(new: np.ndarray, old: np.ndarray) -> np.ndarray:
            return np.where(is_better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        self._kept = Kept(
            jax.tree.map(better, saved.states, old.states),
            saved.normalizer,
            diverged=np.where(is_better, NEVER, old.diverged).astype(np.int32),
            updates=better(updates, old.updates),
            values=better(values, old.values),
        )
        checkpoint.save(self._run.best_checkpoints, step, self._kept)
