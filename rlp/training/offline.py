"""Offline training: stretches of compiled updates, and what happens between them."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rlp.cli.terminal import COMPILING, Terminal, spread
from rlp.config import Positive
from rlp.data.dataset import Dataset, Normalizer
from rlp.envs import VectorEnv
from rlp.evaluation.policy import Policy
from rlp.evaluation.rollout import evaluate, evaluation_seeds, most_steps
from rlp.runs import Run, checkpoint
from rlp.runs.checkpoint import Saved
from rlp.runs.metrics import MetricsLog
from rlp.system import devices, target
from rlp.system.devices import Placement
from rlp.system.signals import stop_requests
from rlp.training import population, restore, validation
from rlp.training.background import Jobs
from rlp.training.keeping import Keeper
from rlp.training.slices import Columns, Members, room
from rlp.training.validation import HeldOut
from rlp.types import NEVER, NOT_FINITE, Sources, Statistics, phase_at


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
        return [largest] if target.platform() == "cpu" and largest >= 50 else []


OnLog = Callable[[int, Columns], None]  # of the update, and the metrics [M] by name


class Task(NamedTuple):
    """What a run trains on, and where it is evaluated."""

    dataset: Dataset
    normalizer: Normalizer
    env: VectorEnv | None  # as many environments for each member and task; None: no evaluation
    placement: Placement  # of the members and the data
    at_once: int  # members that train together; 0: as many as is best
    held_out: HeldOut | None = None  # that members are judged on at each checkpoint


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
    training = _Training(run, schedule, task, terminal, on_log)
    is_missing = training.saved and training.evaluates and not run.is_evaluated(training.step)
    if training.is_over and not is_missing:
        return Ended(0, training.diverged)
    with (
        Jobs(run, training.step, wandb) as jobs,
        terminal.bar("training", training.end) as move,
        stop_requests() as received,
    ):
        if is_missing:  # the process ended between the two
            training.evaluate(jobs)
        stopped = 0 if training.is_over else training.go_on(jobs, move, received)
    return Ended(0 if training.is_over else stopped, training.diverged)


class _Training:
    """Where a run is, and what is due there."""

    def __init__(
        self, run: Run, schedule: Schedule, task: Task, terminal: Terminal, on_log: OnLog
    ) -> None:
        """Begins at the last checkpoint, or at update 0."""
        self._run, self._schedule, self._task = run, schedule, task
        self._terminal, self._on_log = terminal, on_log
        self.end = run.configs[0].num_updates
        self.step = checkpoint.latest_step(run.checkpoints, warn=terminal.warn) or 0
        if devices.is_first():
            checkpoint.forget_after(run.checkpoints, self.step)  # those that are not whole
        self.saved = restore.at(run, self.step) if self.step else None
        self._keeper = None
        if run.keeps and devices.is_first():
            self._keeper = Keeper(run, run.keeps, self.step, self.saved)
        never = np.full(len(run.seeds), NEVER, np.int32)
        self.diverged = self.saved.diverged if self.saved else never
        if self.saved:
            terminal.say(f"going on from update {self.step:,}")
        elif (run.directory / "metrics.jsonl").exists():
            terminal.warn(f"{run.directory} has no checkpoint: it begins again at update 0")

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do, or nobody to do it."""
        return self.step == self.end or NEVER not in self.diverged

    @property
    def evaluates(self) -> bool:
        """Whether an evaluation is due."""
        if self._task.env is None:
            return False
        return self.is_over or self.step % self._schedule.eval_every == 0

    def go_on(self, jobs: Jobs, move: Callable[..., None], received: Sequence[int]) -> int:
        """Trains until nothing is left, or a signal comes; returns its number, or 0."""
        self._terminal.log(COMPILING)
        move(self.step, COMPILING)
        members, sources = self._placed()
        stretches, compiled, note, stopped = _Stretches(), set[int](), "", 0
        while not self.is_over and not stopped:
            stop = self._next_stop()
            if stop - self.step not in compiled:  # each length is a program
                compiled.add(stop - self.step)
                move(self.step, COMPILING)
            alarms = stretches.add(members, sources, self.step, stop)
            self.step, self.diverged = stop, np.minimum(self.diverged, alarms[NOT_FINITE])
            stopped = devices.highest(received[0] if received else 0)
            if self.is_over or stopped or self._schedule.is_due(stop):
                note = self._log(jobs, stretches)
                stretches = _Stretches()
            self._keep(jobs, members, stopped)
            move(stop, note)
        return stopped

    def evaluate(self, jobs: Jobs) -> None:
        """Has what is saved evaluated."""
        env, saved = self._task.env, self.saved
        assert env is not None
        assert saved is not None
        end = self.step if self.is_over else self.end
        num_episodes = self._schedule.episodes(self.step, end)
        args = num_episodes, env, self._terminal, self.step, saved, self._keeper
        jobs.submit(_evaluate, self._run, *args)

    def _next_stop(self) -> int:
        phase = phase_at(self._run.algo, self._run.configs[0], self.step)
        ends = [stop for stop in (self.end, phase.end, phase.next_preparation) if stop is not None]
        return self._schedule.next_stop(self.step, min(ends))

    def _placed(self) -> tuple[Members, Sources]:
        """Returns members and data on the devices."""
        run, task = self._run, self._task
        sources = devices.place(Sources(task.dataset), task.placement.everywhere)
        num_updates = self._next_stop() - self.step
        at_once = task.at_once or _at_once(run, num_updates, task, self._terminal)
        states = self.saved.states if self.saved else None
        return Members(run, task.placement, at_once, task.dataset.statistics, states), sources

    def _log(self, jobs: Jobs, stretches: "_Stretches") -> str:
        """Has the metrics since the last log point written; returns a line of them."""
        metrics, alarms = stretches.metrics(len(self._run.seeds))
        note = _speed_and_losses(metrics, self.diverged)
        self._on_log(self.step, metrics)
        alarms = {**alarms, NOT_FINITE: self.diverged}
        jobs.submit(_tell, self._run, self._terminal, self.step, metrics, alarms, note)
        return note

    def _keep(self, jobs: Jobs, members: Members, stopped: int) -> None:
        """Has the members saved and evaluated, where that is due."""
        every = self._schedule.checkpoint_every or self.end
        keeps_this = self.evaluates and self._run.keeps == "return"
        saves = self.is_over or stopped or self.step % every == 0 or keeps_this
        if not saves and not self.evaluates:
            return
        if self.evaluates:
            jobs.wait()  # of the evaluations, only one keeps its states
        self.saved = jobs.keep(Saved(members.states(), self._task.normalizer, self.diverged))
        if saves:
            if held_out := self._task.held_out:
                statistics = self._task.dataset.statistics
                args = self._terminal, held_out, statistics, self.step, self.saved
                jobs.submit(_validate, self._run, *args)
            jobs.submit(_save, self._run, self.step, self.saved, self._keeper)
        if self.evaluates:
            self.evaluate(jobs)


