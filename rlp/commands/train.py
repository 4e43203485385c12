"""Trains a population on logged data: `python -m rlp.train ALGORITHM [--flag=value ...]`."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import rlp
from rlp import cli, config, data, envs, runs
from rlp.algos import ALGOS, presets
from rlp.cli.terminal import Terminal
from rlp.config import Fraction, Name, Positive
from rlp.data.dataset import (
    fit_normalizer,
    hide_task,
    make_dataset,
    return_range,
    statistics_of,
    unit_normalizer,
)
from rlp.data.episodes import (
    EpisodeSet,
    drop_last_successors,
    fingerprint,
    reward_factors,
    top_fraction,
    whole_episodes,
)
from rlp.data.mirror import add_mirror_images
from rlp.data.options import AS_STORED, ReadOptions
from rlp.errors import InputError
from rlp.evaluation.rollout import evaluate_random, evaluation_seeds, most_steps, num_simulators
from rlp.runs import Run, checkpoint, records, report
from rlp.system import devices, files, memory
from rlp.system.lock import locked
from rlp.training import offline
from rlp.training.offline import Schedule, Task
from rlp.types import Algo, Precision, Sources, Space, Spec


@dataclass(frozen=True)
class Settings(ReadOptions):
    """The run."""

    dataset: str = "walker-walk/medium"  # a bundled name, minari:NAME or a path; a+b joins
    top_fraction: Fraction = 1.0  # keep the best episodes that hold this fraction of all steps
    preset: str = ""  # a named setting of the hyperparameters (default: the first it has)
    mirror: bool = False  # add every episode's mirror image, where a body has one: walker
    d4rl_compat: bool = False  # drop each last transition before a time limit, as D4RL's loader
    normalize: bool = True  # observations to mean 0 and standard deviation 1
    precision: Precision = "float32"  # of matrix products; tf32 is an accelerator's
    batch_devices: int = (
        0  # that share each member's batches (0: two parts of a CPU with the cores)
    )
    float16: bool = False  # keep observations in half precision, where memory is short
    show_task: bool = True  # of several tasks, which one it is
    balance_tasks: bool = True  # of several tasks, bring the rewards to the same mean size
    target_return: float = 0.0  # return that a Decision Transformer aims for; 0: the data's best
    seed: int = 0  # the first seed
    num_seeds: Positive = 1  # members: this many seeds of every setting, all in one program
    name: Name = ""  # of the run (default: <algorithm>-<data set>-<date-time>)
    runs: str = "runs"  # folder of all runs


@dataclass(frozen=True)
class Handling:
    """Handling of the run; may differ when it goes on."""

    resume: str = ""  # a run to go on with, exactly: --resume=runs/NAME
    distributed: str = ""  # join processes: auto (SLURM, MPI, TPU), or HOST:PORT,N,I for the Ith
    members_at_once: int = 0  # the others wait in memory (0: as many as fit the devices)
    extend: bool = False  # with --resume, allow another --num_updates (schedules depend on it)
    wandb: bool = False  # log to wandb too, offline unless WANDB_MODE says otherwise
    quiet: bool = False  # print the result only


def train(algo_name: str, given: cli.Given) -> Run:
    """Trains with the flags as typed, prints the result and returns the run."""
    with ExitStack() as held:  # the lock of the run
        return _train(algo_name, given, held)


def _train(algo_name: str, given: cli.Given, held: ExitStack) -> Run:
    handling = cli.parse(Handling, given)
    if handling.distributed:
        devices.join(handling.distributed)
    begin = _resume if handling.resume else _start
    run, data_set, task = begin(algo_name, given, held)
    schedule = _schedule(run)
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
        if len(returns := _returns(data_set, number))
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


def _start(algo_name: str, given: cli.Given, held: ExitStack) -> tuple[Run, EpisodeSet, Task]:
    """Returns a new run; its directory is made last, when everything has been checked."""
    (settings, configs), schedule = parse(algo_name, given), cli.parse(Schedule, given)
    data_set = _load(algo_name, settings)
    _check_data(algo_name, configs, data_set)
    handling, num_members = cli.parse(Handling, given), len(configs) * settings.num_seeds
    task = _task(settings, schedule, handling, data_set, ALGOS[algo_name], configs[0], num_members)
    if settings.target_return and not ALGOS[algo_name].policy.aims:
        raise InputError(f"--target_return: {algo_name} does not aim for a return")
    _try(ALGOS[algo_name], configs[0], _spec(data_set), task)
    settings = replace(settings, batch_devices=task.placement.batch_devices)
    record = _record(algo_name, settings, schedule, configs, data_set, task)
    name = settings.name or runs.default_name(algo_name, settings.dataset)
    directory = Path(settings.runs) / name
    if not devices.is_first():
        return Run(directory, record), data_set, task
    runs.check_new(directory)
    held.enter_context(locked(directory))
    return runs.create(directory, record), data_set, task


def parse(algo_name: str, given: cli.Given) -> tuple[Settings, list[Any]]:
    """Returns what the flags ask for: settings, and every combination of hyperparameters."""
    settings = cli.parse(Settings, given)
    algo = ALGOS[algo_name]
    settings = replace(settings, preset=_preset(algo_name, settings.preset))
    values = presets(algo)[settings.preset]
    of_run = {name: values[name] for name in values.keys() & asdict(settings).keys()}
    settings = replace(settings, **{k: v for k, v in of_run.items() if k not in given})
    chosen = {name: [value] for name, value in values.items() if name not in of_run}
    return settings, config.sweep(algo.Config, chosen | cli.parse_sweep(algo.Config, given))


def _record(
    algo_name: str,
    settings: Settings,
    schedule: Schedule,
    configs: list[Any],
    data_set: EpisodeSet,
    task: Task,
) -> dict[str, Any]:
    """Returns what config.json has of a new run."""
    spec, statistics = _spec(data_set), task.dataset.statistics
    limits = [ALGOS[algo_name].limits(setting, spec, statistics) for setting in configs]
    members = [
        {
            "seed": seed,
            "config": config.to_dict(setting),
            "limits": {name: list(map(_bound, pair)) for name, pair in of_setting.items()},
        }
        for setting, of_setting in zip(configs, limits, strict=True)
        for seed in range(settings.seed, settings.seed + settings.num_seeds)
    ]
    tasks = np.unique(data_set.tasks)
    found = [_returns(data_set, task) for task in tasks]
    best = [float(returns.max()) if len(returns) else 0.0 for returns in found]
    bounds = data_set.bounds
    return {
        "algo": algo_name,
        "settings": asdict(settings),
        "schedule": asdict(schedule),
        "members": members,
        "env": data_set.env,
        "target_returns": [settings.target_return or each for each in best],
        "spec": records.spec_record(spec),
        "action_bounds": bounds
        and {name: each.tolist() for name, each in bounds._asdict().items()},
        "origin": data_set.origin.tolist() if data_set.origin.any() else None,
        "data": {
            "name": settings.dataset,
            "fingerprint": fingerprint(data_set),
            "returns": np.concatenate(found).tolist(),
        },
    }


def _bound(value: jax.Array) -> float | None:
    """Returns a limit as json has it."""
    return float(value) if np.isfinite(value) else None


def _returns(data_set: EpisodeSet, task: int) -> np.ndarray:
    """Returns the returns of a task's whole episodes, none where the data has no rewards."""
    is_told = data_set.is_whole & (data_set.tasks == task) & data_set.has_rewards
    return data_set.returns[is_told]


