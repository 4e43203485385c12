"""What a run has saved: its last checkpoint, and the policies that are in it."""

from collections.abc import Callable

import jax
import numpy as np

from rlp.config import stack
from rlp.data.dataset import unit_normalizer
from rlp.errors import InputError
from rlp.evaluation import policy
from rlp.evaluation.policy import Policy
from rlp.runs import Run, checkpoint
from rlp.runs.checkpoint import Saved
from rlp.training import population
from rlp.types import NEVER


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
    members = population.shapes(run.algo, run.configs, run.seeds, run.spec)
    normalizer = jax.eval_shape(lambda: unit_normalizer(run.spec.observation_dim))
    never = np.full(len(run.seeds), NEVER, np.int32)
    saved = checkpoint.restore(run.checkpoints, step, Saved(members.states, normalizer, never))
    is_finite = np.asarray(jax.vmap(population.is_finite)(saved.states))
    found = np.where(is_finite, NEVER, step - 1)  # older checkpoints have no marks
    return saved._replace(diverged=np.minimum(saved.diverged, found, dtype=np.int32))
