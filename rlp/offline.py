"""Offline training: stretches of compiled updates, and what happens between them."""

import time
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np

from rlp import checkpoint, devices, policy, population
from rlp.checkpoint import Saved
from rlp.config import Positive, stack
from rlp.data.dataset import Dataset, Normalizer, unit_normalizer
from rlp.devices import Placement
from rlp.envs import VectorEnv
from rlp.errors import InputError
from rlp.members import Members, room
from rlp.metrics import MetricsLog
from rlp.policy import Policy
from rlp.rollout import evaluate, evaluation_seeds
from rlp.runs import Run
from rlp.screen import Screen, spread
from rlp.signals import stop_requests


@dataclass(frozen=True)
class Schedule:
    """Between the updates."""

    log_every: int = 1000  # updates between log points
    eval_every: int = 5000  # updates between evaluations; 0: never, and no simulator is needed
    num_episodes: Positive = 10  # episodes of each member in an evaluation
    checkpoint_every: int = 5000  # updates between checkpoints; 0: only at the end

    def next_stop(self, step: int, end: int) -> int:
        """Returns the step after `step` at which something is due, `end` at the latest."""
        intervals = (self.log_every, self.eval_every, self.checkpoint_every)
        return min(end, *(step - step % every + every for every in intervals if every))


class Task(NamedTuple):
    """What a run trains on, and where it is evaluated."""

    dataset: Dataset
    normalizer: Normalizer
    env: VectorEnv | None  # one environment a member, episode and task; None: no evaluation
    placement: Placement  # of the members and the data
    at_once: int  # members in memory together; 0: as many as fit


def fit(run: Run, schedule: Schedule, task: Task, wandb: bool, screen: Screen) -> int:
    """Trains a run to its end, from its last checkpoint where it has one.

    Returns:
        The number of the signal that stopped it, 0 at the end. Either way it can be resumed.
    """
    end, states = run.configs[0].num_updates, None
    step = checkpoint.latest_step(run.checkpoints) or 0
    if step:
        states = _restored(run, step).states
        screen.say(f"going on from update {step:,}")
    dataset, stopped = devices.place(task.dataset, task.placement.everywhere), 0
    at_once = task.at_once or _at_once(run, schedule.next_stop(step, end) - step, task, screen)
    members = Members(run, task.placement, at_once, states)
    with (
        closing(MetricsLog(run, step, wandb)) if devices.is_first() else nullcontext() as log,
        screen.bar("training", end) as move,
        stop_requests() as received,
    ):
        while step < end and not stopped:
            stop = schedule.next_stop(step, end)
            began = time.perf_counter()
            metrics, alarms = members.train(dataset, step, stop)
            speed = (stop - step) * len(run.seeds) / (time.perf_counter() - began)
            step = stop
            shown = [name for name in metrics if name.endswith("_loss") or name == "q"]
            losses = "  ".join(f"{name} {np.mean(metrics[name]):.4g}" for name in shown)
            if log:
                screen.alarms(run.labels, alarms)
                log.write(step, {**metrics, "updates_per_second": np.full(len(run.seeds), speed)})
                screen.log(f"update {step:>9,}  {speed:>7,.0f} updates/s  {losses}")
            if schedule.eval_every and (step == end or step % schedule.eval_every == 0):
                states = members.states()
                if log and task.env:
                    actors = policy.from_states(
                        run.algo, stack(run.configs), states, task.normalizer
                    )
                    log.write_returns(
                        step, _evaluate(run, schedule, actors, task.env, screen, step)
                    )
            stopped = devices.highest(received[0] if received else 0)
            if step == end or stopped or step % (schedule.checkpoint_every or end) == 0:
                states = members.states()
                if log:
                    checkpoint.save(run.checkpoints, step, Saved(states, task.normalizer))
            move(step, f"{speed:,.0f} updates/s  {losses}")
    return stopped if step < end else 0


def _evaluate(
    run: Run, schedule: Schedule, actors: Policy, env: VectorEnv, screen: Screen, step: int
) -> np.ndarray:
    """Returns the returns [M, N] of policies after `step` updates, and says their means."""
    seeds = evaluation_seeds(schedule.num_episodes, len(run.tasks))
    targets = np.tile(run.target_returns, schedule.num_episodes)
    with screen.bar("evaluating", run.spec.max_episode_steps) as show:
        returns = evaluate(run.algo, run.spec, actors, env, seeds, show, targets)
    by_task = run.by_task("return", returns.T)  # [N, M]
    means = "  ".join(f"{name} {spread(each.mean(axis=0))}" for name, each in by_task.items())
    screen.say(f"update {step:>9,}  {means}")
    return returns


def _at_once(run: Run, num_updates: int, task: Task, screen: Screen) -> int:
    """Returns how many members train together, and says so where it is not all."""
    at_once, each, free = room(run, num_updates, task.dataset, task.placement)
    if at_once < len(run.seeds):
        screen.say(
            f"{len(run.seeds)} members in slices of {at_once}: "
            f"each takes {each / 1e6:,.1f} MB, {free / 1e6:,.1f} MB are free"
        )
    return at_once


def load_policy(run: Run) -> tuple[Policy, int]:
    """Returns the policies of a run's last checkpoint and its step.

    Raises:
        InputError: if there is no checkpoint, or it is damaged.
    """
    step = checkpoint.latest_step(run.checkpoints)
    if step is None:
        raise InputError(f"{run.directory} has no checkpoint yet")
    saved = _restored(run, step)
    return policy.from_states(run.algo, stack(run.configs), saved.states, saved.normalizer), step


def _restored(run: Run, step: int) -> Saved:
    members = jax.eval_shape(lambda: population.init(run.algo, run.configs, run.seeds, run.spec))
    normalizer = jax.eval_shape(lambda: unit_normalizer(run.spec.observation_dim))
    return checkpoint.restore(run.checkpoints, step, Saved(members.states, normalizer))