class _Stretches:
    """What came of the updates since the last log point."""

    def __init__(self) -> None:
        self._outcomes, self._sizes, self._seconds = list[tuple[Columns, Columns]](), [], 0.0

    def add(self, members: Members, sources: Sources, step: int, stop: int) -> Columns:
        """Makes the updates step to stop; returns their alarms [M]."""
        began = time.perf_counter()
        self._outcomes.append(members.train(sources, step, stop))
        self._seconds += time.perf_counter() - began
        self._sizes.append(stop - step)
        _, alarms = self._outcomes[-1]
        return alarms

    def metrics(self, num_members: int) -> tuple[Columns, Columns]:
        """Returns metrics and alarms [M] of all of them."""
        metrics, alarms = population.as_one(self._outcomes, self._sizes)
        speed = sum(self._sizes) * num_members / self._seconds
        return {**metrics, "updates_per_second": np.full(num_members, speed)}, alarms


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
    keeper: Keeper | None,
) -> None:
    actors = restore.policy_of(run, saved)
    evaluate_members(log, run, terminal, env, actors, step, num_episodes, saved.diverged)
    if keeper and keeper.criterion == "return":
        keeper.see(step, saved)


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
    found = run.over_members(run.by_member(returns.values))
    if run.is_search:  # a line for each of many trials would be too much
        means = [means.mean() for means in found.values() if means.size]
        found = {" of the trials": np.array(means)}
    for name, means in found.items():
        if means.size:
            terminal.say(f"{unit} {step:>9,}  return{name} {spread(means)}")


def _validate(
    log: MetricsLog,
    run: Run,
    terminal: Terminal,
    held_out: HeldOut,
    statistics: Statistics,
    step: int,
    saved: Saved,
) -> None:
    """Writes what is found on held-out episodes; says the means over the members that are left."""
    is_left = saved.diverged == NEVER
    found = {
        name: np.where(is_left, values, np.nan)
        for name, values in validation.measures(run, saved, held_out, statistics).items()
    }
    log.write(step, found)
    if is_left.any():
        means = [f"{name.replace('_', ' ')} {x[is_left].mean():.4g}" for name, x in found.items()]
        terminal.say(f"update {step:>9,}  {'  '.join(means)}")


def _save(log: MetricsLog, run: Run, step: int, saved: Saved, keeper: Keeper | None) -> None:
    log.sync()
    checkpoint.save(run.checkpoints, step, saved)
    if keeper and keeper.criterion != "return":
        keeper.see(step, saved)


def _at_once(run: Run, num_updates: int, task: Task, terminal: Terminal) -> int:
    """Returns how many members train together, and says so where it is not all."""
    at_once, each, free = room(run, num_updates, Sources(task.dataset), task.placement)
    if at_once < len(run.seeds):
        terminal.say(
            f"{len(run.seeds)} members in slices of {at_once}: each takes {each / 1e6:,.1f} MB, "
            f"{free / 1e6:,.1f} MB are free"
        )
    return at_once
