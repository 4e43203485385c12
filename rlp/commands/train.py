"""Trains a population on logged data: `python -m rlp.train ALGORITHM [--flag=value ...]`."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

import rlp
from rlp import cli, config, envs, runs
from rlp.algos import ALGOS, presets
from rlp.cli.terminal import Terminal
from rlp.data.episodes import (
    EpisodeSet,
    reward_factors,
)
from rlp.evaluation.rollout import evaluate_random, evaluation_seeds, most_steps, num_simulators
from rlp.runs import Run, report
from rlp.system import devices, files
from rlp.training import offline, start
from rlp.training.offline import Schedule, Task
from rlp.training.start import Handling, Settings


def values_of(algo_name: str, given: cli.Given) -> dict[str, Any]:
    """Returns the settings that flags give, by name, each of its type."""
    own = cli.parse_sweep(ALGOS[algo_name].Config, given)
    return cli.parse_values((Settings, Schedule, Handling), given) | {
        name: values if len(values) > 1 else values[0] for name, values in own.items()
    }


def train(algo_name: str, given: cli.Given) -> Run:
    """Trains with the flags as typed, prints the result and returns the run."""
    with ExitStack() as held:  # the lock of the run
        return _train(algo_name, given, held)


def _train(algo_name: str, given: cli.Given, held: ExitStack) -> Run:
    handling, values = cli.parse(Handling, given), values_of(algo_name, given)
    if handling.distributed:
        devices.join(handling.distributed)
    if handling.resume:
        run, data_set, task = start.go_on(algo_name, values, held)
    else:
        run, data_set, task = start.begin(algo_name, values, held)
    schedule = start.schedule_of(run)
    with Terminal(handling.quiet or not devices.is_first()) as terminal:
        terminal.say(_introduction(run, data_set, task))
        for doubt in filter(None, map(run.doubt, run.target_returns)):
            terminal.warn(doubt)
        ended = offline.fit(run, schedule, task, handling.wandb, terminal)
        diverged = run.diverged(ended.diverged)
        if ended.signal:
            again = f"python -m rlp.train {algo_name} --resume={run.directory}"
            terminal.say(f"stopped; to go on: {again}{_without(diverged)}")
            raise SystemExit(128 + ended.signal)
        if devices.is_first():
            _show(run, data_set, task, schedule, diverged, terminal)
    if len(diverged) == len(run.seeds):
        raise SystemExit(f"error: no member is left, {runs.in_words(diverged)}")
    return run


def _show(
    run: Run,
    data_set: EpisodeSet,
    task: Task,
    schedule: Schedule,
    diverged: dict[str, int],
    terminal: Terminal,
) -> None:
    """Prints the table of returns, and writes it to result.json and the report."""
    rows = {
        f"data ({run.record['data']['name']}){name}": returns
        for number, name in enumerate(run.tasks)
        if len(returns := start.returns_of(data_set, number))
    }
    if task.env:
        num_tasks = len(run.tasks)
        seeds = evaluation_seeds(schedule.final_episodes, num_tasks)
        num_envs = num_simulators(1, schedule.num_episodes, num_tasks)
        env = envs.make(run.record["env"], num_envs, run.action_bounds)
        with terminal.bar("random policy", most_steps(env, 1, len(seeds))) as show:
            found = evaluate_random(env, seeds, show)
        terminal.invalid(run.by_task("random policy", found.invalid))
        rows |= run.by_task("random policy", found.values)
    last = run.evaluations()[-len(run.seeds) * len(run.tasks) :]
    rows.update((entry["member"], np.array(entry["returns"])) for entry in last)
    marks = {name + task: first for name, first in diverged.items() for task in run.tasks}
    rows.update(dict.fromkeys(marks, np.array([np.nan])))
    best = max(run.record["data"]["returns"], default=0.0)
    terminal.returns(rows, run.over_members(rows), run.record["env"], marks, best)
    returns = {name: runs.to_json(values) for name, values in rows.items()}
    result = {"returns": returns, "diverged": diverged, **run.record}
    files.write_json(run.directory / "result.json", result)
    policy, _ = offline.load_policy(run)
    page = report.write(run, rows, policy.params, marks)
    terminal.say(f"report: {page}{_without(diverged)}")


def _without(diverged: dict[str, int]) -> str:
    """Returns a line that names the members that are over, nothing where none is."""
    return f"\n{runs.in_words(diverged)}" if diverged else ""


def _introduction(run: Run, data_set: EpisodeSet, task: Task) -> str:
    returns, steps = np.array(run.record["data"]["returns"]), data_set.lengths.sum()
    mean = "not known"
    if len(returns):
        mean = f"{returns.mean():.0f} ({returns.min():.0f} to {returns.max():.0f})"
    algo_name, settings = run.record["algo"], run.record["settings"]
    images = ", and their mirror images" if settings["mirror"] else ""
    products = "" if run.precision == "float32" else f", products of {run.precision}"
    lines = [
        f"rlp {rlp.__version__}  {algo_name}  {run.size} on {task.placement}{products}",
        f"data  {run.record['data']['name']}  {len(data_set.episodes)} episodes, {steps:,} steps, "
        f"return {mean}{images}",
        f"run   {run.directory}",
    ]
    if data_set.num_tasks > 1 and settings["balance_tasks"]:
        factors = ", ".join(f"{factor:.2f}" for factor in reward_factors(data_set))
        hint = "--balance_tasks=False leaves them as they are"
        lines.insert(2, f"tasks {data_set.env}: rewards times {factors}, to one mean size; {hint}")
    preset = settings["preset"]
    if preset != "paper":
        members = [{**settings, **config.to_dict(each)} for each in run.configs]
        values = presets(run.algo)[preset].items()
        kept = {k: v for k, v in values if all(member[k] == v for member in members)}
        hint = "--preset=paper has the authors' setting"
        lines.insert(1, f"preset {preset}: {_flags(kept)}; {hint}")
    return "\n".join(lines)


def _flags(values: dict[str, Any]) -> str:
    return " ".join(f"--{name}={config.as_typed(value)}" for name, value in values.items())


def _doc(algo_name: str) -> str:
    """Returns what the algorithm is, and its presets where there is a choice."""
    algo = ALGOS[algo_name]
    first, *_ = (algo.__doc__ or "").splitlines()
    known = presets(algo)
    if len(known) == 1:
        return first
    lines = [f"  {name:8} {_flags(values) or 'as listed below'}" for name, values in known.items()]
    return "\n".join([first, "", "Presets, the first unless --preset=NAME:", *lines])


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    commands = {
        name: cli.Command(
            run=lambda given, name=name: train(name, given),
            flags=(Settings, Schedule, Handling, algo.Config),
            doc=_doc(name),
        )
        for name, algo in ALGOS.items()
    }
    cli.main("python -m rlp.train", commands, argv)


if __name__ == "__main__":
    main()
