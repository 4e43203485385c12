"""Offline training: stretches of compiled updates, and what happens between them."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np

from rlp.cli.terminal import COMPILING, Terminal, spread
from rlp.config import Positive, stack
from rlp.data.dataset import Dataset, Normalizer, unit_normalizer
from rlp.envs import VectorEnv
from rlp.errors import InputError
from rlp.evaluation import policy
from rlp.evaluation.policy import Policy
from rlp.evaluation.rollout import evaluate, evaluation_seeds, most_steps
from rlp.runs import Run, checkpoint
from rlp.runs.checkpoint import Saved
from rlp.runs.metrics import MetricsLog
from rlp.system import devices
from rlp.system.devices import Placement
from rlp.system.signals import stop_requests
from rlp.training import population
from rlp.training.background import Jobs
from rlp.training.slices import Columns, Members, room
from rlp.types import NEVER, NOT_FINITE, Sources, phase_at


@dataclass(frozen=True)
class Schedule:
    """Between the updates."""

    log_every: int = 1000  # updates between log points
    eval_every: int = 5000  # updates between evaluations; 0: never, and no simulator is needed
    num_episodes: Positive = 10  # of each member in an evaluation while training, at once
    final_episodes: Positive = 100  # of each in the last evaluation, whose returns are the result
    final_evaluations: Positive = 1  # the last ones, that have as many episodes as the last
    checkpoint_every: int = 5000  # updates between checkpoints; 0: only at the end

    def next_stop(self, step: int, end: int) -> int:
        """Returns the step after `step` at which to stop, `end` at the latest."""
        stops = [step - step % every + every for every in self._intervals + self._pieces]
        return min([end, *stops])

    def is_due(self, step: int) -> bool:
        """Returns whether more than going on is due after `step` updates."""
        return any(step % every == 0 for every in self._intervals)

    def episodes(self, step: int, end: int) -> int:
        """Returns how many episodes of each member and task an evaluation has.

        Args:
            step: updates so far.
            end: updates in all, or so far where all members are over.
        """
        to_come = -(-(end - step) // self.eval_every)
        return self.final_episodes if to_come < self.final_evaluations else self.num_episodes

    @property
    def _intervals(self) -> list[int]:
        return [n for n in (self.log_every, self.eval_every, self.checkpoint_every) if n]

    @property
    def _pieces(self) -> list[int]:
        """Updates after which there is a stop though nothing is due.

        A CPU may take minutes for a large population's updates between two log points: after each
        piece of them the bar moves, and a signal is heard. All pieces are of one length, and so of
        one compiled program. An accelerator would only wait between them.
        """
        common = math.gcd(*self._intervals) or 100
        largest = max(size for size in range(1, 101) if common % size == 0)
        return [largest] if jax.default_backend() == "cpu" and largest >= 50 else []


OnLog = Callable[[int, Columns], None]  # of the update, and the metrics [M] by name


class Task(NamedTuple):
    """What a run trains on, and where it is evaluated."""

    dataset: Dataset
    normalizer: Normalizer
    env: VectorEnv | None  # as many environments for each member and task; None: no evaluation
    placement: Placement  # of the members and the data
    at_once: int  # members that train together; 0: as many as is best


class Ended(NamedTuple):
    """How training ended; it can be resumed either way."""

    signal: int  # the number of the one that stopped it, or 0
    diverged: np.ndarray  # [M], the update that ended a member, or NEVER


def no_log(step: int, metrics: Columns) -> None:
    """Does nothing at a log point."""


def fit(
    run: Run,
    schedule: Schedule,
    task: Task,
    wandb: bool,
    terminal: Terminal,
    on_log: OnLog = no_log,
) -> Ended:
    """Trains a run to its end, from its last checkpoint where it has one.

    A member whose losses or state are not finite is over: whatever it goes on to compute, it is
    not evaluated. Where all are, training ends. A step's checkpoint comes before its evaluation.
    """
    end, env, stopped = run.configs[0].num_updates, task.env, 0
    step = checkpoint.latest_step(run.checkpoints, warn=terminal.warn) or 0
    if devices.is_first():
        checkpoint.forget_after(run.checkpoints, step)  # those that are not whole
    saved = _restored(run, step) if step else None
    diverged = saved.diverged if saved else np.full(len(run.seeds), NEVER, np.int32)

    def is_evaluation() -> bool:
        return step == end or NEVER not in diverged or step % schedule.eval_every == 0

    def num_episodes() -> int:
        return schedule.episodes(step, step if is_over else end)

    def next_stop(step: int) -> int:
        _, end_of_phase = phase_at(run.algo, run.configs[0], step)
        return schedule.next_stop(step, min(end, end_of_phase or end))

    is_missing = saved and env and is_evaluation() and not run.is_evaluated(step)
    is_over = step == end or NEVER not in diverged
    if saved:
        terminal.say(f"going on from update {step:,}")
    elif (run.directory / "metrics.jsonl").exists():
        terminal.warn(f"{run.directory} has no checkpoint: it begins again at update 0")
    if is_over and not is_missing:
        return Ended(0, diverged)
    with (
        Jobs(run, step, wandb) as jobs,
        terminal.bar("training", end) as move,
        stop_requests() as received,
    ):
        if saved and env and is_missing:  # the process ended between the two
            jobs.submit(_evaluate, run, num_episodes(), env, terminal, step, saved)
        if is_over:
            return Ended(0, diverged)
        sources = devices.place(Sources(task.dataset), task.placement.everywhere)
        terminal.log(COMPILING)
        move(step, COMPILING)
        at_once = task.at_once or _at_once(run, next_stop(step) - step, task, terminal)
        states = saved.states if saved else None
        members = Members(run, task.placement, at_once, task.dataset.statistics, states)
        outcomes, sizes, seconds, note = [], [], 0.0, ""  # since the last log point
        compiled: set[int] = set()  # lengths of stretches, each a program
        while not is_over and not stopped:
            stop = next_stop(step)
            if stop - step not in compiled:
                compiled.add(stop - step)
                move(step, COMPILING)
            began = time.perf_counter()
            outcomes.append(members.train(sources, step, stop))
            seconds += time.perf_counter() - began
            sizes.append(stop - step)
            step = stop
            _, alarms = outcomes[-1]
            diverged = np.minimum(diverged, alarms[NOT_FINITE])
            is_over = step == end or NEVER not in diverged
            stopped = devices.highest(received[0] if received else 0)
            if is_over or stopped or schedule.is_due(step):
                metrics, alarms = population.as_one(outcomes, sizes)
                speed = sum(sizes) * len(run.seeds) / seconds
                metrics["updates_per_second"] = np.full(len(run.seeds), speed)
                note = _speed_and_losses(metrics, diverged)
                on_log(step, metrics)
                jobs.submit(
                    _tell, run, terminal, step, metrics, {**alarms, NOT_FINITE: diverged}, note
                )
                outcomes, sizes, seconds = [], [], 0.0
            saves = is_over or stopped or step % (schedule.checkpoint_every or end) == 0
            evaluates = env and is_evaluation()
            if saves or evaluates:
                if evaluates:
                    jobs.wait()  # of the evaluations, only one keeps its states
                saved = jobs.keep(Saved(members.states(), task.normalizer, diverged))
                if saves:
                    jobs.submit(_save, run, step, saved)
                if env and evaluates:
                    jobs.submit(_evaluate, run, num_episodes(), env, terminal, step, saved)
            move(step, note)
    return Ended(0 if is_over else stopped, diverged)


def _tell(
    log: MetricsLog,
    run: Run,
    terminal: Terminal,
    step: int,
    metrics: Columns,
    alarms: Columns,
    note: str,
) -> None:
    log.write(step, metrics)
    terminal.alarms(run.labels, alarms)
    terminal.log(f"update {step:>9,}  {note}")


def _speed_and_losses(metrics: Columns, diverged: np.ndarray) -> str:
    """Returns the means over the members that are not over."""
    counts = diverged == diverged.max()  # all, where all are
    means = {name: np.mean(values[counts]) for name, values in metrics.items()}
    losses = [f"{n} {means[n]:.4g}" for n in means if n.endswith("_loss") or n == "q"]
    speeds = metrics["updates_per_second"]
    speed = f"{speeds[0]:>7,.0f} updates/s{' in all' if len(speeds) > 1 else ''}"
    return "  ".join([speed, *losses])


def _evaluate(
    log: MetricsLog,
    run: Run,
    num_episodes: int,
    env: VectorEnv,
    terminal: Terminal,
    step: int,
    saved: Saved,
) -> None:
    actors = policy_of(run, saved)
    evaluate_members(log, run, terminal, env, actors, step, num_episodes, saved.diverged)


def evaluate_members(
    log: MetricsLog,
    run: Run,
    terminal: Terminal,
    env: VectorEnv,
    actors: Policy,
    step: int,
    num_episodes: int,
    diverged: np.ndarray,
    unit: str = "update",
) -> None:
    """Writes the returns of the policies as they are after a step; says their means.

    Args:
        log: gets the returns.
        run: whose members they are.
        terminal: shows how it goes.
        env: as many environments for each member and task.
        actors: the policies.
        step: how many updates or environment steps they have learned from.
        num_episodes: of each member and task.
        diverged: [M], the update that ended a member, which is not evaluated, or NEVER.
        unit: what a step is.
    """
    seeds = evaluation_seeds(num_episodes, len(run.tasks))
    targets, acts = np.tile(run.target_returns, num_episodes), diverged == NEVER
    with terminal.bar("evaluating", most_steps(env, len(run.seeds), len(seeds)), COMPILING) as show:
        returns = evaluate(run.algo, run.spec, actors, env, seeds, show, targets, acts)
    log.write_returns(step, returns)
    terminal.invalid(run.by_member(returns.invalid))
    for name, means in run.over_members(run.by_member(returns.values)).items():
        if means.size:
            terminal.say(f"{unit} {step:>9,}  return{name} {spread(means)}")


def _save(log: MetricsLog, run: Run, step: int, saved: Saved) -> None:
    log.sync()
    checkpoint.save(run.checkpoints, step, saved)


def _at_once(run: Run, num_updates: int, task: Task, terminal: Terminal) -> int:
    """Returns how many members train together, and says so where it is not all."""
    at_once, each, free = room(run, num_updates, Sources(task.dataset), task.placement)
    if at_once < len(run.seeds):
        terminal.say(
            f"{len(run.seeds)} members in slices of {at_once}: each takes {each / 1e6:,.1f} MB, "
            f"{free / 1e6:,.1f} MB are free"
        )
    return at_once


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
            return _restored(run, step), step
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


def _restored(run: Run, step: int) -> Saved:
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
