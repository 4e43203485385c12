"""How a run begins and how it goes on: from settings and data to what the loop trains.

Settings come by name, as values of the types that the dataclasses below and `Config` of the
algorithm say; of a hyperparameter that is a float, a list of several makes as many members.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from rlp import config, data, envs, runs, types
from rlp.algos import ALGOS, presets
from rlp.config import Folder, Fraction, Name, Positive, ShareBelowOne, float_names
from rlp.data.dataset import (
    Dataset,
    Normalizer,
    fit_normalizer,
    hide_task,
    make_dataset,
    return_range,
    statistics_of,
    unit_normalizer,
)
from rlp.data.episodes import (
    EpisodeSet,
    delayed,
    drop_last_successors,
    evenly_spaced,
    fingerprint,
    hold_out,
    reward_factors,
    top_fraction,
    whole_episodes,
)
from rlp.data.formats import packed
from rlp.data.mirror import add_mirror_images
from rlp.data.options import AS_STORED, ReadOptions
from rlp.errors import InputError
from rlp.evaluation.rollout import num_simulators
from rlp.runs import Run, checkpoint, records
from rlp.runs.ranking import Criterion
from rlp.system import devices, memory
from rlp.system.lock import locked
from rlp.training import criteria, search
from rlp.training.offline import Schedule, Task
from rlp.training.search import Trials
from rlp.training.validation import HeldOut
from rlp.types import Algo, Precision, Sources, Space, Spec, needs_episodes

T = TypeVar("T")


class Prepared(NamedTuple):
    """The data of a run."""

    train: EpisodeSet  # what is learned from
    held_out: EpisodeSet | None  # episodes that members are judged on


COMMANDS = {  # by what a run is
    "training": "train", "collection": "collect", "learning": "learn", "fine-tuning": "finetune",
}  # fmt: skip
Values = Mapping[str, Any]  # settings by name
LATER = {  # settings that runs of before do not have, and what they meant
    "batch_devices": 0, "data_fraction": 1.0, "delayed": False, "validation": 0.0,
    "search": "", "trials": 0, "rank_by": "return", "keep_best": "none",
}  # fmt: skip


@dataclass(frozen=True)
class Settings(ReadOptions):
    """The run."""

    dataset: str = "walker-walk/medium"  # a bundled name, minari:NAME or a path; a+b joins
    data_fraction: Fraction = 1.0  # keep this fraction of the episodes, from all over their order
    delayed: bool = False  # move all reward of an episode to its last step
    validation: ShareBelowOne = 0.0  # share of the episodes that are held out, to judge members on
    top_fraction: Fraction = 1.0  # keep the best episodes that hold this fraction of all steps
    preset: str = ""  # a named setting of the hyperparameters (default: the first it has)
    mirror: bool = False  # add every episode's mirror image, where a body has one: walker
    d4rl_compat: bool = False  # drop each last transition before a time limit, as D4RL's loader
    normalize: bool = True  # observations to mean 0 and standard deviation 1
    precision: Precision = "float32"  # of matrix products; tf32 is an accelerator's
    batch_devices: int = 0  # that share a member's batches (0: two parts of a CPU with the cores)
    float16: bool = False  # keep observations in half precision, where memory is short
    show_task: bool = True  # of several tasks, which one it is
    balance_tasks: bool = True  # of several tasks, bring the rewards to the same mean size
    target_return: float = 0.0  # return that a Decision Transformer aims for; 0: the data's best
    seed: int = 0  # the first seed
    num_seeds: Positive = 1  # members: this many seeds of every setting, all in one program
    search: str = ""  # draw settings, from NAME=LOW..HIGH, NAME=LOW..HIGH:log or NAME=VALUE,VALUE
    trials: Trials = 0  # how many settings --search draws, by --seed (default: 16)
    rank_by: Literal["auto", Criterion] = "auto"  # what is best: by default return, if evaluated
    keep_best: Literal["none", Criterion] = "none"  # keep the best checkpoint of each member, too
    name: Name = ""  # of the run (default: <algorithm>-<data set>-<date-time>)
    runs: Folder = "runs"  # folder of all runs


@dataclass(frozen=True)
class Handling:
    """Handling of the run; may differ when it goes on."""

    resume: str = ""  # a run to go on with, exactly: --resume=runs/NAME
    distributed: str = ""  # join processes: auto (SLURM, MPI, TPU), or HOST:PORT,N,I for the Ith
    members_at_once: int = 0  # the others wait in memory (0: as many as fit the devices)
    extend: bool = False  # with --resume, allow another --num_updates (schedules depend on it)
    wandb: bool = False  # log to wandb too, offline unless WANDB_MODE says otherwise
    quiet: bool = False  # print the result only


def begin(
    algo_name: str, values: Values, held: ExitStack, data_set: EpisodeSet | None = None
) -> tuple[Run, EpisodeSet, Task]:
    """Returns a new run; its directory is made last, when everything has been checked.

    Args:
        algo_name: of the algorithm.
        values: the settings.
        held: gets the run's lock.
        data_set: to learn from; None: what the settings name.

    Raises:
        InputError: if what is asked for cannot be.
    """
    (settings, configs), schedule = choose(algo_name, values), part_of(Schedule, values)
    if data_set:
        how = asdict(data_set.read_with or AS_STORED)
        settings = replace(settings, dataset=data_set.name, **how)
    given, parts = data_set, prepared(algo_name, settings, data_set)
    data_set = parts.train
    _check_data(algo_name, configs, data_set)
    configs = [types.for_data(ALGOS[algo_name], each, data_set) for each in configs]
    handling, num_members = part_of(Handling, values), len(configs) * settings.num_seeds
    task = _task(settings, schedule, handling, parts, ALGOS[algo_name], configs, num_members)
    if settings.target_return and not ALGOS[algo_name].policy.aims:
        raise InputError(f"--target_return: {algo_name} does not aim for a return")
    _try(ALGOS[algo_name], configs[0], spec_of(data_set), task)
    settings = replace(settings, batch_devices=task.placement.batch_devices)
    is_path = bool(given is None or given.read_with)
    record = _record(algo_name, settings, schedule, configs, data_set, task, is_path)
    name = settings.name or runs.default_name(algo_name, settings.dataset)
    directory = Path(settings.runs) / name
    if not devices.is_first():
        return Run(directory, record), data_set, task
    runs.check_new(directory)
    held.enter_context(locked(directory))
    run = runs.create(directory, record)
    if given and not is_path:
        packed.write(run.data, given)
    return run, data_set, task


def choose(algo_name: str, values: Values) -> tuple[Settings, list[Any]]:
    """Returns what the values ask for: settings, and every combination of hyperparameters.

    Raises:
        InputError: if the algorithm has no such preset.
    """
    settings = part_of(Settings, values)
    algo = ALGOS[algo_name]
    settings = replace(settings, preset=_preset(algo_name, settings.preset))
    of_preset = presets(algo)[settings.preset]
    of_run = {name: of_preset[name] for name in of_preset.keys() & asdict(settings).keys()}
    settings = replace(settings, **{k: v for k, v in of_run.items() if k not in values})
    known = bool(part_of(Schedule, values).eval_every), bool(settings.validation)
    by = criteria.ranked_by(settings.rank_by, algo_name, *known, bool(settings.search))
    settings = replace(settings, rank_by=by)
    if settings.keep_best != "none":
        criteria.check("keep_best", settings.keep_best, algo_name, *known)
    configs = choose_configs(algo_name, settings.preset, values)
    if not settings.search:
        if settings.trials:
            raise InputError(f"--trials={settings.trials}: is of a --search, and there is none")
        return settings, configs
    settings = replace(settings, trials=settings.trials or search.USUAL)
    return settings, _searched(algo_name, settings, configs, values)


def _searched(
    algo_name: str, settings: Settings, configs: Sequence[Any], values: Values
) -> list[Any]:
    """Returns a config for each trial of a search, elsewhere as the one that is given.

    Raises:
        InputError: if several are, or what is searched has a value.
    """
    cls = ALGOS[algo_name].Config
    space = search.parse(settings.search, cls, algo_name)
    for name in values:
        if name in space:
            raise InputError(f"--{name}: is searched, so it has no value of its own")
        if isinstance(values[name], list) and name in float_names(cls):
            given = ",".join(map(config.as_typed, values[name]))
            raise InputError(
                f"--{name}={given}: with --search there is one value; make several a part of it: "
                f"--search={settings.search},{name}={given}"
            )
    base = config.to_dict(configs[0])
    drawn = search.draw(space, settings.trials, settings.seed)
    return [cls(**{**base, **each}) for each in drawn]


def choose_configs(algo_name: str, preset: str, values: Values) -> list[Any]:
    """Returns every combination of the hyperparameters that a preset and the values ask for.

    Raises:
        InputError: if the algorithm has no such preset.
    """
    algo = ALGOS[algo_name]
    of_preset = presets(algo)[_preset(algo_name, preset)]
    return config.sweep(algo.Config, _sweep(algo, of_preset) | _sweep(algo, values))


def part_of(cls: type[T], values: Values) -> T:
    """Returns a dataclass with those of the values that are its fields."""
    names = {field.name for field in fields(cls)}  # pyright: ignore[reportArgumentType] - it is one
    return cls(**{name: value for name, value in values.items() if name in names})


def _sweep(algo: Algo, values: Values) -> dict[str, list[Any]]:
    """Returns the values of each hyperparameter that has some: one, or of a float several."""
    names, floats = {field.name for field in fields(algo.Config)}, float_names(algo.Config)
    return {
        name: value if name in floats and isinstance(value, list) else [value]
        for name, value in values.items()
        if name in names
    }


def _record(
    algo_name: str,
    settings: Settings,
    schedule: Schedule,
    configs: list[Any],
    data_set: EpisodeSet,
    task: Task,
    is_path: bool,
) -> dict[str, Any]:
    """Returns what config.json has of a new run, whose data a path leads to or not."""
    spec, statistics = spec_of(data_set), task.dataset.statistics
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
    found = [returns_of(data_set, task) for task in tasks]
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
            "is_kept": not is_path,
            "fingerprint": fingerprint(data_set),
            "returns": np.concatenate(found).tolist(),
        },
    }


def _bound(value: jax.Array) -> float | None:
    """Returns a limit as json has it."""
    return float(value) if np.isfinite(value) else None


def returns_of(data_set: EpisodeSet, task: int) -> np.ndarray:
    """Returns the returns of a task's whole episodes, none where the data has no rewards."""
    counts = data_set.is_whole & (data_set.tasks == task) & data_set.has_rewards
    return data_set.returns[counts]


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
    kind = spec_of(data_set).action.kind
    if kind not in ALGOS[algo_name].SUPPORTS:
        others = ", ".join(name for name, algo in ALGOS.items() if kind in algo.SUPPORTS)
        raise InputError(
            f"{data_set.name}: its actions are {kind}, which {algo_name} cannot learn; {others} can"
        )


