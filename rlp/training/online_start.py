"""How online learning begins and goes on: from nothing, logged data or an offline run."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax

from rlp import config, data, envs, runs
from rlp.algos import ALGOS, presets
from rlp.config import Folder, Name, NonNegativeFloat, Positive, PositiveFloat, Share
from rlp.data.dataset import fit_normalizer, make_dataset, unit_normalizer
from rlp.data.episodes import EpisodeSet, fingerprint
from rlp.data.replay import empty_replay
from rlp.envs import Bounds
from rlp.errors import InputError
from rlp.runs import Run, records
from rlp.runs.checkpoint import Saved
from rlp.system import memory
from rlp.system.lock import locked
from rlp.training import guide, population, restore
from rlp.training import start as offline_start
from rlp.training.guide import NO_GUIDE, Guidance
from rlp.training.plan import Plan, Start
from rlp.training.start import COMMANDS, Values, choose_configs, part_of
from rlp.types import UNKNOWN, Spec, needs_episodes, phases

LARGEST = 2**31 - 1  # updates: their number is an int32


@dataclass(frozen=True)
class Settings:
    """The run."""

    dataset: str = ""  # logged data to learn from, too: a bundled name, minari:NAME or a path
    offline_share: Share = 0.5  # of a batch, where there is logged data
    preset: str = ""  # a named setting of the hyperparameters (default: the authors')
    target_return: float = 0.0  # return that a Decision Transformer aims for
    seed: int = 0  # the first seed
    num_seeds: Positive = 1  # members: this many seeds of every setting, all in one program
    name: Name = ""  # of the run (default: <algorithm>-<environment>-<date-time>)
    runs: Folder = "runs"  # folder of all runs


@dataclass(frozen=True)
class FineTuning:
    """The run."""

    offline_share: Share = 0.5  # of a batch: from the data that the run has learned from
    env: str = ""  # environment (default: the one the run was evaluated in)
    dataset: str = ""  # where that data is now (default: where it was)
    name: Name = ""  # of the new run (default: finetune-<run>-<date-time>)
    runs: Folder = "runs"  # folder of all runs


@dataclass(frozen=True)
class Begun(FineTuning):
    """Settings of fine-tuning as a record has them: with what it began from."""

    source: str = ""  # the directory of the offline run
    source_step: int = 0  # its updates


@dataclass(frozen=True)
class Guided(Guidance):
    """A guide as a record has it."""

    guide_step: int = 0  # of a run that is one: its last checkpoint's


@dataclass(frozen=True)
class FineTuningPlan(Plan):
    """The learning."""

    num_steps: Positive = 100_000  # environment steps of each member
    num_envs: Positive = 1  # environments of each member, stepped together
    updates_per_step: PositiveFloat = 1.0  # gradient updates an environment step
    num_random_steps: int = 0  # first steps of each member with random actions
    learning_starts: int = 5_000  # steps before the first update; at least the random ones
    exploration: NonNegativeFloat = 0.1  # of policies that do not sample: noise; share of choices


@dataclass(frozen=True)
class Handling:
    """Handling of the run; may differ when it goes on."""

    resume: str = ""  # a run to go on with, exactly: --resume=runs/NAME
    quiet: bool = False  # print the result only


class Ready(NamedTuple):
    """A run and what its loop needs."""

    run: Run
    plan: Plan
    start: Start
    guidance: Guidance = NO_GUIDE


def begin(
    algo_name: str,
    env_name: str,
    values: Values,
    held: ExitStack,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Ready:
    """Returns a new run of learning in an environment; its directory is made last.

    Args:
        algo_name: of the algorithm.
        env_name: of the environment.
        values: the settings by name.
        held: gets the run's lock.
        more: of the record.

    Raises:
        InputError: if what is asked for cannot be.
    """
    if "num_updates" in values:
        raise InputError("--num_updates: online it follows from --num_steps and --updates_per_step")
    settings, plan = part_of(Settings, values), part_of(Plan, values)
    guidance = part_of(Guidance, values)
    known = presets(ALGOS[algo_name])
    settings = replace(
        settings, preset=settings.preset or ("paper" if "paper" in known else next(iter(known)))
    )
    configs = choose_configs(algo_name, settings.preset, values)
    configs = [_of_length(each, plan) for each in configs]
    num_members = len(configs) * settings.num_seeds
    spec = _spec(algo_name, env_name, plan, num_members)
    _check_memory(algo_name, configs[0], spec, plan, num_members)
    data_set = data.load(settings.dataset) if settings.dataset else None
    if data_set:
        _check_fits(data_set, spec, env_name)
    elif needs_episodes(ALGOS[algo_name]):
        raise InputError(f"{algo_name} needs logged data from the start: give --dataset=NAME")
    if any(phase.preparation for phase in phases(ALGOS[algo_name])):
        raise InputError(
            f"{algo_name} learns a model of logged data first: train it by python -m rlp.train"
        )
    seeds = range(settings.seed, settings.seed + settings.num_seeds)
    members = [
        {"seed": seed, "config": config.to_dict(setting)} for setting in configs for seed in seeds
    ]
    record = {
        "algo": algo_name,
        "kind": "learning",
        "settings": asdict(settings),
        "plan": asdict(plan),
        "members": members,
        "env": env_name,
        "target_returns": [settings.target_return],
        "spec": records.spec_record(spec),
        **_data_record(data_set, settings.dataset),
        **_guidance_record(guidance, plan, env_name),
        **more,
    }
    name = settings.name or runs.default_name(algo_name, envs.plain_name(env_name))
    run = _create(Path(settings.runs) / name, record, held)
    return Ready(run, plan, _start(run, data_set), guidance)


def begin_from(source: Path, values: Values, held: ExitStack) -> Ready:
    """Returns a new run that goes on online with the members of an offline run.

    Args:
        source: the directory of the offline run.
        values: the settings by name.
        held: gets the run's lock.

    Raises:
        InputError: if what is asked for cannot be.
    """
    settings, plan = part_of(FineTuning, values), part_of(FineTuningPlan, values)
    guidance = part_of(Guidance, values)
    old = runs.load(source)
    if "schedule" not in old.record:
        raise InputError(f"{source} is no offline run; go on with python -m rlp.learn --resume")
    env_name = settings.env or old.record["env"]
    if not env_name:
        raise InputError(f"{source} does not say which environment its data is from: --env=NAME")
    configs = [_of_length(each, plan) for each in old.configs]
    spec = _spec(old.record["algo"], env_name, plan, len(configs), old)
    _check_memory(old.record["algo"], configs[0], spec, plan, len(configs))
    saved, step = restore.load(old)
    pairs = zip(old.seeds, configs, strict=True)
    copied = {
        name: old.record[name]
        for name in ("action_bounds", "origin", "target_returns", "data")
        if name in old.record
    }
    record = {
        "algo": old.record["algo"],
        "kind": "fine-tuning",
        "settings": asdict(Begun(**asdict(settings), source=str(source), source_step=step)),
        "plan": asdict(plan),
        "members": [{"seed": seed, "config": config.to_dict(each)} for seed, each in pairs],
        "env": env_name,
        "spec": records.spec_record(spec),
        **copied,
        **_guidance_record(guidance, plan, env_name, old.action_bounds),
    }
    name = settings.name or runs.default_name("finetune", old.directory.name)
    start = _start_from(old, configs, saved, settings)
    return Ready(_create(Path(settings.runs) / name, record, held), plan, start, guidance)


def go_on(directory: Path, held: ExitStack, kind: str = "") -> Ready:
    """Returns a run to go on with, of a kind, or of any.

    Raises:
        InputError: if there is none of that kind, or its data or its lock does not allow it.
    """
    run = runs.load(directory)
    found = run.record.get("kind", "collection" if "plan" in run.record else "training")
    kind = kind or found
    if found != kind or kind == "training":
        command = COMMANDS[found]
        raise InputError(f"{directory} is a {found}; go on with python -m rlp.{command}")
    held.enter_context(locked(directory))
    plan, guidance = run.part("plan", Plan), _guidance_of(run)
    if kind == "fine-tuning":
        begun = run.part("settings", Begun)
        old = runs.load(Path(begun.source))
        saved, step = restore.load(old)
        if step != begun.source_step:
            raise InputError(
                f"{old.directory} has gone on from update {begun.source_step:,} to {step:,}"
            )
        return Ready(run, plan, _start_from(old, run.configs, saved, begun), guidance)
    settings = run.part("settings", Settings)
    data_set = data.load(settings.dataset) if settings.dataset else None
    if data_set:
        offline_start.check_same(run, data_set, settings.dataset)
    return Ready(run, plan, _start(run, data_set), guidance)


def _start(run: Run, data_set: EpisodeSet | None) -> Start:
    """Returns new members, and the logged data if there is any."""
    normalizer, dataset, statistics = unit_normalizer(run.spec.observation_dim), None, UNKNOWN
    discount = offline_start.returns_discount(run.algo, run.configs)
    if data_set:
        normalizer = fit_normalizer(data_set)
        dataset = make_dataset(data_set, normalizer, discount=discount)
        statistics = dataset.statistics
    members = population.init(run.algo, run.configs, run.seeds, run.spec, statistics)
    share = run.record["settings"]["offline_share"]
    return Start(members, normalizer, dataset, share, discount)


def _start_from(old: Run, configs: Sequence[Any], saved: Saved, asked: FineTuning) -> Start:
    """Returns the members of an offline run, with the settings that they have now, and its data."""
    settings = offline_start.settings_of(old)
    settings = replace(settings, dataset=asked.dataset or settings.dataset)
    data_set = offline_start.mirrored(settings, offline_start.data_of(old, settings).train)
    discount = offline_start.returns_discount(old.algo, old.configs)
    dataset = offline_start.replay_arrays(settings, data_set, saved.normalizer, discount)
    members = population.init(old.algo, configs, old.seeds, old.spec, dataset.statistics)
    members = members._replace(states=saved.states)
    share = asked.offline_share
    return Start(members, saved.normalizer, dataset, share, discount, evaluates_first=True)


def _spec(
    algo_name: str, env_name: str, plan: Plan, num_members: int, old: Run | None = None
) -> Spec:
    """Returns the spec of the problem: an offline run's, or the environment's.

    Raises:
        InputError: if the environment, the plan and the algorithm do not fit each other.
    """
    if "+" in env_name:
        raise InputError(f"{env_name}: one environment is learned in at a time")
    num_envs = num_members * max(plan.num_envs, plan.num_episodes)  # there must be room
    bounds = old.action_bounds if old else None
    env = envs.make(env_name, num_envs, bounds)
    spec, kind = envs.spec_of(env), envs.spec_of(env).action.kind
    _check_plan(plan, spec)
    if kind not in ALGOS[algo_name].SUPPORTS:
        others = ", ".join(name for name, each in ALGOS.items() if kind in each.SUPPORTS)
        raise InputError(f"{algo_name}: actions of {env_name} are {kind}, which {others} learn")
    if not old:
        return spec
    widths = old.spec.observation_dim, old.spec.action_dim
    envs.check_widths(env, env_name, *widths, str(old.directory))
    if old.spec.action.kind != kind:
        raise InputError(f"{old.directory} learned {old.spec.action.kind} actions, not {kind} ones")
    return old.spec._replace(max_episode_steps=spec.max_episode_steps)


def _guidance_record(
    guidance: Guidance, plan: Plan, env_name: str, bounds: Bounds | None = None
) -> dict[str, Any]:
    """Returns what a record says of a guide, nothing where there is none.

    Raises:
        InputError: if it cannot act, or its rate cannot fall.
    """
    if guidance == NO_GUIDE:
        return {}
    guide.check(guidance, plan, envs.make(env_name, 1, bounds), env_name)
    return {"guidance": asdict(Guided(**asdict(guidance), guide_step=guide.step_of(guidance)))}


def _guidance_of(run: Run) -> Guidance:
    """Returns how a run is guided.

    Raises:
        InputError: if its guide is not what it was.
    """
    if "guidance" not in run.record:
        return NO_GUIDE
    guided = run.part("guidance", Guided)
    if (step := guide.step_of(guided)) != guided.guide_step:
        raise InputError(
            f"{guided.guide}, the guide, has gone on from {guided.guide_step:,} to {step:,}"
        )
    return guided


def _check_fits(data_set: EpisodeSet, spec: Spec, env_name: str) -> None:
    """Checks that logged data is of such an environment."""
    found, wanted = offline_start.spec_of(data_set), (spec.observation, spec.action)
    if (found.observation, found.action) != wanted:
        raise InputError(
            f"{data_set.name}: {found.observation} and {found.action} are not those of {env_name}, "
            f"{wanted[0]} and {wanted[1]}"
        )


def _check_plan(plan: Plan, spec: Spec) -> None:
    updates = plan.updates_per_round
    if updates < 1 or updates != round(updates) or plan.num_steps * plan.updates_per_step > LARGEST:
        raise InputError(
            f"--updates_per_step={plan.updates_per_step} times --num_envs={plan.num_envs} "
            f"must be a whole number of updates, and of all steps at most {LARGEST}"
        )
    if plan.num_rounds <= plan.num_idle_rounds:
        raise InputError(
            f"--num_steps={plan.num_steps}: nothing is learned, as it is not above "
            f"--num_random_steps={plan.num_random_steps}, --learning_starts={plan.learning_starts}"
        )
    least = plan.num_envs * spec.max_episode_steps
    if plan.capacity and plan.capacity < least:
        raise InputError(
            f"--capacity={plan.capacity}: {plan.num_envs} environments with episodes of up to "
            f"{spec.max_episode_steps} steps need {least}"
        )


def _check_memory(algo_name: str, setting: Any, spec: Spec, plan: Plan, num_members: int) -> None:
    """Checks that the members and their replays fit the machine."""
    memory.check_members(ALGOS[algo_name], setting, spec, num_members)
    layout = plan.layout(spec.max_episode_steps)
    replays = jax.eval_shape(lambda: empty_replay(layout, spec, num_members))
    memory.check(
        f"replays of {plan.capacity or plan.num_steps:,} steps",
        memory.num_bytes(replays),
        memory.of_devices(),
        "choose a smaller --capacity, or fewer members",
    )


def _of_length(setting: Any, plan: Plan) -> Any:
    """Returns a setting with the updates of a plan, and no phase before the last."""
    cloning = {"bc_updates": 0} if hasattr(setting, "bc_updates") else {}
    return replace(setting, num_updates=plan.num_updates, **cloning)


def _data_record(data_set: EpisodeSet | None, name: str) -> dict[str, Any]:
    if not data_set:
        return {}
    returns = offline_start.returns_of(data_set, task=0).tolist()
    return {"data": {"name": name, "fingerprint": fingerprint(data_set), "returns": returns}}


def _create(directory: Path, record: dict[str, Any], held: ExitStack) -> Run:
    runs.check_new(directory)
    held.enter_context(locked(directory))
    return runs.create(directory, record)
