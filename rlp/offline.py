"""Offline training: stretches of compiled updates, and what happens between them."""

import time
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np

from rlp import checkpoint, policy, population
from rlp.checkpoint import Saved
from rlp.config import Positive, stack
from rlp.data.dataset import Dataset, Normalizer, unit_normalizer
from rlp.envs import VectorEnv
from rlp.errors import InputError
from rlp.metrics import MetricsLog
from rlp.policy import Policy
from rlp.population import Population
from rlp.rollout import evaluate, evaluation_seeds
from rlp.runs import Run
from rlp.screen import Screen, spread
from rlp.signals import stop_requests
from rlp.types import State

Columns = dict[str, np.ndarray]  # by name, one value a member [M]


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


def fit(run: Run, schedule: Schedule, task: Task, wandb: bool, screen: Screen) -> int:
    """Trains a run to its end, from its last checkpoint where it has one.

    Returns:
        The number of the signal that stopped it, 0 at the end. Either way it can be resumed.
    """
    end = run.configs[0].num_updates
    members = population.init(run.algo, run.configs, run.seeds, run.spec)
    states, step = members.states, checkpoint.latest_step(run.checkpoints) or 0
    if step:
        states = checkpoint.restore(run.checkpoints, step, Saved(states, task.normalizer)).states
        screen.say(f"going on from update {step:,}")
    with (
        closing(MetricsLog(run, step, wandb)) as log,
        screen.bar("training", end) as move,
        stop_requests() as received,
    ):
        while step < end and not received:
            stop = schedule.next_stop(step, end)
            states, metrics, alarms, speed = _stretch(
                run, members, states, task.dataset, step, stop
            )
            step = stop
            screen.alarms(run.labels, alarms)
            log.write(step, {**metrics, "updates_per_second": np.full(len(run.seeds), speed)})
            shown = [name for name in metrics if name.endswith("_loss") or name == "q"]
            losses = "  ".join(f"{name} {np.mean(metrics[name]):.4g}" for name in shown)
            screen.log(f"update {step:>9,}  {speed:>7,.0f} updates/s  {losses}")
            if task.env and (step == end or step % schedule.eval_every == 0):
                actors = policy.from_states(run.algo, members.configs, states, task.normalizer)
                seeds = evaluation_seeds(schedule.num_episodes, len(run.tasks))
                targets = np.tile(run.target_returns, schedule.num_episodes)
                with screen.bar("evaluating", run.spec.max_episode_steps) as show:
                    returns = evaluate(run.algo, run.spec, actors, task.env, seeds, show, targets)
                log.write_returns(step, returns)
                by_task = run.by_task("return", returns.T)  # [N, M]
                means = "  ".join(f"{k} {spread(v.mean(axis=0))}" for k, v in by_task.items())
                screen.say(f"update {step:>9,}  {means}")
            if step == end or received or (step % (schedule.checkpoint_every or end)) == 0:
                checkpoint.save(run.checkpoints, step, Saved(states, task.normalizer))
            move(step, f"{speed:,.0f} updates/s  {losses}")
    return received[0] if step < end else 0


def _stretch(
    run: Run, members: Population, states: State, dataset: Dataset, step: int, stop: int
) -> tuple[State, Columns, Columns, float]:
    """Returns states, metrics, alarms and updates/s (of all members) of updates step to stop."""
    began = time.perf_counter()
    with jax.transfer_guard("disallow"):  # a hidden transfer would stall every stretch
        states, metrics, alarms = population.train(
            run.algo,
            stop - step,
            members.configs,
            members.keys,
            states,
            dataset,
            jax.device_put(np.int32(step)),
        )
    metrics, alarms = jax.device_get((metrics, alarms))
    return states, metrics, alarms, (stop - step) * len(run.seeds) / (time.perf_counter() - began)


def load_policy(run: Run) -> tuple[Policy, int]:
    """Returns the policies of a run's last checkpoint and its step.

    Raises:
        InputError: if there is no checkpoint, or it is damaged.
    """
    step = checkpoint.latest_step(run.checkpoints)
    if step is None:
        raise InputError(f"{run.directory} has no checkpoint yet")
    members = jax.eval_shape(lambda: population.init(run.algo, run.configs, run.seeds, run.spec))
    normalizer = jax.eval_shape(lambda: unit_normalizer(run.spec.observation_dim))
    saved = checkpoint.restore(run.checkpoints, step, Saved(members.states, normalizer))
    return policy.from_states(run.algo, stack(run.configs), saved.states, saved.normalizer), step
