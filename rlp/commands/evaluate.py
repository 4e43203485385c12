"""Evaluates the policies of runs: `python -m rlp.evaluate runs/NAME --num_episodes=50`.

A Decision Transformer is asked for as many returns as one likes, all in one batch of episodes:
`--target_return=200,400,800` also draws what it achieved over what it was asked for.
`python -m rlp.evaluate runs/A runs/B --fqe` needs no simulator (`rlp.commands.fqe`).
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import jax
import numpy as np

from rlp import algos, cli, envs, runs
from rlp.algos import ALGOS
from rlp.cli.terminal import COMPILING, Terminal
from rlp.commands import fqe
from rlp.config import COMMENT, Distinct, NewFile, Positive, PositiveFloat, field_comments
from rlp.errors import InputError
from rlp.evaluation import rollout, video
from rlp.evaluation.rollout import (
    EVALUATION_SEED,
    Returns,
    evaluate,
    evaluation_seeds,
    most_steps,
    num_simulators,
)
from rlp.pages import report
from rlp.runs import Run, evaluations, provenance
from rlp.runs.checkpoint import Saved
from rlp.training import restore
from rlp.training.restore import Chosen, Which
from rlp.types import NEVER


@dataclass(frozen=True)
class Settings:
    """The evaluation."""

    runs: tuple[str, ...]  # the directories of runs
    num_episodes: Positive = 100  # episodes of each member
    seed: int = EVALUATION_SEED  # of the first episode's initial state; the others follow
    env: str = ""  # environment (default: the one the run was evaluated in)
    checkpoint: Which = "last"  # or best: each member at its best, of a run that has --keep_best
    target_return: Distinct[float] = ()  # returns to aim for (default: the one of the training)
    video: NewFile = ""  # first episodes: .gif (160x128 each, 10 a second, 32 colours) or .mp4
    video_seconds: PositiveFloat = 10.0  # of the episodes; an .mp4 has 320x240, up to 30 a second
    algo: str = ""  # module of the run's algorithm, where it is your own
    quiet: bool = False  # print the result only


def _acting_flags() -> type:
    """Returns the options of acting that algorithms have, as a dataclass of flags."""
    fields = {}
    for algo in ALGOS.values():
        for name in algo.policy.options:
            kind = get_type_hints(algo.Config, include_extras=True)[name]
            comment = f"{field_comments(algo.Config)[name]}, of runs that have it"
            fields.setdefault(name, (name, kind, field(default="", metadata={COMMENT: comment})))
    made = make_dataclass("ActingFlags", fields.values(), frozen=True)
    made.__doc__ = "How policies act, if not as they were trained."
    return made


ActingFlags = _acting_flags()


def evaluate_runs(given: cli.Given) -> None:
    """Evaluates the policies of runs: in their environment, or in logged data."""
    settings, flags = cli.parse(Settings, given), cli.parse(fqe.Flags, given)
    acting = cli.parse_values((ActingFlags,), given)
    if settings.algo:
        algos.load(settings.algo)
    if settings.video:
        video.check(Path(settings.video))  # before a simulator is imported
        if len(settings.runs) > 1:
            raise InputError(f"--video: of one run, not of {len(settings.runs)}")
    found = [_run(settings, acting, directory) for directory in settings.runs]
    others = given.keys() - {"runs", "fqe", "seed", "checkpoint", "algo", "quiet"}
    of_fqe = set(fqe.Flags.__dataclass_fields__)
    if wrong := sorted(others - of_fqe if flags.fqe else others & of_fqe):
        without = "with" if flags.fqe else "without"
        raise InputError(f"--{wrong[0]}: means nothing {without} --fqe")
    if flags.fqe:
        terminal = Terminal(settings.quiet)
        estimates = fqe.estimate(found, flags, settings.seed, terminal, settings.checkpoint)
        fqe.show(estimates, flags.discount)
        return
    for run in found:
        _evaluate(settings, acting, run)


def _evaluate(settings: Settings, acting: Mapping[str, Any], run: Run) -> None:
    """Evaluates a checkpoint, prints the returns and adds them to evaluation.json."""
    terminal = Terminal(settings.quiet)
    chosen = restore.choose(run, settings.checkpoint, terminal.warn)
    saved = chosen.saved
    env_name = settings.env or run.record["env"]
    if not env_name:
        raise InputError(f"{run.directory} does not say which environment it is for: --env=NAME")
    env = _environment(settings, run, env_name)
    with terminal:
        for doubt in filter(None, map(run.doubt, settings.target_return)):
            terminal.warn(doubt)
        terminal.say(
            f"{run.directory} at {_updates(chosen)}, {settings.num_episodes} episodes a member"
        )
        found = _play(settings, run, saved, env, terminal)
        entry = {
            "step": int(chosen.updates.max()),
            "updates": dict(zip(run.labels, chosen.updates.tolist(), strict=True)),
            "checkpoint": settings.checkpoint,
            "env": env_name,
            "first_seed": settings.seed,
            "num_episodes": settings.num_episodes,
            **({"target_returns": list(settings.target_return)} if settings.target_return else {}),
            **({"acting": dict(acting)} if acting else {}),
            **({"trials": run.record["settings"]["trials"]} if run.is_search else {}),
            **_shown(settings, run, saved, found, env_name, terminal),
            **provenance.environment(),
        }
        terminal.say(f"added to {evaluations.add(run, entry)}")
        if (run.directory / "report.html").exists():
            policy = restore.policy_of(run, saved)
            terminal.say(f"report: {report.write(runs.load(run.directory), policy.params)}")
        if len(settings.target_return) > 1:
            plot = run.directory / "target_returns.png"
            _draw(plot, run, settings.target_return, found.values)
            terminal.say(f"drawn to {plot}")
        if settings.video and NEVER in saved.diverged:
            _film(settings, run, saved, env_name, terminal)
    if NEVER not in saved.diverged:
        raise SystemExit(f"error: no member is left, {runs.in_words(entry['diverged'])}")


def _updates(chosen: Chosen) -> str:
    """Returns which checkpoint it is."""
    low, high = chosen.updates.min(), chosen.updates.max()
    if chosen.best is None:
        return f"update {high:,}"
    return f"its best, update {f'{low:,} to {high:,}' if low < high else f'{high:,}'}"


def _shown(
    settings: Settings, run: Run, saved: Saved, found: Returns, env_name: str, terminal: Terminal
) -> dict[str, Any]:
    """Prints the returns, and returns what an entry has of them."""
    firsts = np.broadcast_to(saved.diverged[:, None, None], found.values.shape)
    rows, invalid, firsts = (
        _by_name(settings, run, each) for each in (found.values, found.invalid, firsts)
    )
    measures = {name: _by_name(settings, run, each) for name, each in found.measures.items()}
    marks = {name: int(each[0]) for name, each in firsts.items() if each[0] != NEVER}
    terminal.invalid(invalid)
    data = run.record.get("data", {"returns": []})  # a collection has none
    best = max(data["returns"], default=0.0)
    if settings.target_return:
        terminal.returns(rows, diverged=marks, best=best, measures=measures)
    else:
        terminal.returns(rows, run.over_members(rows), env_name, marks, best, measures)
    return {
        "returns": {name: runs.to_json(values) for name, values in rows.items()},
        "measures": runs.measures_to_json(measures),
        "invalid": {k: np.flatnonzero(v).tolist() for k, v in invalid.items() if v.any()},
        "diverged": run.diverged(saved.diverged),
    }


def _run(settings: Settings, acting: Mapping[str, Any], directory: str) -> Run:
    """Returns a run, which acts otherwise where that is asked for.

    Raises:
        InputError: if there is none, or it does not aim for a return or act as it is asked to.
    """
    run = runs.load(Path(directory))
    if settings.target_return and not run.algo.policy.aims:
        raise InputError(f"--target_return: {run.record['algo']} does not aim for a return")
    if settings.target_return and len(run.tasks) > 1:
        raise InputError("--target_return: every task of this run aims for a return of its own")
    for name, value in acting.items():
        if name not in run.algo.policy.options:
            raise InputError(f"--{name}={value}: no option of how {run.record['algo']} acts")
    return runs.changed(run, acting) if acting else run


def _environment(settings: Settings, run: Run, name: str) -> envs.VectorEnv:
    num_episodes = settings.num_episodes * max(1, len(settings.target_return))
    at_once = min(_at_once(run), num_episodes)
    num_envs = num_simulators(len(run.seeds), at_once, len(run.tasks))
    env, spec = envs.make(name, num_envs, run.action_bounds), run.spec
    envs.check_widths(env, name, spec.observation_dim, spec.action_dim, str(run.directory))
    return env


def _play(
    settings: Settings, run: Run, saved: Saved, env: envs.VectorEnv, terminal: Terminal
) -> Returns:
    """Returns the outcomes [M, T, N] of each member's episodes, with each of T returns to aim for.

    Without such a return every task has its own, and T is 1.
    """
    starts = evaluation_seeds(settings.num_episodes, len(run.tasks), settings.seed)
    aims = [np.full(len(starts), target) for target in settings.target_return]
    aims = aims or [np.tile(run.target_returns, settings.num_episodes)]
    seeds, num_members = starts * len(aims), len(run.seeds)
    with terminal.bar("evaluating", most_steps(env, num_members, len(seeds)), COMPILING) as show:
        found = evaluate(
            run.algo, run.spec, restore.policy_of(run, saved), env, seeds, show,
            np.concatenate(aims), saved.diverged == NEVER,
        )  # fmt: skip
    return jax.tree.map(lambda each: each.reshape(num_members, len(aims), -1), found)


def _film(settings: Settings, run: Run, saved: Saved, env_name: str, terminal: Terminal) -> None:
    """Writes a video of the first episode of each member that is left, and of each task."""
    tasks = run.tasks
    which = np.flatnonzero(saved.diverged == NEVER)
    shown = which[: max(1, video.MOST_CELLS // len(tasks))]
    if len(shown) < len(which):
        terminal.say(f"the video shows the first {len(shown)} of {len(which)} members")
    policy = restore.policy_of(run, saved).members(shown)
    path = Path(settings.video)
    size = video.KINDS[path.suffix].cell
    env = envs.make(env_name, len(shown) * len(tasks), run.action_bounds, size)
    assert isinstance(env, envs.Visible)
    aims = [settings.target_return[0]] if settings.target_return else run.target_returns
    keys = jax.random.split(jax.random.key(0), len(shown))  # of no effect at temperature 0
    act = rollout.actor(run.algo, run.spec, policy, np.array(aims), keys)
    labels = [run.labels[member] + task for member in shown for task in tasks]
    total = min(env.max_episode_steps, round(settings.video_seconds * env.steps_per_second))
    with closing(env), terminal.bar("filming", total, COMPILING) as show:
        seeds = [settings.seed] * env.num_envs
        video.write(path, act, env, seeds, labels, settings.video_seconds, show)
    terminal.say(f"filmed to {path}")


def _by_name(settings: Settings, run: Run, each: np.ndarray) -> dict[str, np.ndarray]:
    """Returns what there is of each episode [M, T, N] by member, and target or task."""
    if settings.target_return:
        return _by_target(run.labels, settings.target_return, each)
    return run.by_member(each[:, 0])


def _at_once(run: Run) -> int:
    """Returns how many episodes of a member the run evaluated at once: as many repeat its returns.

    Policies of other batches round otherwise, and a simulator makes much of that in a thousand
    steps.
    """
    part = run.record.get("schedule") or run.record["plan"]  # a collection's
    return part["num_episodes"]


def _by_target(
    labels: Sequence[str], targets: Sequence[float], achieved: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns the returns [M, T, N] under a name for each member and target."""
    return {
        f"{label},target={target:g}": achieved[member, index]
        for member, label in enumerate(labels)
        for index, target in enumerate(targets)
    }


def _draw(path: Path, run: Run, targets: Sequence[float], achieved: np.ndarray) -> None:
    """Draws the returns [M, T, N] over the targets [T], and the data's best."""
    from matplotlib.figure import Figure  # a second that start-up need not wait

    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    order = np.argsort(targets)
    for label, returns in zip(run.labels, achieved.mean(axis=2), strict=True):
        axes.plot(np.array(targets)[order], returns[order], marker=".", label=label)
    axes.axline((0, 0), slope=1, color="grey", linestyle=":", label="as asked")
    best = max(run.record["data"]["returns"])
    axes.axhline(best, color="grey", linestyle="--", label="best of the data")
    axes.set_xlim(min(targets), max(targets))
    axes.set_xlabel("return asked for")
    axes.set_ylabel("return achieved, mean of the episodes")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    doc = "Evaluates the policies of runs: deterministic actions, fixed initial states."
    cli.main(
        "python -m rlp.evaluate",
        cli.Command(evaluate_runs, (Settings, ActingFlags, fqe.Flags), doc),
        argv,
    )


if __name__ == "__main__":
    main()