def _try(algo: Algo, setting: Any, spec: Spec, task: Task) -> None:
    """Traces an update of each phase, so that what cannot be is refused before anything is made."""

    def updates(sources: Sources) -> Any:
        key = jax.random.key(0)
        state = algo.init(setting, jax.random.fold_in(key, 0), spec, statistics_of(sources))
        for number, phase in enumerate(types.phases(algo), start=1):
            own = jax.random.fold_in(key, number)
            prepare_key, sample_key, update_key = jax.random.split(own, 3)
            if phase.preparation:
                state = phase.preparation.prepare(setting, state, prepare_key, sources)
            batch = phase.sample(setting, sample_key, state, sources)
            state, _ = phase.update(setting, state, jnp.int32(0), update_key, batch)
        return state

    largest = memory.largest_array(jax.make_jaxpr(updates)(Sources(task.dataset)).jaxpr)
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


def go_on(
    algo_name: str, values: Values, held: ExitStack, data_set: EpisodeSet | None = None
) -> tuple[Run, EpisodeSet, Task]:
    """Returns a run to go on with, `resume` of the values.

    Args:
        algo_name: of the algorithm.
        values: the settings; those that would train something else are refused.
        held: gets the run's lock.
        data_set: that it learned from; None: what its folder has or its settings name.

    Raises:
        InputError: if the run, its data or its lock does not allow it.
    """
    handling = part_of(Handling, values)
    run = runs.load(Path(handling.resume))
    if run.record["algo"] != algo_name:
        raise InputError(f"{run.directory} is a run of {run.record['algo']}, not of {algo_name}")
    if "schedule" not in run.record:
        command = COMMANDS[run.record.get("kind", "collection")]
        raise InputError(f"{run.directory} learns online; go on with python -m rlp.{command}")
    settings, schedule = settings_of(run), schedule_of(run)
    if settings.preset not in presets(run.algo):
        raise InputError(
            f"{run.directory / 'config.json'}, settings, preset: {algo_name} has no such"
        )
    _refuse_changes(run, values, allow_length=handling.extend)
    settings = replace(
        settings,
        dataset=values.get("dataset", settings.dataset),
        batch_devices=values.get("batch_devices") or settings.batch_devices,
    )
    parts = data_of(run, settings, data_set)
    data_set = parts.train
    for name, value in (("env", data_set.env), ("spec", records.spec_record(spec_of(data_set)))):
        if run.record[name] != value:
            path = run.directory / "config.json"
            raise InputError(f"{path}, {name} is {run.record[name]}, but {value} in the data")
    of_run = run.algo, run.configs, len(run.seeds)
    task = _task(settings, schedule, handling, parts, *of_run)
    if devices.is_first():  # which starts JAX: not before the CPU is split
        held.enter_context(locked(run.directory))
    if "num_updates" in values:
        done, end = checkpoint.latest_step(run.checkpoints) or 0, values["num_updates"]
        if end < done:
            raise InputError(f"--num_updates={end}: {run.directory} has made {done} already")
        run = runs.extend(run, num_updates=end)
    return run, data_set, task


