"""Makes data sets: `python -m rlp.collect walker-walk --num_steps=300000`.

An online SAC learns the task; its first member gives three data sets in ExORL's layout, each with
physics and a metadata.json:

    medium          sampled actions of the policy when its mean return first reached the threshold
    medium-replay   all that was collected until then
    expert          sampled actions of the final policy
"""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rlp import cli, config, data, envs, runs
from rlp.algos import sac
from rlp.cli.terminal import Terminal
from rlp.config import Discount, Name, NonNegativeFloat, Positive
from rlp.data.dataset import unit_normalizer
from rlp.data.episodes import fingerprint
from rlp.data.formats import exorl
from rlp.data.replay import empty_replay
from rlp.errors import InputError
from rlp.evaluation import policy
from rlp.evaluation.policy import Policy
from rlp.evaluation.rollout import OnStep, Recorded, actor, num_simulators, record
from rlp.runs import Run, checkpoint, records
from rlp.system import files, memory
from rlp.system.lock import locked
from rlp.training import online
from rlp.training.online import Plan
from rlp.types import Spec, vectors

THRESHOLDS = {"walker-walk": 930.0, "walker-run": 250.0}  # of `medium`; others: half the final
DATA_SEED = 2_000_000  # of the initial states of medium and expert, apart from evaluation's
SETS = ("medium", "medium-replay", "expert")


@dataclass(frozen=True)
class Settings:
    """The collection."""

    env: str  # environment, as walker-walk
    seed: int = 0  # the first seed; its member gives the data
    num_seeds: Positive = 1  # members: learners that show the spread
    num_data_episodes: Positive = 50  # episodes of medium and of expert
    out: str = ""  # folder of the data sets (default: data/ENV)
    name: Name = ""  # of the run (default: collect-<environment>-<date-time>)
    runs: str = "runs"  # folder of all runs


@dataclass(frozen=True)
class Learning:
    """The learner, a SAC."""

    hidden_dims: tuple[Positive, ...] = (256, 256)  # widths of the hidden layers
    batch_size: Positive = 256  # transitions in a batch
    learning_rate: NonNegativeFloat = 1e-3  # Adam's, for everything
    discount: Discount = 0.99  # gamma


@dataclass(frozen=True)
class Handling:
    """Handling of the run; may differ when it goes on."""

    resume: str = ""  # a collection to go on with: --resume=runs/NAME
    quiet: bool = False  # print the result only


def collect(given: cli.Given) -> Run:
    """Collects with the flags as typed, writes the data sets and returns the run."""
    with ExitStack() as held:  # the lock of the run
        return _collect(given, held)


def _collect(given: cli.Given, held: ExitStack) -> Run:
    handling = cli.parse(Handling, given)
    run = _resume(given, held) if handling.resume else _start(given, held)
    settings, plan = run.part("settings", Settings), run.part("plan", Plan)
    env = envs.make(settings.env, len(run.seeds) * plan.num_envs)
    eval_env = envs.make(settings.env, num_simulators(len(run.seeds), plan.num_episodes))
    with Terminal(handling.quiet) as terminal:
        terminal.say(f"SAC on {settings.env}  {run.size}")
        terminal.say(f"run   {run.directory}")
        stopped = online.fit(run, plan, env, eval_env, terminal)
        if stopped:
            again = f"python -m rlp.collect {settings.env} --resume={run.directory}"
            terminal.say(f"stopped; to go on: {again}")
            raise SystemExit(128 + stopped)
        returns = _write_data(run, settings, terminal)
        terminal.returns(returns)
    return run


def _start(given: cli.Given, held: ExitStack) -> Run:
    settings, plan = cli.parse(Settings, given), cli.parse(Plan, given)
    learning = cli.parse(Learning, given)
    updates = plan.updates_per_step * plan.num_envs
    if updates < 1 or updates != round(updates) or plan.num_steps * updates > cli.LARGEST:
        raise InputError(
            f"--updates_per_step={plan.updates_per_step} times --num_envs={plan.num_envs} "
            f"must be a whole number of updates, and of all steps at most {cli.LARGEST}"
        )
    num_envs = settings.num_seeds * max(plan.num_envs, plan.num_episodes)
    env = envs.make(settings.env, num_envs)  # as many as will be: there must be room
    if plan.layout(env.max_episode_steps).num_episodes <= plan.num_random_episodes:
        raise InputError(
            f"--num_steps={plan.num_steps}: nothing is learned, as that is no more than "
            f"--num_random_episodes={plan.num_random_episodes} of each environment"
        )
    for name in SETS:
        if _folder(settings, name).exists():
            raise InputError(
                f"{_folder(settings, name)} exists: choose another --out, or remove that data set"
            )
    setting = sac.Config(
        num_updates=round(plan.num_steps * plan.updates_per_step),
        hidden_dims=learning.hidden_dims,
        batch_size=learning.batch_size,
        actor_learning_rate=learning.learning_rate,
        critic_learning_rate=learning.learning_rate,
        discount=learning.discount,
    )
    spec = vectors(env.observation_dim, env.action_dim, env.max_episode_steps)
    _check_memory(settings, plan, setting, spec)
    seeds = range(settings.seed, settings.seed + settings.num_seeds)
    record = {
        "algo": "sac",
        "settings": asdict(settings),
        "plan": asdict(plan),
        "members": [{"seed": seed, "config": config.to_dict(setting)} for seed in seeds],
        "env": settings.env,
        "spec": records.spec_record(spec),
    }
    name = settings.name or runs.default_name("collect", settings.env)
    directory = Path(settings.runs) / name
    runs.check_new(directory)
    held.enter_context(locked(directory))
    return runs.create(directory, record)


