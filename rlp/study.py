"""A study: algorithms by data sets, the seeds of a cell as one population, told as tables.

A cell is a run of `rlp.train`, in RUNS/STUDY/ROW_SET: one that was interrupted goes on. Its record,
with the return of every episode after the last update, is written to RESULTS/ROW_SET.json as soon
as it is done, and a cell that has its record is not run again.

A member counts by the mean of its episodes; n is the number of members. An episode that earns less
than a fifth of the data's best is a fall: a walker that lies on the ground.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlp import cli, files, runs, stats
from rlp.train import train

FALL = 0.2  # of the data's best return

Rows = Mapping[str, tuple[str, Mapping[str, str]]]  # name -> algorithm and its flags
ALGORITHMS: Rows = {  # light presets, CQL's for longer: 5 seeds take half an hour on 2 cores or so
    "bc": ("bc", {}),
    "bc-10%": ("bc", {"top_fraction": "0.1"}),
    "td3bc": ("td3bc", {}),
    "iql": ("iql", {}),
    "rebrac": ("rebrac", {}),
    "cqlsac": ("cqlsac", {"num_updates": "20000", "discount": "0.99"}),
    "dt": ("dt", {}),
}


class Study(NamedTuple):
    """What is run, and where the results are."""

    results: Path
    rows: Rows
    sets: Mapping[str, str]  # name -> data set
    num_seeds: int


@dataclass(frozen=True)
class Settings:
    """The cells."""

    rows: str = ""  # which, separated by commas (default: all)
    sets: str = ""  # on which data sets, separated by commas (default: all)
    runs: str = "runs"  # folder of the runs
    quiet: bool = False  # print the results only


class Cell(NamedTuple):
    """The results of a row on one task of a data set."""

    episodes: np.ndarray  # [M, episodes], returns
    data: np.ndarray  # returns of the data's episodes
    random: np.ndarray  # returns of episodes of a random policy

    @property
    def members(self) -> np.ndarray:
        """[M], each the mean of its episodes."""
        return self.episodes.mean(axis=1)


def main(prog: str, doc: str, study: Study, argv: Sequence[str] | None = None) -> None:
    """The command line of a study: runs the cells that are missing, prints the tables of all."""

    def run(given: cli.Given) -> None:
        settings = cli.parse(Settings, given)
        for name in cli.chosen("sets", settings.sets or ",".join(study.sets), study.sets):
            for row in cli.chosen("rows", settings.rows or ",".join(study.rows), study.rows):
                if not _path(study, row, name).exists():
                    _run_cell(study, row, name, settings)
        print(f"{table(study)}\n\n{details(study)}")

    cli.main(prog, cli.Command(run, (Settings,), doc.splitlines()[0]), argv)


def _run_cell(study: Study, row: str, name: str, settings: Settings) -> None:
    algo_name, flags = study.rows[row]
    record = _path(study, row, name)
    directory = Path(settings.runs) / study.results.name / record.stem
    given = {
        "dataset": study.sets[name],
        "num_seeds": str(study.num_seeds),
        "runs": str(directory.parent),
        "name": directory.name,
        "quiet": str(settings.quiet),
        **flags,
    }
    if directory.exists():
        given["resume"] = str(directory)
    train(algo_name, given)
    files.write_json(record, files.read_json(directory / "result.json"))


def _path(study: Study, row: str, name: str) -> Path:
    return study.results / f"{row}_{name.replace('/', '_')}.json"


def cells(study: Study) -> dict[tuple[str, str], Cell]:
    """Returns all results so far, by row and column; a column is a data set, or a task of one."""
    found = {}
    for name, data_set in study.sets.items():
        for row in study.rows:
            if (path := _path(study, row, name)).exists():
                run = runs.Run(path, files.read_json(path))
                returns = {k: np.array(v) for k, v in run.record["returns"].items()}
                for task in run.tasks:
                    found[row, name + task] = Cell(
                        episodes=np.stack([returns[label + task] for label in run.labels]),
                        data=returns[f"data ({data_set}){task}"],
                        random=returns[f"random policy{task}"],
                    )
    return found


def table(study: Study) -> str:
    """Returns mean and standard deviation over the members of all cells so far, in markdown."""
    found = cells(study)
    columns = list(dict.fromkeys(column for _, column in found))
    whole = {}  # a row may have learned from the best of the data only
    for (_, column), cell in found.items():
        whole[column] = max(whole.get(column, cell), cell, key=lambda each: len(each.data))
    rows = {
        "random policy": {c: f"{cell.random.mean():.0f}" for c, cell in whole.items()},
        "data": {
            c: f"{cell.data.mean():.0f} (best {cell.data.max():.0f})" for c, cell in whole.items()
        },
    }
    for (row, column), cell in found.items():
        spread = f"{cell.members.mean():.0f} ± {cell.members.std():.0f}"
        rows.setdefault(row, {})[column] = spread
    ordered = ["random policy", "data", *(row for row in study.rows if row in rows)]
    return _markdown(
        ["", *columns], [[row, *(rows[row].get(c, "") for c in columns)] for row in ordered]
    )


def details(study: Study) -> str:
    """Returns a line a cell: statistics of the members, and two counts of all their episodes."""
    header = ["", "data", "n", "mean", "std", "IQM", "of it: 95 % from", "to", "min", "max"]
    header += ["episodes", "above the data's best", "falls"]
    lines = []
    for (row, column), cell in cells(study).items():
        members, best = cell.members, cell.data.max()
        scores = members[:, None]
        numbers = [len(members), members.mean(), members.std(), stats.iqm(scores)]
        numbers += [*stats.interval(stats.iqm, scores), members.min(), members.max()]
        numbers += [cell.episodes.size, (cell.episodes > best).sum()]
        numbers += [(cell.episodes < FALL * best).sum()]
        lines.append([row, column, *(f"{number:.0f}" for number in numbers)])
    return _markdown(header, lines)


def _markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