def settings_of(run: Run) -> Settings:
    """Returns the settings of a run; the data is where it is now, if that is in its folder."""
    settings = run.part("settings", Settings, {**asdict(AS_STORED), **LATER})
    return replace(settings, dataset=str(run.data)) if run.data.exists() else settings


def data_of(run: Run, settings: Settings, data_set: EpisodeSet | None = None) -> Prepared:
    """Returns the data of a run: that which is given, or the settings name.

    Raises:
        InputError: if it cannot be read, or is not the same.
    """
    if data_set is None and run.record["data"].get("is_kept") and not run.data.exists():
        raise InputError(f"{run.data} is missing: its data was made in Python; give it as `data`")
    parts = prepared(run.record["algo"], settings, data_set)
    check_same(run, parts.train, settings.dataset)
    return parts


def check_same(run: Run, data_set: EpisodeSet, name: str) -> None:
    """Checks that data, called `name`, is what a run learned from.

    Raises:
        InputError: if it is not.
    """
    found, expected = fingerprint(data_set), run.record["data"]["fingerprint"]
    if found != expected:
        raise InputError(
            f"{name} is not the data that {run.directory} was trained on: "
            f"its fingerprint is {found[:12]}, not {expected[:12]}"
        )


def schedule_of(run: Run) -> Schedule:
    """Returns what a run does between its updates; older ones end with as few episodes as ever."""
    of_before = run.record["schedule"].get("num_episodes")
    added = {"final_episodes": of_before, "final_evaluations": 1}
    return run.part("schedule", Schedule, added)


