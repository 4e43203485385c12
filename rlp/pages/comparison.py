"""Runs side by side: a page with tables and pictures of what they earned and how they were made."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rlp import statistics
from rlp.pages import entries, html, pictures, tables, words
from rlp.pages.entries import Entry, Section
from rlp.pages.html import Html
from rlp.pages.pictures import Picture
from rlp.runs import evaluations
from rlp.runs.groups import GROUPS
from rlp.system import files


class Comparison(NamedTuple):
    """Runs side by side, in a section for each environment."""

    sections: list[Section]
    left_out: list[Path]  # files that are no records of runs

    @property
    def entries(self) -> list[Entry]:
        """The settings of all runs, each once, whatever tasks they have."""
        found = {entry.name: entry for section in self.sections for entry in section.entries}
        return list(found.values())

    @property
    def verdicts(self) -> list[str]:
        """What came out in each environment, in words."""
        return [words.verdict(section) for section in self.sections]

    @property
    def notes(self) -> list[str]:
        """What a reader must know before comparing."""
        return words.notes(self.sections, self.left_out)

    @property
    def title(self) -> str:
        """What the page is called."""
        count = len({entry.run.directory for entry in self.entries})
        return f"{count} runs side by side" if count > 1 else self.entries[0].name

    def _repr_html_(self) -> str:
        """Returns the page as a notebook shows it, in a frame."""
        shown = pictures.drawn(self.sections, self.entries, ("svg",))
        return html.frame(page(self.title, self, shown), self.title)


def compare(paths: Sequence[str | Path]) -> Comparison:
    """Returns runs side by side.

    Args:
        paths: of runs, of records of runs, or of folders with either.

    Raises:
        InputError: if there are none, or one is damaged.
    """
    return Comparison(*entries.read([Path(path) for path in paths]))


def write(comparison: Comparison, directory: Path) -> Path:
    """Writes a new folder: index.html, tables as csv, pictures as svg and pdf.

    Returns:
        The path of the page.

    Raises:
        InputError: if there is something in that place.
    """
    with files.whole_folder(directory) as folder:
        for name, rows in _tables(comparison).items():
            files.write_text(folder / name, _csv(rows))
        shown = pictures.drawn(comparison.sections, comparison.entries, ("svg", "pdf"))
        for number, picture in enumerate(shown, 1):
            for kind, content in picture.files.items():
                with files.whole(folder / "figures" / f"{picture.stem(number)}.{kind}") as file:
                    file.write(content)
        files.write_text(folder / "index.html", page(comparison.title, comparison, shown))
    return directory / "index.html"


def page(
    title: str, comparison: Comparison, shown: Sequence[Picture], more: Iterable[Html] = ()
) -> str:
    """Returns the page.

    Args:
        title: of it.
        comparison: what it is of.
        shown: its pictures.
        more: what is added at the end.
    """
    parts = [html.paragraph(verdict, "verdict") for verdict in comparison.verdicts]
    parts += [html.paragraph(note, "note") for note in comparison.notes]
    if not shown:
        parts.append(html.paragraph("matplotlib is not installed: no pictures.", "note"))
    parts += _searches(comparison.entries)
    for section in comparison.sections:
        if not section.ranked and _are_searched(section.entries):
            continue  # rows of nothing: the trials are above
        parts += [html.heading(section.env or "no environment"), tables.returns(section)]
        parts += _pictures(shown, section.env)
        is_open = len(section.entries) == 1
        parts.append(html.details("Every member", [tables.members(section)], is_open))
    parts += _metrics(comparison.entries, shown)
    parts += _evaluations(comparison.entries)
    parts += [html.heading("Settings that differ"), tables.settings(comparison.entries)]
    parts += [html.heading("Data"), tables.data(comparison.entries)]
    parts += [html.heading("Versions"), tables.versions(comparison.entries)]
    return html.page(title, [*parts, *more])


def _are_searched(found: Sequence[Entry]) -> bool:
    """Returns whether all entries are trials that have been ranked."""
    return all("ranking" in entry.run.record for entry in found)


def _searches(found: Sequence[Entry]) -> list[Html]:
    """Returns the ranking of each run that has searched."""
    rankings = {
        entry.run.directory.resolve().name: entry.run.record["ranking"]
        for entry in found
        if "ranking" in entry.run.record
    }
    return [
        part
        for name, ranking in rankings.items()
        for part in (html.heading(f"Trials of {name}"), tables.trials(ranking))
    ]


def _evaluations(found: Sequence[Entry]) -> list[Html]:
    """Returns what `rlp.evaluate` has found of the runs."""
    runs = {each.run.directory: each.run for each in found if each.run.directory.is_dir()}
    rows = [row for run in runs.values() for row in tables.evaluations(run, evaluations.read(run))]
    header, caption = tables.EVALUATIONS, "Of rlp.evaluate, the newest of each run last."
    return [html.heading("Evaluations"), html.table(header, rows, caption)] if rows else []


def _pictures(shown: Sequence[Picture], place: str) -> list[Html]:
    found = [
        html.picture(each.files["svg"], f"{place} {each.name}", each.caption)
        for each in shown
        if each.place == place
    ]
    return [html.pictures(found)] if found else []


def _metrics(found: Sequence[Entry], shown: Sequence[Picture]) -> list[Html]:
    """Returns the metrics of training in groups, and the diagnostics of critics."""
    parts, names = [], pictures.grouped(found)
    for group in GROUPS:
        judged = [entry for entry in found if entry.curve("q") is not None]
        if names[group]:
            parts.append(html.heading(group))
        if group == "Critics" and judged:
            parts.append(tables.critics(judged))
        parts += _pictures(shown, group)
        values = {name: pictures.constant(found, name) for name in names[group]}
        if same := [f"{k} {v:.6g}" for k, v in values.items() if v is not None]:
            parts.append(html.paragraph(f"Always the same: {', '.join(same)}.", "faint"))
    return parts


def _csv(rows: Iterable[Sequence[object]]) -> str:
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return file.getvalue()


def _tables(comparison: Comparison) -> dict[str, list[Sequence[object]]]:
    """Returns the rows of each csv file, in full precision."""
    table: list[Sequence[object]] = [
        ("environment", "entry", "algorithm", "data", "fingerprint", "members", "diverged", "mean",
         "low", "high", "lowest", "highest", "behind_best", "behind_low", "behind_high",
         "separable", "best_earns_more", "more_low", "more_high", "trials")
    ]  # fmt: skip
    returns: list[Sequence[object]] = [("environment", "entry", "member", "episode", "return")]
    trials: list[Sequence[object]] = [("environment", "trials", "mean", "low", "high")]
    for section in comparison.sections:
        table += _rows(section)
        returns += [
            (section.env, entry.name, label, number, value)
            for entry in section.entries
            for label, episodes in zip(entry.labels, entry.result.episodes, strict=True)
            for number, value in enumerate(episodes.tolist())
        ]
        if found := section.selection:
            columns = (found.trials, found.mean, found.low, found.high)
            trials += [(section.env, *each) for each in zip(*columns, strict=True)]
    return {"table.csv": table, "returns.csv": returns, "selection.csv": trials}


def _rows(section: Section) -> Iterable[Sequence[object]]:
    """Yields a row of table.csv for each entry."""
    others = zip(section.differences, section.improvements, strict=True)
    behind = [[0.0, *[""] * 6], *([*found[:3], found.is_separable, *p] for found, p in others)]
    for number, entry in enumerate(section.entries):
        members = entry.result.members
        data = entry.run.record.get("data", {"name": "", "fingerprint": ""})
        record = (
            section.env,
            entry.name,
            entry.run.record["algo"],
            data["name"],
            data["fingerprint"],
        )
        trials = entry.run.record["settings"].get("trials", 0)
        if not len(members):
            yield (*record, 0, entry.result.num_lost, *[""] * 12, trials)
            continue
        interval = statistics.mean_interval(members)
        limits = members.min(), members.max()
        earned = (len(members), entry.result.num_lost, entry.mean, *interval, *limits)
        yield (*record, *earned, *behind[number], trials)
