"""Makes data sets: `python -m rlp.collect walker-walk --num_steps=300000`.

An online SAC learns the task. Its first member makes three data sets in ExORL's layout, each with
physics and a metadata.json:

    medium          sampled actions of the policy when its mean return first reached the threshold
    medium-replay   all episodes collected until then
    expert          sampled actions of the final policy

With `--policy=FILE` nothing is learned: see `rlp.commands.demonstrate`.
"""

import shutil
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rlp import cli, data, envs, runs
from rlp.cli.terminal import Terminal
from rlp.commands import demonstrate
from rlp.commands.learn import finish, refuse_others
from rlp.config import Discount, Name, NonNegativeFloat, Positive
from rlp.data.dataset import unit_normalizer
from rlp.data.episodes import fingerprint
from rlp.data.formats import exorl
from rlp.envs import VectorEnv
from rlp.errors import InputError
from rlp.evaluation import policy
from rlp.evaluation.policy import Policy
from rlp.evaluation.rollout import OnStep, Recorded, Taken, actor, record, split
from rlp.runs import Run, checkpoint, in_words
from rlp.system import files, memory
from rlp.training import online_start, population, restore
from rlp.training.online_start import Handling, Ready
from rlp.training.plan import Plan, Watch
from rlp.types import NEVER, UNKNOWN

THRESHOLDS = {"walker-walk": 930.0, "walker-run": 250.0}  # of `medium`; else half the final return
DATA_SEED = 2_000_000  # of the initial states of medium and expert; differ from evaluation's
SETS = ("medium", "medium-replay", "expert")
KIND = "collection"


@dataclass(frozen=True)
class Settings:
    """The collection."""

    env: str  # environment, such as walker-walk
    seed: int = 0  # the first seed; its member makes the data
    num_seeds: Positive = 1  # members: further learners show the spread
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


class Recorder(Watch):
    """Keeps the first member's episodes in `replay/`, and the policies in `snapshots/`.

    An episode's number combines the round and the environment in which it ended.
    """

    def __init__(self, run: Run, num_envs: int) -> None:
        """Records a run whose members have `num_envs` environments each."""
        self._run, self._num_envs = run, num_envs
        self._taken: dict[int, list[Taken]] = defaultdict(list)
        self._physics: dict[int, list[np.ndarray]] = defaultdict(list)

    def begin(self, env: VectorEnv, which: Sequence[int]) -> None:
        """Starts the records of new episodes."""
        if ours := [number for number in which if number < self._num_envs]:
            physics = env.physics()
            for number in ours:
                self._taken[number], self._physics[number] = [], [physics[number : number + 1]]

    def take(self, env: VectorEnv, taken: Taken, number: int) -> None:
        """Keeps a step of each environment, and writes the episodes that ended."""
        physics = env.physics()
        for place in np.flatnonzero(taken.running[: self._num_envs]).tolist():
            self._taken[place].append(_only(taken, place))
            self._physics[place].append(physics[place : place + 1])
            outcome = taken.outcome
            if outcome.terminated[place] or outcome.truncated[place]:
                [ended] = split(self._taken[place], self._physics[place])
                count = number * self._num_envs + place
                folder = self._run.directory / "replay"
                exorl.write_episode(folder, count, ended.episode, ended.physics)

    def resume(self, step: int, evaluated: int) -> None:
        """Deletes what was made after the checkpoint; it will be made again."""
        checkpoint.forget_after(self._run.directory / "snapshots", evaluated)
        for number, path in _numbered(self._run):
            if number >= step:
                path.unlink()

    def evaluate(self, step: int, actors: Policy) -> None:
        """Keeps the policies of all members."""
        checkpoint.save(self._run.directory / "snapshots", step, actors, keep=None)

    def is_over(self, diverged: np.ndarray) -> bool:
        """Returns whether the member that makes the data has diverged."""
        return bool(diverged[0] != NEVER)


def _only(taken: Taken, place: int) -> Taken:
    """Returns the step of one environment."""
    each = slice(place, place + 1)
    outcome = taken.outcome
    invalid = np.broadcast_to(outcome.invalid, outcome.reward.shape)
    return Taken(
        taken.observation[each],
        taken.action[each],
        outcome._make(x[each] for x in (*outcome[:-1], invalid)),
        taken.running[each],
    )