def _check_data(algo_name: str, configs: list[Any], data_set: EpisodeSet) -> None:
    """Checks that an algorithm with these settings takes the rewards and actions of the data."""
    if ALGOS[algo_name].NEEDS_REWARDS and not data_set.has_rewards:
        raise InputError(
            f"{data_set.name}: it has no rewards, which {algo_name} learns from; bc clones without"
        )
    span = max(getattr(each, "return_range", 0.0) for each in configs)
    if span and not return_range(data_set, np.ones(data_set.num_tasks)):
        raise InputError(
            f"--return_range={span:g}: {data_set.name} has not two whole episodes of different "
            "returns to scale its rewards by; --return_range=0 leaves them as they are"
        )
    kind = _spec(data_set).action.kind
    if kind not in ALGOS[algo_name].SUPPORTS:
        others = ", ".join(name for name, algo in ALGOS.items() if kind in algo.SUPPORTS)
        raise InputError(f"{data_set.name}: its actions are {kind}, which {others} can learn")


def _try(algo: Algo, setting: Any, spec: Spec, task: Task) -> None:
    """Traces an update, so that what cannot be is refused before anything is made."""

    def one_update(sources: Sources) -> Any:
        init_key, sample_key, update_key = jax.random.split(jax.random.key(0), 3)
        state = algo.init(setting, init_key, spec, statistics_of(sources))
        batch = algo.sample(setting, sample_key, state, sources)
        return algo.update(setting, state, jnp.int32(0), update_key, batch)

    largest = memory.largest_array(jax.make_jaxpr(one_update)(Sources(task.dataset)).jaxpr)
    memory.check(
        f"an array {largest.str_short()} in an update",
        memory.num_bytes(largest),
        memory.of_devices(),
        "choose smaller batches or networks",
    )