def _refuse_changes(run: Run, values: Values, allow_length: bool) -> None:
    free = {field.name for field in fields(Handling)}
    free |= {"dataset", "batch_devices"}  # data: by its fingerprint; devices: another machine's
    asked = _sweep(run.algo, values)
    for name in values.keys() - free - ({"num_updates"} if allow_length else set()):
        if name in asked:
            was = list(dict.fromkeys(config.to_dict(setting)[name] for setting in run.configs))
            now = [
                config.to_dict(setting)[name]
                for setting in config.sweep(run.algo.Config, {name: asked[name]})
            ]
        else:
            of_run = {**asdict(settings_of(run)), **asdict(schedule_of(run))}
            was, now = [of_run[name]], [values[name]]
        if was != now:
            given, began = (",".join(map(config.as_typed, each)) or "none" for each in (now, was))
            hint = "; add --extend if you mean it" if name == "num_updates" else ""
            raise InputError(
                f"--{name}={given}: {run.directory} began with {began}, "
                f"and a run goes on as it began{hint}"
            )


def prepared(algo_name: str, settings: Settings, data_set: EpisodeSet | None) -> Prepared:
    """Returns the data as it is learned from: that which is given, or the settings name.

    Raises:
        InputError: if it cannot be read, or too few episodes would be held out.
    """
    data_set = data_set or data.load(settings.dataset, settings)
    data_set = evenly_spaced(data_set, settings.data_fraction)
    data_set = delayed(data_set) if settings.delayed else data_set
    data_set = drop_last_successors(data_set) if settings.d4rl_compat else data_set
    algo = ALGOS[algo_name]
    if algo.policy.aims or needs_episodes(algo):
        data_set = whole_episodes(data_set, f"the returns that {algo_name} learns from")
    held_out = None
    if settings.validation:
        data_set, held_out = hold_out(data_set, settings.validation)
    return Prepared(top_fraction(data_set, settings.top_fraction), held_out)


