"""Planner-guided learning of BotEvade: the planner acts at first, then less and less, then never.

    python experiments/botevade_guided.py          # missing cells; resumes if interrupted
    python experiments/botevade_guided.py --quick  # small cells, to see that it runs

QR-DQN over the 35 landmarks, 5 seeds as one program, 60,000 steps. Until step 40,000 the planner
acts with a rate that falls from 1 to 0. The rows differ in how the rate falls. `planner-only` falls
as `linear`, but learns from the planner's steps alone; `alone` has no guide. There are two starts:
4,000 steps of the planner (`expert`) or 4,000 random steps (`random`). Then the policies play 1,000
episodes without the planner, from the initial states of evaluations; every return is in
results/botevade_guided. The published study (hanshuo-shuo/plan_ep, discrete IQL, a DQN for the
planner, 50 episodes) has a return of 0.78 from the expert start and 0.64 from the random one, and
reaches the goal without a capture in 78 and 74 % of episodes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlp import cli, runs, statistics
from rlp.cli.tables import markdown
from rlp.commands.evaluate import evaluate_runs
from rlp.commands.learn import learn
from rlp.runs import evaluations
from rlp.system import files

RESULTS = Path(__file__).parent / "results" / "botevade_guided"
ENV = "jax:botevade-35"
FLAGS = {
    "env": ENV, "preset": "quantiles", "num_seeds": "5", "num_steps": "60000", "num_envs": "8",
    "learning_starts": "4000", "num_episodes": "100", "log_every": "5000",
    "checkpoint_every": "10000", "eval_every": "4000",
}  # fmt: skip
QUICK = {"num_seeds": "2", "num_steps": "1200", "guide_steps": "1000", "learning_starts": "400",
         "num_episodes": "10", "eval_every": "400", "log_every": "400"}  # fmt: skip
GUIDED = {"guide": "planner", "guide_steps": "40000"}
ROWS: dict[str, Mapping[str, str]] = {
    "linear": GUIDED,
    "exponential": {**GUIDED, "guide_fall": "exponential"},
    "performance": {**GUIDED, "guide_fall": "performance"},
    "planner-only": {**GUIDED, "guide_only": "True"},
    "alone": {},
}
STARTS = {"expert": {"num_random_steps": "0"}, "random": {"num_random_steps": "4000"}}
NONE = ("alone", "expert")  # without a guide there is no expert to start with
CELLS = [(row, start) for row in ROWS for start in STARTS if (row, start) != NONE]


@dataclass(frozen=True)
class Settings:
    """The cells."""

    rows: str = ""  # which, separated by commas (default: all)
    starts: str = "expert,random"  # which, separated by commas
    runs: str = "runs/botevade_guided"  # folder of the runs
    quick: bool = False  # 1,200 steps of two seeds, 20 episodes
    quiet: bool = False  # print only the results


def main(given: cli.Given) -> None:
    """Runs the missing cells, and prints the table."""
    settings = cli.parse(Settings, given)
    folder = Path(settings.runs) / "quick" if settings.quick else RESULTS
    rows = cli.chosen("rows", settings.rows or ",".join(ROWS), ROWS)
    starts = cli.chosen("starts", settings.starts, STARTS)
    for row, start in CELLS:
        record = folder / f"{row}_{start}.json"
        if row in rows and start in starts and not record.exists():
            files.write_json(record, _cell(row, start, settings))
    print(table(folder))


def table(folder: Path = RESULTS) -> str:
    """Returns a line for each cell that has a record in a folder."""
    lines = []
    for row, start in CELLS:
        record = folder / f"{row}_{start}.json"
        if record.exists():
            lines.append([f"{row}, {start} start", *_texts(files.read_json(record))])
    return markdown(["", "return", "goal without a capture", "of the seeds"], lines)


def _cell(row: str, start: str, settings: Settings) -> dict[str, object]:
    """Returns the record of a cell after learning and playing."""
    directory = Path(settings.runs) / ("quick" if settings.quick else ".") / f"{row}_{start}"
    begins = {**FLAGS, **ROWS[row], **STARTS[start], "name": directory.name}
    if settings.quick:
        small = {name: QUICK[name] for name in QUICK if name in begins}
        small |= {} if start == "expert" else {"num_random_steps": "400"}
        begins |= small
    begins["runs"] = str(directory.parent)
    goes_on = {"env": ENV, "resume": str(directory)}
    quiet = {"quiet": str(settings.quiet)}
    learn("dqn", {**(goes_on if directory.exists() else begins), **quiet})
    count = "20" if settings.quick else "1000"
    evaluate_runs({"runs": str(directory), "num_episodes": count, **quiet})
    run = runs.load(directory)
    return {"last": evaluations.read(run)[-1], **run.record}


def _texts(record: dict[str, Any]) -> list[str]:
    """Returns the return, the share of successes, and the returns of the seeds."""
    returns = np.array([np.mean(each) for each in record["last"]["returns"].values()])
    success = np.array([np.mean(each) for each in record["last"]["measures"]["success"].values()])
    return [
        *(_interval(each) for each in (returns, success)),
        ", ".join(f"{each:.2f}" for each in returns),
    ]


def _interval(means: np.ndarray) -> str:
    low, high = statistics.mean_interval(means)
    return f"{means.mean():.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    command = cli.Command(main, (Settings,), (__doc__ or "").splitlines()[0])
    cli.main("python experiments/botevade_guided.py", command)