def _preset(algo_name: str, name: str) -> str:
    """Returns the name of a preset that there is, by default the first's."""
    known = presets(ALGOS[algo_name])
    name = name or next(iter(known))
    if name not in known:
        raise InputError(f"--preset={name}: {algo_name} has {', '.join(known)}")
    return name


def _resume(algo_name: str, given: cli.Given, held: ExitStack) -> tuple[Run, EpisodeSet, Task]:
    """Returns a run to go on with; refuses whatever would train something else."""
    handling = cli.parse(Handling, given)
    run = runs.load(Path(handling.resume))
    if run.record["algo"] != algo_name:
        raise InputError(f"{run.directory} is a run of {run.record['algo']}, not of {algo_name}")
    if "schedule" not in run.record:
        raise InputError(f"{run.directory} is a collection; go on with python -m rlp.collect")
    settings = run.part("settings", Settings, added={**asdict(AS_STORED), "batch_devices": 0})
    schedule = _schedule(run)
    if settings.preset not in presets(run.algo):
        raise InputError(
            f"{run.directory / 'config.json'}, settings, preset: {algo_name} has no such"
        )
    _refuse_changes(run, given, allow_length=handling.extend)
    chosen = cli.parse(Settings, given)
    settings = replace(
        settings,
        dataset=given.get("dataset", settings.dataset),
        batch_devices=chosen.batch_devices or settings.batch_devices,
    )
    data_set = _load(algo_name, settings)
    found, expected = fingerprint(data_set), run.record["data"]["fingerprint"]
    if found != expected:
        raise InputError(
            f"{settings.dataset} is not the data that {run.directory} was trained on: "
            f"its fingerprint is {found[:12]}, not {expected[:12]}"
        )
    for name, value in (("env", data_set.env), ("spec", records.spec_record(_spec(data_set)))):
        if run.record[name] != value:
            path = run.directory / "config.json"
            raise InputError(f"{path}, {name} is {run.record[name]}, but {value} in the data")
    of_run = run.algo, run.configs[0], len(run.seeds)
    task = _task(settings, schedule, handling, data_set, *of_run)
    if devices.is_first():  # which starts JAX: not before the CPU is split
        held.enter_context(locked(run.directory))
    if "num_updates" in given:
        done = checkpoint.latest_step(run.checkpoints) or 0
        end = cli.parse_value("num_updates", given["num_updates"], Positive)
        if end < done:
            raise InputError(f"--num_updates={end}: {run.directory} has made {done} already")
        run = runs.extend(run, num_updates=end)
    return run, data_set, task