def _check_memory(settings: Settings, plan: Plan, setting: sac.Config, spec: Spec) -> None:
    """Checks that the members, their replays and the data to be made fit the machine.

    Raises:
        InputError: if they do not.
    """
    memory.check_members(sac, setting, spec, settings.num_seeds)
    layout = plan.layout(spec.max_episode_steps)
    replays = jax.eval_shape(lambda: empty_replay(layout, spec, settings.num_seeds))
    memory.check(
        f"replays of {plan.num_steps:,} steps",
        memory.num_bytes(replays),
        memory.of_machine(),
        "choose fewer steps or members",
    )
    numbers_each = spec.max_episode_steps * (spec.observation_dim + spec.action_dim + 1)
    memory.check(
        f"{settings.num_data_episodes:,} episodes of data",
        4 * numbers_each * settings.num_data_episodes,
        memory.of_machine(),
        "choose a smaller --num_data_episodes",
    )


def _resume(given: cli.Given, held: ExitStack) -> Run:
    run = runs.load(Path(given["resume"]))
    held.enter_context(locked(run.directory))
    if "plan" not in run.record:
        raise InputError(f"{run.directory} is no collection; go on with python -m rlp.train")
    other = given.keys() - {"env", "resume", "quiet"}
    if other or given["env"] != run.record["env"]:
        flags = ", ".join(f"--{name}" for name in sorted(other)) or given["env"]
        raise InputError(f"{flags}: a collection goes on as it began, in {run.record['env']}")
    return run


def _write_data(run: Run, settings: Settings, terminal: Terminal) -> dict[str, np.ndarray]:
    """Writes the data sets that are not there yet; returns each one's returns."""
    scores = {e["step"]: np.mean(e["returns"]) for e in _first_member(run)}
    final = max(scores)
    threshold = THRESHOLDS.get(settings.env, scores[final] / 2)
    reached = [step for step, score in scores.items() if score >= threshold]
    medium = min(reached, default=final)
    if not reached:
        terminal.warn(
            f"no policy reached {threshold:.0f}: medium is the final one, {scores[final]:.0f}"
        )
    env = envs.make(settings.env, settings.num_data_episodes)
    returns = {}
    for name, step in (("medium", medium), ("medium-replay", medium), ("expert", final)):
        folder = _folder(settings, name)
        if not folder.exists():
            partial = folder.with_name(f"{name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            if name == "medium-replay":
                for file in _replay_files(run, step):
                    shutil.copy(file, partial)
            else:
                with terminal.bar(name, env.max_episode_steps) as show:
                    for number, each in enumerate(_sampled(run, env, step, show)):
                        exorl.write_episode(partial, number, each.episode, each.physics)
            _write_metadata(run, partial, name, step)
            partial.rename(folder)
        returns[str(folder)] = data.load(str(folder)).returns
    return returns


def _first_member(run: Run) -> list[dict[str, Any]]:
    return [entry for entry in run.evaluations() if entry["member"] == run.labels[0]]


def _replay_files(run: Run, step: int) -> list[Path]:
    """Returns the first member's episodes of its first `step` environment steps."""
    files = sorted((run.directory / "replay").glob("*.npz"))
    return files[: step // run.spec.max_episode_steps]


def _sampled(run: Run, env: envs.VectorEnv, step: int, show: OnStep) -> list[Recorded]:
    """Returns an episode of each environment, of sampled actions of the first member's policy."""
    new = online.new_members(run)
    normalizer = unit_normalizer(run.spec.observation_dim)
    like = policy.from_states(run.algo, new.configs, new.states, normalizer)
    members = checkpoint.restore(run.directory / "snapshots", step, like)
    config, params = jax.tree.map(lambda leaf: leaf[:1], (members.config, members.params))
    first = Policy(config, params, members.normalizer)
    keys = jax.random.split(jax.random.key(run.seeds[0] + DATA_SEED), 1)
    act = actor(run.algo, run.spec, first, np.zeros(env.num_envs), keys, temperature=1.0)
    return record(act, env, range(DATA_SEED, DATA_SEED + env.num_envs), show)


def _write_metadata(run: Run, folder: Path, name: str, step: int) -> None:
    made = data.load(str(folder))
    how = {
        "medium": f"sampled actions of the policy at step {step}",
        "medium-replay": f"all that was collected until step {step}",
        "expert": f"sampled actions of the final policy, at step {step}",
    }
    metadata = {
        "env": run.record["env"],
        "name": name,
        "made": f"online SAC, seed {run.seeds[0]}: {how[name]}",
        "licence": "CC0",
        "fingerprint": fingerprint(made),
        "returns": made.returns.tolist(),
        "config": run.record["members"][0]["config"],
        "plan": run.record["plan"],
        **{key: run.record[key] for key in ("command", "versions", "git_commit", "machine")},
    }
    files.write_json(folder / "metadata.json", metadata)


def _folder(settings: Settings, name: str) -> Path:
    return Path(settings.out or f"data/{settings.env}") / name


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    doc = "Learns a task online and writes data sets of it: medium, medium-replay and expert."
    flags = (Settings, Plan, Learning, Handling)
    cli.main("python -m rlp.collect", cli.Command(collect, flags, doc), argv)


if __name__ == "__main__":
    main()
