"""Online learning: rounds of steps and updates, with logs, evaluations and checkpoints."""

import time
from contextlib import closing

import numpy as np

from rlp.cli.terminal import COMPILING, Terminal
from rlp.envs import VectorEnv
from rlp.runs import Run
from rlp.runs.metrics import MetricsLog
from rlp.system.signals import stop_requests
from rlp.training.device_learner import DeviceLearner, fits
from rlp.training.guide import NO_GUIDE, Guidance
from rlp.training.learner import Learner
from rlp.training.offline import Ended, evaluate_members
from rlp.training.plan import Plan, Start, Watch


def fit(
    run: Run,
    plan: Plan,
    env: VectorEnv,
    eval_env: VectorEnv,
    start: Start,
    terminal: Terminal,
    watch: Watch | None = None,
    guidance: Guidance = NO_GUIDE,
) -> Ended:
    """Learns to the end of the plan, from the last checkpoint if there is one.

    Args:
        run: the run.
        plan: of its learning.
        env: the environments of all members, member by member.
        eval_env: environments for evaluation, the same number for each member.
        start: the members' initial state, used if there is no checkpoint.
        terminal: shows the progress.
        watch: hooks that are called during learning.
        guidance: who acts at first.

    Returns:
        How it ended; the run can be resumed either way.
    """
    made = DeviceLearner if fits(env, watch, run.origin) else Learner
    watch = watch or Watch()
    learner = made(run, plan, env, start, watch, terminal, guidance)
    if learner.step:
        terminal.say(f"going on from step {learner.step:,}")
    end = plan.num_rounds * plan.num_envs
    with (
        closing(MetricsLog(run, learner.step, wandb=False)) as log,
        terminal.bar("learning", end, COMPILING) as move,
        stop_requests() as received,
    ):
        rounds = _Rounds(run, plan, eval_env, terminal, watch, learner, log)
        if rounds.misses_evaluation(start.evaluates_first):
            rounds.evaluate()
        while not rounds.is_over and not received:
            if learner.round in (plan.num_random_rounds, plan.num_idle_rounds):
                move(learner.step, COMPILING)
            learner.take_rounds(rounds.until_due)
            rounds.after_some(is_last=bool(received))
            move(learner.step, rounds.note)
    return Ended(0 if rounds.is_over else received[0], learner.diverged)


class _Rounds:
    """The work that is due after a round."""

    def __init__(
        self,
        run: Run,
        plan: Plan,
        eval_env: VectorEnv,
        terminal: Terminal,
        watch: Watch,
        learner: Learner,
        log: MetricsLog,
    ) -> None:
        self._run, self._plan, self._eval_env, self._terminal = run, plan, eval_env, terminal
        self._watch, self._learner, self._log = watch, learner, log
        self._end = plan.num_rounds * plan.num_envs
        self.is_over = self._has_ended()
        self.note = ""
        self._start_clock()

    def misses_evaluation(self, evaluates_first: bool) -> bool:
        """Returns whether the first evaluation is due, or the last checkpoint's is missing."""
        step = self._learner.step
        is_due = self._is_due(self._plan.eval_every) if step else evaluates_first
        return is_due and not self._run.is_evaluated(step)

    def evaluate(self) -> None:
        """Evaluates the current policies."""
        learner = self._learner
        self._watch.evaluate(learner.step, learner.actors())
        evaluate_members(
            self._log, self._run, self._terminal, self._eval_env, learner.actors(), learner.step,
            self._plan.num_episodes, learner.diverged, "step",
        )  # fmt: skip
        learner.heed_evaluations()
        self._start_clock()

    @property
    def until_due(self) -> int:
        """The number of rounds until the next one after which something is due."""
        plan, step = self._plan, self._learner.step
        every = (plan.log_every, plan.eval_every, plan.checkpoint_every)
        nearest = min(self._end, *(-(-(step + 1) // each) * each for each in every))
        return -(-(nearest - step) // plan.num_envs)

    def after_some(self, is_last: bool) -> None:
        """Logs, saves and evaluates if that is due, or if the round is the last before a stop."""
        plan = self._plan
        saves = self._is_due(plan.checkpoint_every) or is_last
        evaluates = self._is_due(plan.eval_every)
        logs = saves or evaluates or self._is_due(plan.log_every)
        if logs:
            self._write()
            self.is_over = self._has_ended()
        if saves or self.is_over:
            self._log.sync()
            self._learner.save()
        if evaluates:
            self.evaluate()
        if logs:
            self._start_clock()

    def _start_clock(self) -> None:
        """Starts to measure the speed."""
        self._began, self._before = time.perf_counter(), self._learner.step

    def _is_due(self, every: int) -> bool:
        step = self._learner.step
        return step % every < self._plan.num_envs or step == self._end

    def _has_ended(self) -> bool:
        return self._learner.step == self._end or self._watch.is_over(self._learner.diverged)

    def _write(self) -> None:
        """Writes and shows the metrics since the last log point."""
        step, num_members = self._learner.step, len(self._run.seeds)
        metrics, alarms = self._learner.metrics()
        speed = (step - self._before) * num_members / (time.perf_counter() - self._began)
        self._terminal.alarms(self._run.labels, alarms)
        metrics["steps_per_second"] = np.full(num_members, speed)
        self._log.write(step, metrics)
        self.note = _note(speed, metrics, num_members)
        self._terminal.log(f"step {step:>9,}  {self.note}")


def _note(speed: float, metrics: dict[str, np.ndarray], num_members: int) -> str:
    """Returns speed, return and losses as text for one line."""
    parts = [f"{speed:>7,.0f} steps/s{' in all' if num_members > 1 else ''}"]
    shown = [name for name in metrics if name.endswith("_loss") or name == "q"]
    for name in ["collected_return", *shown]:
        if name in metrics:
            parts.append(f"{name.replace('_', ' ')} {np.mean(metrics[name]):.4g}")
    return "  ".join(parts)