def _schedule(run: Run) -> Schedule:
    """Returns what a run does between its updates; older ones end with as few episodes as ever."""
    added = {"final_episodes": run.record["schedule"].get("num_episodes")}
    return run.part("schedule", Schedule, added)


def _refuse_changes(run: Run, given: cli.Given, allow_length: bool) -> None:
    free = {field.name for field in fields(Handling)}
    free |= {"dataset", "batch_devices"}  # data: by its fingerprint; devices: another machine's
    asked = cli.parse_sweep(run.algo.Config, given)
    for name in given.keys() - free - ({"num_updates"} if allow_length else set()):
        if name in asked:
            was = list(dict.fromkeys(config.to_dict(setting)[name] for setting in run.configs))
            now = [
                config.to_dict(setting)[name]
                for setting in config.sweep(run.algo.Config, {name: asked[name]})
            ]
        else:
            cls = Settings if name in run.record["settings"] else Schedule
            was = [{**run.record["settings"], **run.record["schedule"]}[name]]
            now = [getattr(cli.parse(cls, given), name)]
        if was != now:
            began = ",".join(map(cli.typed, was))
            hint = "; add --extend if you mean it" if name == "num_updates" else ""
            raise InputError(
                f"--{name}={given[name]}: {run.directory} began with {began}, "
                f"and a run goes on as it began{hint}"
            )


def _load(algo_name: str, settings: Settings) -> EpisodeSet:
    data_set = data.load(settings.dataset, settings)
    data_set = drop_last_successors(data_set) if settings.d4rl_compat else data_set
    if ALGOS[algo_name].policy.aims:
        data_set = whole_episodes(data_set, f"the returns that {algo_name} learns from")
    return top_fraction(data_set, settings.top_fraction)


def _spec(data_set: EpisodeSet) -> Spec:
    first = data_set.episodes[0]
    width = first.action.shape[1]
    return Spec(
        observation=Space((first.observation.shape[1],)),
        action=Space((width,), num_choices=width if data_set.discrete else 0),
        max_episode_steps=int(data_set.lengths.max()),
    )


def _task(
    settings: Settings,
    schedule: Schedule,
    handling: Handling,
    data_set: EpisodeSet,
    algo: Algo,
    setting: Any,
    num_members: int,
) -> Task:
    data_set = add_mirror_images(data_set) if settings.mirror else data_set
    devices.split_cpu(num_members, data_set.num_bytes, settings.batch_devices)
    memory.check_members(algo, setting, _spec(data_set), num_members)
    placement = devices.placement(num_members, settings.batch_devices)
    devices.check_precision(settings.precision)
    if handling.members_at_once % placement.num_groups:
        raise InputError(
            f"--members_at_once={handling.members_at_once}: {placement.num_groups} devices "
            "train members at the same time; give a multiple of that"
        )
    env, env_name = None, data_set.env
    if schedule.eval_every:
        if not env_name:
            raise InputError(
                f"{settings.dataset} does not say which environment it is from: give --env=NAME, "
                "or --eval_every=0 to train without evaluation"
            )
        num_envs = num_simulators(num_members, schedule.num_episodes, data_set.num_tasks)
        env = envs.make(env_name, num_envs, data_set.bounds)
        spec = _spec(data_set)
        envs.check_widths(env, env_name, spec.observation_dim, spec.action_dim, settings.dataset)
    width = data_set.episodes[0].observation.shape[1]
    normalizer = fit_normalizer(data_set) if settings.normalize else unit_normalizer(width)
    if not settings.show_task:
        if data_set.num_tasks == 1:
            raise InputError(f"--show_task=False: {settings.dataset} has one task")
        normalizer = hide_task(normalizer, data_set.num_tasks)
    dtype = np.float16 if settings.float16 else np.float32
    factors = reward_factors(data_set) if settings.balance_tasks else None
    dataset = make_dataset(data_set, normalizer, dtype, factors)
    return Task(dataset, normalizer, env, placement, handling.members_at_once)


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
    return " ".join(f"--{name}={cli.typed(value)}" for name, value in values.items())


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
