"""A run from its settings to its result: what `rlp.train` and the command do."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any

import numpy as np

from rlp import config, envs, runs
from rlp.algos import presets
from rlp.cli.terminal import Terminal
from rlp.data.episodes import EpisodeSet, reward_factors
from rlp.envs import VectorEnv
from rlp.evaluation.rollout import (
    Returns,
    evaluate_random,
    evaluation_seeds,
    most_steps,
    num_simulators,
)
from rlp.pages import report
from rlp.runs import Run, ranking
from rlp.system import devices, files
from rlp.training import offline, online, restore, start, validation
from rlp.training.offline import Ended, OnLog, Schedule, Task, no_log
from rlp.training.online_start import Ready
from rlp.training.plan import Watch
from rlp.training.start import Values
from rlp.version import __version__


def train(
    algo_name: str,
    values: Values,
    show: Callable[[], Terminal],
    data_set: EpisodeSet | None = None,
    on_log: OnLog = no_log,
) -> tuple[Run, Ended]:
    """Trains a new run, or goes on with `resume` of the values, and writes its result.

    Args:
        algo_name: of the algorithm.
        values: the settings by name, see `rlp.training.start`.
        show: returns what shows how it goes; called when the devices are known.
        data_set: to learn from; None: what the settings name.
        on_log: called at every log point with the update and the metrics [M] by name.

    Returns:
        The run and how it ended; one that was stopped has no result yet.

    Raises:
        InputError: if what is asked for cannot be.
    """
    with ExitStack() as held:  # the lock of the run
        begin = start.go_on if values.get("resume") else start.begin
        run, data_set, task = begin(algo_name, values, held, data_set)
        schedule, terminal = start.schedule_of(run), show()
        with terminal:
            terminal.say(_introduction(run, data_set, task))
            for doubt in filter(None, map(run.doubt, run.target_returns)):
                terminal.warn(doubt)
            ended = offline.fit(run, schedule, task, bool(values.get("wandb")), terminal, on_log)
            if not ended.signal and devices.is_first():
                _conclude(run, data_set, task, schedule, run.diverged(ended.diverged), terminal)
    return run, ended


def learn(ready: Ready, show: Callable[[], Terminal], watch: Watch | None = None) -> Ended:
    """Learns online to the end of the plan, and writes the result.

    Args:
        ready: a run and what its loop needs.
        show: returns what shows how it goes.
        watch: is called as it goes on.

    Returns:
        How the run ended; one that was stopped has no result yet.
    """
    run, plan, num_members = ready.run, ready.plan, len(ready.run.seeds)
    name = run.record["env"]
    env = envs.make(name, num_members * plan.num_envs, run.action_bounds)
    num_envs = num_simulators(num_members, plan.num_episodes)
    eval_env = envs.make(name, num_envs, run.action_bounds)
    with show() as terminal:
        logged = (
            f", and logged data of {run.record['data']['name']}" if "data" in run.record else ""
        )
        terminal.say(f"{run.record['algo']} in {name}{logged}  {run.size}")
        terminal.say(f"run   {run.directory}")
        ended = online.fit(run, plan, env, eval_env, ready.start, terminal, watch, ready.guidance)
        if not ended.signal:
            _conclude_online(run, eval_env, run.diverged(ended.diverged), terminal)
    return ended


def _conclude_online(
    run: Run, env: VectorEnv, diverged: dict[str, int], terminal: Terminal
) -> None:
    """Shows the returns of the last evaluation, and writes them to result.json and the report."""
    last = run.evaluations()[-len(run.seeds) :]
    seeds = evaluation_seeds(len(last[0]["returns"]))
    of_random = evaluate_random(env, seeds)
    rows = {"random policy": of_random.values}
    rows |= {entry["member"]: np.array(entry["returns"]) for entry in last}
    rows.update(dict.fromkeys(diverged, np.array([np.nan])))
    measures = _measures(run, of_random, last)
    terminal.returns(rows, run.over_members(rows), run.record["env"], diverged, measures=measures)
    _write_result(run, rows, measures, diverged, terminal)


def _conclude(
    run: Run,
    data_set: EpisodeSet,
    task: Task,
    schedule: Schedule,
    diverged: dict[str, int],
    terminal: Terminal,
) -> None:
    """Shows what came out, and writes it to result.json and the report."""
    references = {
        f"data ({run.record['data']['name']}){name}": returns
        for number, name in enumerate(run.tasks)
        if len(returns := start.returns_of(data_set, number))
    }
    of_random = _random(run, task, schedule, terminal)
    if of_random:
        references |= run.by_task("random policy", of_random.values)
    last = run.evaluations()[-len(run.seeds) * len(run.tasks) :]
    rows = references | {entry["member"]: np.array(entry["returns"]) for entry in last}
    marks = {name + task: first for name, first in diverged.items() for task in run.tasks}
    rows.update(dict.fromkeys(marks, np.array([np.nan])))
    measures = _measures(run, of_random, last)
    judged = _judged(run) if task.held_out else {}
    ranked = None
    if run.is_search:
        ranked = ranking.to_json(run.criterion, run.ranking(), run.labels)
        _show_ranking(ranked, references, terminal)
    else:
        best = max(run.record["data"]["returns"], default=0.0)
        means = run.over_members(rows)
        terminal.returns(rows, means, run.record["env"], marks, best, measures)
        if task.held_out:
            title = f"{len(task.held_out.episodes.episodes)} held-out episodes"
            terminal.numbers(title, judged, validation.IN_WORDS)
    _write_result(run, rows, measures, diverged, terminal, judged, ranked)


def _random(run: Run, task: Task, schedule: Schedule, terminal: Terminal) -> Returns | None:
    """Returns what a random policy earns, None where nothing is evaluated."""
    if not task.env:
        return None
    num_tasks = len(run.tasks)
    seeds = evaluation_seeds(schedule.final_episodes, num_tasks)
    num_envs = num_simulators(1, schedule.num_episodes, num_tasks)
    env = envs.make(run.record["env"], num_envs, run.action_bounds)
    with terminal.bar("random policy", most_steps(env, 1, len(seeds))) as show:
        found = evaluate_random(env, seeds, show)
    terminal.invalid(run.by_task("random policy", found.invalid))
    return found


def _show_ranking(
    ranked: Mapping[str, Any], references: Mapping[str, np.ndarray], terminal: Terminal
) -> None:
    """Shows the trials of a search: its members, many, are in result.json and the report."""
    if references:
        terminal.returns(references)
    terminal.table(*ranking.table(ranked))
    terminal.result(ranking.caption(ranked))


def _judged(run: Run) -> dict[str, dict[str, float]]:
    """Returns what was found last on held-out episodes, by member."""
    curves = run.curves()
    names = [name for name in validation.IN_WORDS if name in curves]
    return {label: {name: curves[name][label][-1][1] for name in names} for label in run.labels}


def _measures(
    run: Run, of_random: Returns | None, entries: list[dict[str, Any]]
) -> dict[str, dict[str, np.ndarray]]:
    """Returns what else is known of the random policy's and the members' episodes, by row."""
    measures = of_random.measures if of_random else {}
    return {
        name: run.by_task("random policy", values)
        | {e["member"]: np.array(e["measures"][name]) for e in entries if "measures" in e}
        for name, values in measures.items()
    }


def _write_result(
    run: Run,
    rows: dict[str, np.ndarray],
    measures: dict[str, dict[str, np.ndarray]],
    diverged: dict[str, int],
    terminal: Terminal,
    judged: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
    ranked: Mapping[str, Any] | None = None,
) -> None:
    """Writes result.json and the report.

    Args:
        run: the run.
        rows: the returns of every member's episodes, and what they are compared with.
        measures: what else is known of those episodes.
        diverged: the members that are over, and the update that ended each.
        terminal: says where the report is.
        judged: what was found on held-out episodes.
        ranked: the trials of a search.
    """
    returns = {name: runs.to_json(values) for name, values in rows.items()}
    result: dict[str, Any] = {"returns": returns, "diverged": diverged, **run.record}
    if judged:
        result["held_out"] = judged
    if ranked:
        result["ranking"] = ranked
    if measures:
        result["measures"] = runs.measures_to_json(measures)
    files.write_json(run.directory / "result.json", result)
    policy, _ = restore.load_policy(run)
    page = report.write(run, policy.params)
    terminal.say(f"report: {page}{without(diverged)}")


def without(diverged: dict[str, int]) -> str:
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
        f"rlp {__version__}  {algo_name}  {run.size} on {task.placement}{products}",
        f"data  {run.record['data']['name']}  {len(data_set.episodes)} episodes, {steps:,} steps, "
        f"return {mean}{images}",
        f"run   {run.directory}",
    ]
    if data_set.num_tasks > 1 and settings["balance_tasks"]:
        factors = ", ".join(f"{factor:.2f}" for factor in reward_factors(data_set))
        hint = "--balance_tasks=False leaves them as they are"
        lines.insert(2, f"tasks {data_set.env}: rewards times {factors}, to one mean size; {hint}")
    if run.is_search:
        by = run.criterion.replace("_", " ")
        lines.append(
            f"search {settings['trials']} trials of {settings['search']}; ranked by {by}: "
            f"{ranking.IN_WORDS[run.criterion]}"
        )
    preset = settings["preset"]
    if preset != "paper":
        members = [{**settings, **config.to_dict(each)} for each in run.configs]
        values = presets(run.algo)[preset].items()
        kept = {k: v for k, v in values if all(member[k] == v for member in members)}
        hint = "--preset=paper has the authors' setting"
        lines.insert(1, f"preset {preset}: {flags(kept) or 'as the default'}; {hint}")
    return "\n".join(lines)


def flags(values: dict[str, Any]) -> str:
    """Returns values as one types them."""
    return " ".join(f"--{name}={config.as_typed(value)}" for name, value in values.items())
