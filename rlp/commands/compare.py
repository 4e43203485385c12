"""Compares runs on a page: `python -m rlp.compare runs/*`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rlp import algos, cli
from rlp.cli.tables import ScreenTable
from rlp.cli.terminal import console
from rlp.errors import InputError
from rlp.pages import comparison, words
from rlp.pages.words import interval, number
from rlp.statistics import mean_interval


@dataclass(frozen=True)
class Settings:
    """The comparison."""

    runs: tuple[str, ...]  # folders of runs, or of a study's records; or a record, a json file
    out: str = "comparison"  # a new folder: index.html, csv, pictures as svg and pdf
    algo: str = ""  # module of the runs' algorithm, if it is your own


def compare_runs(given: cli.Given) -> None:
    """Compares runs: prints which is best, and writes the page."""
    settings = cli.parse(Settings, given)
    if settings.algo:
        algos.load(settings.algo)
    out = Path(settings.out)
    if out.exists():
        raise InputError(f"--out={out}: exists; choose a new folder")
    found = comparison.compare(settings.runs)
    for section, verdict in zip(found.sections, found.verdicts, strict=True):
        console().print(f"\n{verdict}")
        table = ScreenTable(["", "members", "mean", "95 % interval", "behind the best"])
        behind = ["", *map(words.difference, section.differences)]
        for entry, difference in zip(section.ranked, behind, strict=True):
            members = entry.result.members
            cells = number(entry.mean), interval(*mean_interval(members)), difference
            table.add_row(entry.name, str(len(members)), *cells)
        if section.ranked:
            console().print(table)
    for note in found.notes:
        console(stderr=True).print(f"note: {note}")
    console().print(f"written to {comparison.write(found, out)}")


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    doc = "Compares runs by their returns: a page, csv and pictures."
    cli.main("python -m rlp.compare", cli.Command(compare_runs, (Settings,), doc), argv)


if __name__ == "__main__":
    main()
