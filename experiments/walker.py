"""The walker table: algorithms on the bundled data sets, seeds as one population.

    python experiments/walker.py                                  # every cell that is missing
    python experiments/walker.py --rows=bc --sets=walker-walk/medium

Seeds 0 to 3, the last checkpoint, 10 episodes of each seed from the same initial states. Each cell
is a run of `rlp.train`; its record with every episode's return is written to
results/walker/ROW_SET.json as soon as it is done, and a cell that has its file is not run again.
Prints the table as markdown: mean and standard deviation over the seeds' means.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlp import cli, runs
from rlp.config import Positive
from rlp.train import train

RESULTS = Path(__file__).parent / "results" / "walker"
SETS = [
    "walker-walk/medium",
    "walker-walk/medium-replay",
    "walker-walk/medium+walker-walk/medium-replay",  # what rlp.train takes where nothing is said
    "walker-run/medium",
    "walker-run/medium-replay",
]
ROWS = {
    "bc": ("bc", {}),
    "cqlsac": ("cqlsac", {}),
    "cqlsac-paper": ("cqlsac", {"preset": "paper", "num_updates": "20000"}),
}


@dataclass(frozen=True)
class Settings:
    """The cells."""

    rows: str = ",".join(ROWS)  # which, separated by commas
    sets: str = ",".join(SETS)  # on which data sets
    num_seeds: Positive = 4  # members
    runs: str = "runs"  # folder of the runs
    quiet: bool = False  # print the results only


def experiment(given: cli.Given) -> None:
    """Runs the cells that are missing, and prints the table of all that are there."""
    settings = cli.parse(Settings, given)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for data_set in cli.chosen("sets", settings.sets, SETS):
        for row in cli.chosen("rows", settings.rows, ROWS):
            if not _path(row, data_set).exists():
                algo_name, flags = ROWS[row]
                shared = {"dataset": data_set, "num_seeds": str(settings.num_seeds)}
                handling = {"runs": settings.runs, "quiet": str(settings.quiet)}
                name = runs.default_name(row, data_set)
                run = train(algo_name, {**shared, **handling, **flags, "name": name})
                runs.write_json(_path(row, data_set), runs.read_json(run.directory / "result.json"))
    print(_table())


def _path(row: str, data_set: str) -> Path:
    return RESULTS / f"{row}_{data_set.replace('/', '_')}.json"


def _table() -> str:
    """Returns the table of all cells that have a result, in markdown."""
    lines = [f"| | {' | '.join(SETS)} |", "|---" * (len(SETS) + 1) + "|"]
    for name in ("random policy", "data", *ROWS):
        lines.append(f"| {name} | {' | '.join(_cell(name, data_set) for data_set in SETS)} |")
    return "\n".join(lines)


def _cell(name: str, data_set: str) -> str:
    """Returns one cell; random policy and data stand in every result of the set."""
    row = name if name in ROWS else next(iter(ROWS))
    if not _path(row, data_set).exists():
        return ""
    returns = runs.read_json(_path(row, data_set))["returns"]
    if name == "random policy":
        return f"{np.mean(returns[name]):.0f}"
    if name == "data":
        values = returns[f"data ({data_set})"]
        return f"{np.mean(values):.0f} (best {max(values):.0f})"
    means = [np.mean(values) for member, values in returns.items() if member.startswith("seed=")]
    return f"{np.mean(means):.0f} ± {np.std(means):.0f}"


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    doc = (__doc__ or "").splitlines()[0]
    cli.main("python experiments/walker.py", cli.Command(experiment, (Settings,), doc), argv)


if __name__ == "__main__":
    main()