def mirrored(settings: Settings, data_set: EpisodeSet) -> EpisodeSet:
    """Returns prepared data, with its mirror images where they are asked for."""
    return add_mirror_images(data_set) if settings.mirror else data_set


def spec_of(data_set: EpisodeSet) -> Spec:
    """Returns what an algorithm needs to know of the data."""
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
    parts: Prepared,
    algo: Algo,
    configs: Sequence[Any],
    num_members: int,
) -> Task:
    discount = returns_discount(algo, configs)
    data_set = mirrored(settings, parts.train)
    devices.split_cpu(num_members, data_set.num_bytes, settings.batch_devices)
    memory.check_members(algo, configs[0], spec_of(data_set), num_members)
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
        spec = spec_of(data_set)
        envs.check_widths(env, env_name, spec.observation_dim, spec.action_dim, settings.dataset)
    normalizer = _normalizer(settings, data_set)
    dataset = replay_arrays(settings, data_set, normalizer, discount)
    held_out = None
    if parts.held_out:
        arrays = replay_arrays(settings, parts.held_out, normalizer, discount, of=parts.train)
        held_out = HeldOut(parts.held_out, arrays)
    return Task(dataset, normalizer, env, placement, handling.members_at_once, held_out)


def _normalizer(settings: Settings, data_set: EpisodeSet) -> Normalizer:
    """Returns the statistics that observations are normalised by."""
    width = data_set.episodes[0].observation.shape[1]
    normalizer = fit_normalizer(data_set) if settings.normalize else unit_normalizer(width)
    if settings.show_task:
        return normalizer
    if data_set.num_tasks == 1:
        raise InputError(f"--show_task=False: {settings.dataset} has one task")
    return hide_task(normalizer, data_set.num_tasks)


def replay_arrays(
    settings: Settings,
    data_set: EpisodeSet,
    normalizer: Normalizer,
    discount: float | None,
    of: EpisodeSet | None = None,
) -> Dataset:
    """Returns prepared data, mirrored if that is asked for, on the device.

    Rewards of several tasks are brought to the mean size that they have in it, or in another, `of`.
    """
    dtype = np.float16 if settings.float16 else np.float32
    factors = reward_factors(of or data_set) if settings.balance_tasks else None
    return make_dataset(data_set, normalizer, dtype, factors, discount)


def returns_discount(algo: Algo, configs: Sequence[Any]) -> float | None:
    """Returns the discount of the least values that members learn from; None: from none.

    Raises:
        InputError: if they have several.
    """
    discounts = {types.returns_discount(algo, each) for each in configs}
    if len(discounts) > 1:
        raise InputError(
            "members that learn from discounted returns have one --discount: train each in a run"
        )
    return discounts.pop()
