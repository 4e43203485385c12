"""Measurements and pictures, other than returns, in the studies of Decision Transformers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from rlp import envs, runs, statistics
from rlp.commands.evaluate import evaluate_runs
from rlp.evaluation import rollout
from rlp.runs import Run, evaluations
from rlp.study import Rows, Study
from rlp.system import files
from rlp.training import restore

SHARES = (0.25, 0.5, 0.75, 1.0, 1.25)  # of the data's best return, to aim for
Record = Mapping[str, Any]


def study_of(
    name: str,
    env: str,
    rows: Rows,
    sets: Mapping[str, str],
    num_seeds: int,
    pairs: Mapping[str, str],
    tiny: Mapping[str, str],
    runs_folder: str,
) -> Study:
    """Returns a study with its results in their folder, or a tiny one with them next to its runs.

    Args:
        name: of the folder.
        env: of every row.
        rows: the rows to run.
        sets: the data sets.
        num_seeds: of each row; a tiny study has two.
        pairs: the row with which each row is compared.
        tiny: flags of tiny sizes; empty: the real ones.
        runs_folder: folder of the runs.
    """
    results = Path(__file__).parent / "results" / name
    if tiny:
        results, num_seeds = Path(runs_folder) / "results" / f"{name}_quick", 2
    rows = {row: (algo, {**flags, "env": env, **tiny}) for row, (algo, flags) in rows.items()}
    return Study(results, rows, sets, num_seeds, MappingProxyType(pairs))


def measure(path: Path, run: Run, targets: Sequence[float], num_episodes: int, quiet: bool) -> None:
    """Writes the record of a run: losses, speed, all returns, and the return for each target.

    Args:
        path: of the record; an existing one is kept.
        run: of a Decision Transformer.
        targets: returns to aim for.
        num_episodes: of each member and target.
        quiet: print only the results.
    """
    if path.exists():
        return
    evaluate_runs({
        "runs": str(run.directory), "num_episodes": str(num_episodes), "quiet": str(quiet),
        "target_return": ",".join(f"{target:g}" for target in targets),
    })  # fmt: skip
    returns = evaluations.read(run)[-1]["returns"]
    curves = run.curves()
    files.write_json(path, {
        "targets": list(targets),
        "achieved": [
            [returns[f"{label},target={target:g}"] for label in run.labels] for target in targets
        ],  # [T, M, N]
        "loss": curves["actor_loss"],
        "updates_per_second": curves["updates_per_second"],
        "evaluations": run.evaluations(),
        "rewards": _rewards(run),
        **run.record,
    })  # fmt: skip


def _rewards(run: Run) -> list[float]:
    """Returns the rewards of an episode in which the first member aims for its usual return."""
    policy, _ = restore.load_policy(run)
    keys = jax.random.split(jax.random.key(0), 1)
    targets = np.array(run.target_returns)
    act = rollout.actor(run.algo, run.spec, policy.members([0]), targets, keys)
    env = envs.make(run.record["env"], 1, run.action_bounds)
    taken = rollout.steps(act, env, [rollout.EVALUATION_SEED])
    return [float(each.outcome.reward[0]) for each in taken]


def minutes(record: Record, num_updates: int) -> float:
    """Returns the minutes that so many updates of one member take, at the speed of all together."""
    speeds = next(iter(record["updates_per_second"].values()))
    return num_updates / float(np.median([speed for _, speed in speeds])) / 60


def losses(record: Record) -> dict[int, float]:
    """Returns the mean loss of the members by update."""
    members = record["loss"].values()
    by_update = zip(*members, strict=True)
    return {points[0][0]: float(np.mean([v for _, v in points])) for points in by_update}


def achieved(record: Record) -> dict[float, np.ndarray]:
    """Returns the mean return of each member [M] by target return."""
    means = np.array(record["achieved"], float).mean(axis=2)
    return dict(zip(record["targets"], means, strict=True))


def over_last(record: Record, number: int) -> np.ndarray:
    """Returns the mean return of each member [M] over the last evaluations."""
    labels = [each["member"] for each in record["evaluations"]]
    members = list(dict.fromkeys(labels))
    last = record["evaluations"][-number * len(members) :]
    means = np.array([np.mean(each["returns"]) for each in last])
    return means.reshape(-1, len(members)).mean(axis=0)


def text(means: np.ndarray) -> str:
    """Returns the mean of members and half of its interval."""
    return f"{means.mean():,.0f} ± {statistics.mean_interval(means)[1] - means.mean():,.0f}"


def picture(records: Mapping[str, Record]) -> Figure:
    """Returns a figure of several runs: loss, target against achieved, and one episode of each."""
    figure = Figure(figsize=(16, 4), layout="constrained")
    loss, asked, rewards, to_go = figure.subplots(1, 4)
    for name, record in records.items():
        curve, found = losses(record), achieved(record)
        loss.plot(list(curve), list(curve.values()), label=name)
        asked.plot(list(found), [each.mean() for each in found.values()], marker=".", label=name)
        steps = np.array(record["rewards"])
        rewards.plot(np.convolve(steps, np.full(20, 1 / 20), "valid"), label=name)
        is_late = record["members"][0]["config"]["mode"] == "delayed"
        spent = 0 * steps if is_late else np.append(0, steps[:-1]).cumsum()
        to_go.plot(record["target_returns"][0] - spent, label=name)
    asked.axline((0, 0), slope=1, color="grey", linestyle=":")
    for axes, title, below in (
        (loss, "squared error of actions", "updates"),
        (asked, "return achieved", "return asked for"),
        (rewards, "reward, mean of 20 steps", "step of an episode"),
        (to_go, "return to go", "step of an episode"),
    ):
        axes.set_title(title)
        axes.set_xlabel(below)
        axes.grid(alpha=0.3)
    loss.set_yscale("log")
    loss.legend(fontsize="small")
    return figure


def read(folder: Path) -> dict[str, Record]:
    """Returns the records in a folder by name."""
    return {path.stem: files.read_json(path) for path in sorted(folder.glob("*.json"))}


def run_of(folder: Path, row: str, name: str) -> Run:
    """Returns the run of a study's cell."""
    return runs.load(folder / f"{row}_{name}")
