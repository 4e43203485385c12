"""From offline to online: fine-tunes offline runs in an environment; SAC from scratch to compare.

    python experiments/finetuning.py                    # walker-run: some hours on 2 cores
    python experiments/finetuning.py --tasks=hopper     # on data/gymnasium/hopper-medium.npz

Each row trains 5 seeds on logged data (light presets) and fine-tunes them for 100,000 steps with
one update per step, where half of each batch is logged data. `rlpd` learns from scratch, with
logged data in half of each batch, ten critics with LayerNorm and 20 updates per step, for 20,000
steps. `sac` has no data. Records with every evaluation (10 episodes per seed, every 5,000 steps)
and the curves are in results/finetuning. Rows with a record are not run again; interrupted ones are
resumed.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from rlp import cli, runs, statistics
from rlp.cli.tables import markdown
from rlp.commands.finetune import finetune
from rlp.commands.learn import learn
from rlp.commands.train import train
from rlp.system import files

RESULTS = Path(__file__).parent / "results" / "finetuning"
AT_THE_CHANGE = 10_000  # first online steps, in which the lowest return is looked for
Flags = Mapping[str, str]


class Task(NamedTuple):
    """The environment and the data set."""

    env: str
    dataset: str


class Row(NamedTuple):
    """The algorithm and its flags."""

    algo: str
    offline: Flags | None  # flags of training on logged data; None: there is none
    online: Flags  # flags of learning in the environment


TASKS = {
    "walker-run": Task("walker-run", "walker-run/medium-replay"),
    "hopper": Task("gym:Hopper-v4", "data/gymnasium/hopper-medium.npz"),
}
EVERY = {"eval_every": "5000", "num_episodes": "10"}
FROM_NOTHING = {
    **EVERY, "num_seeds": "5", "num_envs": "1", "num_random_steps": "5000", "updates_per_step": "1",
}  # fmt: skip
OF_100_000 = {**EVERY, "num_steps": "100000"}
ROWS = {
    "sac": Row("sac", None, {**FROM_NOTHING, "num_steps": "100000"}),
    "rlpd": Row(
        "sac",
        None,
        {
            **FROM_NOTHING, "num_steps": "20000", "updates_per_step": "20", "num_critics": "10",
            "layer_norm": "before",
        },
    ),
    "iql": Row("iql", {}, OF_100_000),
    "td3bc": Row("td3bc", {}, OF_100_000),
    "rebrac": Row("rebrac", {}, OF_100_000),
    "cqlsac": Row("cqlsac", {}, OF_100_000),
    "cal-ql": Row("cqlsac", {"calibrate": "True"}, OF_100_000),
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """The cells."""

    rows: str = ""  # which, separated by commas (default: all)
    tasks: str = "walker-run"  # which environments, separated by commas
    runs: str = "runs/finetuning"  # folder of the runs
    quiet: bool = False  # print only the results


def main(given: cli.Given) -> None:
    """Runs the missing cells, prints the tables and draws the curves."""
    settings = cli.parse(Settings, given)
    for task in cli.chosen("tasks", settings.tasks, TASKS):
        for row in cli.chosen("rows", settings.rows or ",".join(ROWS), ROWS):
            if not _record(row, task).exists():
                run = _learn(row, task, settings)
                record = {"evaluations": run.evaluations(), **run.record}
                files.write_json(_record(row, task), record)
        found = {row: _curves(row, task) for row in ROWS if _record(row, task).exists()}
        with files.whole(RESULTS / f"{task}.png") as file:
            _picture(task, found).savefig(file, dpi=120)
        print(table(found))


def _record(row: str, task: str) -> Path:
    return RESULTS / f"{row}_{task}.json"


def _learn(row: str, task: str, settings: Settings) -> runs.Run:
    """Returns the completed run of a cell; resumes it if it exists."""
    env, dataset = TASKS[task]
    algo, offline, online = ROWS[row]
    folder, common = Path(settings.runs), {"quiet": str(settings.quiet)}
    directory = folder / f"{row}_{task}"
    begins = {"runs": str(folder), "name": directory.name}
    goes_on = {"resume": str(directory)} if directory.exists() else None
    if offline is None:
        of_data = {"dataset": dataset} if row == "rlpd" else {}
        return learn(algo, {"env": env, **(goes_on or {**online, **of_data, **begins}), **common})
    before = folder / f"{row}_{task}_offline"
    schedule = {"dataset": dataset, "num_seeds": "5", "eval_every": "1000000", "env": env}
    train(algo, {
        **({"resume": str(before)} if before.exists() else
           {**schedule, **offline, "runs": str(folder), "name": before.name}), **common,
    })  # fmt: skip
    return finetune({"run": str(before), **(goes_on or {**online, **begins}), **common})


def _curves(row: str, task: str) -> dict[int, np.ndarray]:
    """Returns the mean return of each seed [M] by environment step."""
    found: dict[int, list[float]] = defaultdict(list)
    for entry in files.read_json(_record(row, task))["evaluations"]:
        found[entry["step"]].append(float(np.mean(entry["returns"])))
    return {step: np.array(means) for step, means in found.items()}


def table(found: Mapping[str, dict[int, np.ndarray]]) -> str:
    """Returns a line per row: the return after offline training, the lowest soon after, and later.

    Args:
        found: the curves of each row.
    """
    goal = found["sac"][max(found["sac"])].mean() if "sac" in found else np.inf
    lines = []
    for row, curve in found.items():
        near = [means for step, means in curve.items() if step <= AT_THE_CHANGE]
        lowest = min(near, key=lambda means: means.mean()) if 0 in curve else None
        reached = [step for step, means in curve.items() if means.mean() >= goal]
        lines.append([
            row,
            _text(curve.get(0)),
            _text(lowest),
            *(_text(curve.get(step)) for step in (20_000, 50_000, 100_000)),
            f"{min(reached):,}" if reached else "never",
        ])  # fmt: skip
    head = ["", "offline", f"lowest until {AT_THE_CHANGE:,}", "20,000", "50,000", "100,000"]
    return markdown([*head, "steps to SAC's last"], lines)


def _text(means: np.ndarray | None) -> str:
    """Returns the mean over seeds and half of its interval."""
    if means is None:
        return ""
    return f"{means.mean():.0f} ± {statistics.mean_interval(means)[1] - means.mean():.0f}"


def _picture(task: str, found: Mapping[str, dict[int, np.ndarray]]) -> Any:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for row, curve in found.items():
        steps = sorted(curve)
        axes.plot(steps, [curve[step].mean() for step in steps], marker=".", label=row)
        intervals = [statistics.mean_interval(curve[step]) for step in steps]
        low, high = zip(*intervals, strict=True)
        axes.fill_between(steps, low, high, alpha=0.15)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return, mean of 5 seeds and its 95 % interval")
    axes.set_title(task)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


if __name__ == "__main__":
    command = cli.Command(main, (Settings,), (__doc__ or "").splitlines()[0])
    cli.main("python experiments/finetuning.py", command)
