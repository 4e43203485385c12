"""A study: tables of algorithms by data sets, with the seeds of a cell as one population.

A cell is a run of `rlp.train` in RUNS/STUDY/ROW_SET; an interrupted run is resumed. As soon as it
is done, its record, with the return of every episode after the last update, is written to
RESULTS/ROW_SET.json. A cell with a record is not run again; if its settings have changed since, the
study reports that. RESULTS/README.md has the tables of all records, and RESULTS/returns.png a
picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from rlp import cli, config, runs, statistics
from rlp.cli import tables
from rlp.commands.train import train, values_of
from rlp.errors import InputError
from rlp.pages.figures import draw_members
from rlp.runs import results
from rlp.runs.results import Result, percent
from rlp.system import files
from rlp.training import start
from rlp.training.offline import Schedule

LEGEND = """Each member is one value, the mean of its episodes; n is the number of members. ± is
half of Student's 95 % interval of their mean (from the standard error, with n - 1 degrees of
freedom). A fall is an episode with less than a fifth of the return of the data's best: a walker on
the ground."""
SUCCESS = "The environment reports which episodes were a success; the share is over all episodes."

Rows = Mapping[str, tuple[str, Mapping[str, str]]]  # name -> algorithm and its flags
ALGORITHMS: Rows = {  # light presets: 5 seeds take about half an hour on 2 cores
    "bc": ("bc", {}),
    "bc-10%": ("bc", {"top_fraction": "0.1"}),
    "td3bc": ("td3bc", {}),
    "iql": ("iql", {}),
    "rebrac": ("rebrac", {}),
    "rebrac-far": ("rebrac", {"actor_penalty": "0.01"}),  # for data with all kinds of episodes
    "cqlsac": ("cqlsac", {}),
    # clones more, but only actions that its critics prefer; targets follow four times as fast
    "cqlsac-filter": ("cqlsac", {"q_filter": "True", "actor_bc": "1.5", "tau": "0.02"}),
    "dt": ("dt", {}),
}


class Study(NamedTuple):
    """The cells to run, and the place of the results."""

    results: Path
    rows: Rows
    sets: Mapping[str, str]  # name -> data set
    num_seeds: int
    pairs: Mapping[str, str] = MappingProxyType({})  # row -> row to compare it with
    decimals: int = 0  # of returns in the tables


@dataclass(frozen=True)
class Settings:
    """The cells."""

    rows: str = ""  # which, separated by commas (default: all)
    sets: str = ""  # on which data sets, separated by commas (default: all)
    runs: str = "runs"  # folder of the runs
    quiet: bool = False  # print only the results


def main(prog: str, doc: str, study: Study, argv: Sequence[str] | None = None) -> None:
    """The command line of a study: runs the missing cells, and writes all results.

    Args:
        prog: the command.
        doc: the study's description; its first line is the title of the help and of the page.
        study: the study.
        argv: the flags (None: the process's).
    """

    def of_flags(given: cli.Given) -> None:
        run(study, doc, cli.parse(Settings, given))

    cli.main(prog, cli.Command(of_flags, (Settings,), doc.splitlines()[0]), argv)


def run(study: Study, doc: str, settings: Settings) -> None:
    """Runs the missing cells, and writes all results as tables and a picture."""
    for name in cli.chosen("sets", settings.sets or ",".join(study.sets), study.sets):
        for row in cli.chosen("rows", settings.rows or ",".join(study.rows), study.rows):
            if not record_of(study, row, name).exists():
                _run_cell(study, row, name, settings)
                _write_page(study, doc)  # the next may be interrupted
            elif changed := changes(study, row, name):
                record = record_of(study, row, name)
                print(f"{record}: {'; '.join(changed)}. Delete it to run the cell anew")
    _write_page(study, doc)
    print(f"{table(study)}\n\n{details(study)}")
    if study.pairs:
        print(f"\n{differences(study)}")


def changes(study: Study, row: str, name: str) -> list[str]:
    """Returns how the settings of a cell differ from those of its record, in words."""
    path = record_of(study, row, name)
    return _changes(study, row, name, results.load(path)) if path.exists() else []


def _changes(study: Study, row: str, name: str, run: runs.Run) -> list[str]:
    """Returns how the settings of a cell differ from those of a run."""
    given = _given(study, row, name)
    algo_name, _ = study.rows[row]
    settings, configs = start.choose(algo_name, values_of(algo_name, given))
    schedule = asdict(cli.parse(Schedule, given))
    was = {**run.record.get("schedule", {}), **run.record["settings"]}
    was |= config.to_dict(run.configs[0])
    now = {**schedule, **asdict(settings), **config.to_dict(configs[0])}
    elsewhere = ("name", "runs", "batch_devices", "preset")  # hyperparameters show the preset
    compared = [k for k in now if k in was and k not in elsewhere]
    return [f"{k} was {was[k]}, is {now[k]}" for k in compared if was[k] != now[k]]


def _given(study: Study, row: str, name: str) -> dict[str, str]:
    """Returns the flags of a cell's run."""
    _, flags = study.rows[row]
    return {"dataset": study.sets[name], "num_seeds": str(study.num_seeds), **flags}


def _run_cell(study: Study, row: str, name: str, settings: Settings) -> None:
    record = record_of(study, row, name)
    directory = Path(settings.runs) / study.results.name / record.stem
    given = {
        **_given(study, row, name),
        "runs": str(directory.parent),
        "name": directory.name,
        "quiet": str(settings.quiet),
    }
    if directory.exists():
        if changed := _changes(study, row, name, runs.load(directory)):
            raise InputError(
                f"{directory}: {'; '.join(changed)}. Delete it to run the cell from the start"
            )
        given["resume"] = str(directory)
    algo_name, _ = study.rows[row]
    train(algo_name, given)
    files.write_json(record, files.read_json(directory / "result.json"))


def record_of(study: Study, row: str, name: str) -> Path:
    """Returns the place of a cell's record; without its ending, it is the name of the run."""
    return study.results / f"{row}_{name.replace('/', '_')}.json"


def _write_page(study: Study, doc: str) -> None:
    files.write_text(study.results / "README.md", page(study, doc))
    with files.whole(study.results / "returns.png") as file:
        picture(study).savefig(file, dpi=120)


def cells(study: Study) -> dict[str, dict[str, Result]]:
    """Returns all results so far, by column (a data set or one of its tasks) and row."""
    found: dict[str, dict[str, Result]] = {}
    for name in study.sets:
        for row in study.rows:
            if (path := record_of(study, row, name)).exists():
                run = results.load(path)
                for task in run.tasks:
                    cell = results.of(run, run.labels, task)
                    if not (len(cell.data) and len(cell.random) and cell.episodes.size):
                        raise InputError(
                            f"{run.directory}, returns: no data, random policy or members"
                        )
                    found.setdefault(name + task, {})[row] = cell._replace(decimals=study.decimals)
    return found


def page(study: Study, doc: str) -> str:
    """Returns the description `doc` of the study and all results so far, in markdown."""
    title, _, text = doc.partition("\n")
    parts = [
        f"# {title.rstrip('.')}",
        text.strip("\n"),
        "![returns of all cells](returns.png)",
        table(study),
    ]
    says = any(cell.success is not None for of in cells(study).values() for cell in of.values())
    parts += [LEGEND, *[SUCCESS] * says, details(study)]
    parts += ["Differences between members of one seed:", differences(study)] * bool(study.pairs)
    return "\n\n".join(parts) + "\n"


def table(study: Study) -> str:
    """Returns the mean over the members of each cell, its interval, and falls, in markdown."""
    found = cells(study)
    lines = [["random policy"], ["data"], *([row] for row in _rows(study, found))]
    for column in found.values():
        whole = _of_whole_data(column)
        texts = {row: cell.text for row, cell in column.items()}
        texts["random policy"] = whole.number(whole.random.mean())
        texts["data"] = f"{whole.number(whole.data.mean())} (best {whole.number(whole.data.max())})"
        for line in lines:
            line.append(texts.get(line[0], ""))
    return tables.markdown(["", *found], lines)


def details(study: Study) -> str:
    """Returns a line per cell: statistics of the members, and of all their episodes."""
    header = ["", "data", "n", "mean", "standard error", "95 % from", "to", "min", "max"]
    header += ["episodes", "their median", "falls", "above the data's best"]
    lines = []
    for name, column in cells(study).items():
        for row, cell in column.items():
            members, episodes = cell.members, cell.episodes[cell.is_finite]
            if not len(members):
                lines.append([row, name, "0", *[""] * (len(header) - 3)])
                continue
            error = statistics.summary(members)[1] / np.sqrt(len(members))
            numbers = [members.mean(), error, *statistics.mean_interval(members)]
            numbers += [members.min(), members.max()]
            texts = [str(len(members)), *map(cell.number, numbers), str(episodes.size)]
            shares = [cell.falls, (episodes > cell.data.max()).mean()]
            median = cell.number(float(np.median(episodes)))
            lines.append([row, name, *texts, median, *map(percent, shares)])
    return tables.markdown(header, lines)


def differences(study: Study) -> str:
    """Returns a line for each pair of cells: how much more the first's members earn.

    Members with the same seed are compared: they see the same batches and initial states.
    """
    header = ["", "less", "data", "n", "difference", "95 % from", "to", "of the latter's mean"]
    lines = []
    for name, column in cells(study).items():
        for row, other in study.pairs.items():
            if row in column and other in column:
                left, right = (column[each] for each in (row, other))
                both = left.is_finite & right.is_finite
                ours, theirs = (cell.episodes.mean(axis=1)[both] for cell in (left, right))
                found = ours - theirs
                numbers = [found.mean(), *statistics.mean_interval(found)]
                share = percent(found.mean() / theirs.mean())
                texts = [str(len(found)), *map(left.number, numbers)]
                lines.append([row, other, name, *texts, share])
    return tables.markdown(header, lines)


def picture(study: Study) -> Any:
    """Returns a figure with a panel per column: members of all rows and intervals of means."""
    from matplotlib.figure import Figure  # imported late: it takes a second

    found = cells(study)
    rows = _rows(study, found)
    figure = Figure(figsize=(1 + 3 * len(found), 1.5 + 0.35 * len(rows)), layout="constrained")
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for axes, (name, column) in zip(panels, found.items(), strict=True):
        for row, cell in column.items():
            if len(cell.members):
                draw_members(axes, rows.index(row), cell)
        returns = _of_whole_data(column).data
        axes.axvline(returns.mean(), color="grey", linestyle="--", label="the data's mean")
        axes.axvline(returns.max(), color="grey", linestyle=":", label="its best episode")
        axes.set_title(name)
        lowest = min((cell.members.min(initial=0) for cell in column.values()), default=0)
        axes.set_xlim(left=1.05 * lowest)
        axes.grid(alpha=0.3)
    panels[0].set_yticks(range(len(rows)), rows)
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    handles, labels = panels[0].get_legend_handles_labels()
    shown = dict(zip(labels, handles, strict=True))
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=len(found) + 1)
    return figure


def _rows(study: Study, found: Mapping[str, Mapping[str, Result]]) -> list[str]:
    """Returns the rows that have results, in order."""
    return [row for row in study.rows if any(row in column for column in found.values())]


def _of_whole_data(column: Mapping[str, Result]) -> Result:
    """Returns a cell with all data of a column; some cells learn only from the best part."""
    return max(column.values(), key=lambda cell: len(cell.data))