def collect(given: cli.Given) -> Run:
    """Collects with the given flags, writes the data sets and returns the run."""
    handling = cli.parse(Handling, given)
    with ExitStack() as held:  # the lock of the run
        ready = _resume(given, held) if handling.resume else _begin(given, held)
        run = ready.run
        settings, watch = run.part(KIND, Settings), Recorder(run, ready.plan.num_envs)
        finish(ready, handling, f"python -m rlp.collect {settings.env}", watch)
        over = run.diverged(restore.load(run)[0].diverged)
        if run.labels[0] in over:
            raise SystemExit(f"error: the member that gives the data is over, {in_words(over)}")
        with Terminal(handling.quiet) as terminal:
            terminal.returns(_write_data(run, settings, terminal))
    return run


def _begin(given: cli.Given, held: ExitStack) -> Ready:
    settings, learning = cli.parse(Settings, given), cli.parse(Learning, given)
    plan = cli.parse(Plan, given)
    for name in SETS:
        if _folder(settings, name).exists():
            raise InputError(
                f"{_folder(settings, name)} exists: choose another --out, or remove that data set"
            )
    _check_room(settings)
    rates = dict.fromkeys(("actor_learning_rate", "critic_learning_rate"), learning.learning_rate)
    of_learner = {k: v for k, v in asdict(learning).items() if k != "learning_rate"}
    of_run = {k: v for k, v in asdict(settings).items() if k not in ("out", "num_data_episodes")}
    of_run["name"] = settings.name or runs.default_name("collect", settings.env)
    values = {**of_run, **of_learner, **rates, **asdict(plan)}
    more = {"kind": KIND, KIND: asdict(settings)}
    return online_start.begin("sac", settings.env, values, held, more)


def _check_room(settings: Settings) -> None:
    """Checks that the new data fits in the machine's memory.

    Raises:
        InputError: if it does not.
    """
    spec = envs.spec_of(envs.make(settings.env))
    numbers_each = spec.max_episode_steps * (spec.observation_dim + spec.action_dim + 1)
    memory.check(
        f"{settings.num_data_episodes:,} episodes of data",
        4 * numbers_each * settings.num_data_episodes,
        memory.of_machine(),
        "choose a smaller --num_data_episodes",
    )


def _resume(given: cli.Given, held: ExitStack) -> Ready:
    refuse_others(given, ("env",))
    ready = online_start.go_on(Path(given["resume"]), held, KIND)
    if given["env"] != ready.run.record["env"]:
        raise InputError(f"{given['env']}: the run is in {ready.run.record['env']}")
    return ready


def _write_data(run: Run, settings: Settings, terminal: Terminal) -> dict[str, np.ndarray]:
    """Writes the data sets that do not exist yet; returns the returns of each."""
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
                for number, file in enumerate(_replay_files(run, step)):
                    length = file.stem.split("_")[2]
                    shutil.copy(file, partial / f"episode_{number:06d}_{length}.npz")
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
    """Returns the first member's episodes that ended in its first `step` environment steps."""
    return [path for number, path in _numbered(run) if number < step]


def _numbered(run: Run) -> list[tuple[int, Path]]:
    """Returns the first member's episodes and their numbers, in order."""
    files = (run.directory / "replay").glob("*.npz")
    return sorted((int(path.name.split("_")[1]), path) for path in files)


def _sampled(run: Run, env: envs.VectorEnv, step: int, show: OnStep) -> list[Recorded]:
    """Returns an episode from each environment with sampled actions of the first member."""
    new = population.init(run.algo, run.configs, run.seeds, run.spec, UNKNOWN)
    normalizer = unit_normalizer(run.spec.observation_dim)
    like = policy.from_states(run.algo, new.configs, new.states, normalizer, run.origin)
    members = checkpoint.restore(run.directory / "snapshots", step, like)
    config, params = jax.tree.map(lambda leaf: leaf[:1], (members.config, members.params))
    first = Policy(config, params, members.normalizer, members.origin)
    keys = jax.random.split(jax.random.key(run.seeds[0] + DATA_SEED), 1)
    act = actor(run.algo, run.spec, first, np.zeros(env.num_envs), keys, temperature=1.0)
    return record(act, env, range(DATA_SEED, DATA_SEED + env.num_envs), show)


def _write_metadata(run: Run, folder: Path, name: str, step: int) -> None:
    made = data.load(str(folder))
    how = {
        "medium": f"sampled actions of the policy at step {step}",
        "medium-replay": f"all episodes that were collected until step {step}",
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
    doc = "Learns a task online and writes data sets, or with --policy=FILE a data set of a policy."
    flags = (Settings, Plan, Learning, Handling, demonstrate.Flags)

    def run(given: cli.Given) -> None:
        if "policy" in given:
            demonstrate.demonstrate(given["env"], given)
        else:
            collect(given)

    cli.main("python -m rlp.collect", cli.Command(run, flags, doc), argv)


if __name__ == "__main__":
    main()
