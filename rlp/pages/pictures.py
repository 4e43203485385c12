"""Which pictures a page has, and what is said below them."""

import importlib.util
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlp.pages import figures
from rlp.pages.entries import Entry, Section
from rlp.pages.figures import MOST_LINES
from rlp.pages.tables import limits
from rlp.pages.words import number, trials
from rlp.runs.groups import GROUPS, group_of

SLUG = re.compile(r"[^a-zA-Z0-9-]+")  # what no file is called


class Picture(NamedTuple):
    """A picture of a page."""

    place: str  # an environment, or a group of metrics
    name: str
    caption: str
    files: dict[str, bytes]  # by kind: svg, pdf

    def stem(self, number: int) -> str:
        """Returns the name of its files, as the number of a page's pictures."""
        slug = SLUG.sub("_", f"{self.place} {self.name}").strip("_")
        return f"{number:02}_{slug[:80]}"


def drawn(
    sections: Sequence[Section], entries: Sequence[Entry], kinds: Sequence[str]
) -> list[Picture]:
    """Returns all pictures as files of some kinds, none where matplotlib is not installed.

    Args:
        sections: of environments.
        entries: whose metrics are drawn, each once.
        kinds: `svg`, `pdf`.
    """
    if not importlib.util.find_spec("matplotlib"):
        return []  # a machine that only trains may lack it
    with figures.style():
        found = [each for section in sections for each in _of_section(section)]
        found += _of_metrics(entries)
        return [
            Picture(place, name, caption, {kind: figures.saved(figure, kind) for kind in kinds})
            for place, name, caption, figure in found
        ]


def _of_section(section: Section) -> Iterator[tuple[str, str, str, Any]]:
    """Yields place, name, caption and figure of what was earned in an environment."""
    place, ranked = section.env, section.ranked
    if not ranked:
        return
    the_best = f", of the best {MOST_LINES}" if len(ranked) > MOST_LINES else ""
    yield place, "members", "Every member, and the mean of each entry", figures.members(section)
    learned = [each for each in section.entries if each.curve(_return(each)) is not None]
    if learned:
        figure = figures.curves(learned, "return", _return, section.references)
        yield place, "learning curves", f"Returns while learning{the_best}", figure
    caption = f"How often a return is reached{the_best}: a curve further right and up is better"
    yield place, "performance profile", caption, figures.profile(section)
    if len(ranked) > 1:
        yield place, "differences", "Behind the best, by member", figures.differences(section)
        caption = "How often a member of the best earns more than one of the other (bootstrap)"
        yield place, "improvement", caption, figures.improvement(section)
    if section.selection:
        yield place, "selection", trials(section.selection), figures.selection(section.selection)
    judged = [each for each in ranked if each.curve("q") is not None]
    if judged:
        caption = "A high Q of a member that earns little is an overestimate; units are each run's"
        yield place, "Q and returns", caption, figures.q_against_returns(judged)


def _return(entry: Entry) -> str:
    """Returns the metric that has the returns of an entry's evaluations."""
    return f"return{entry.task}"


def _of_metrics(entries: Sequence[Entry]) -> Iterator[tuple[str, str, str, Any]]:
    """Yields group, name, caption and figure of each metric that is no return and changes."""
    for group, names in grouped(entries).items():
        for name in names:
            having = [each for each in entries if each.curve(name) is not None]
            if constant(having, name) is None:
                levels = _bounds(having, name)
                figure = figures.curves(having, name, lambda _, name=name: name, levels)
                yield group, name, name, figure


def grouped(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Returns the names of the metrics that are no returns, by the groups of GROUPS."""
    found: dict[str, list[str]] = {group: [] for group in GROUPS}
    for name in sorted({name for entry in entries for name in entry.curves}):
        if (group := group_of(name)) in found:
            found[group].append(name)
    return found


def constant(entries: Sequence[Entry], name: str) -> float | None:
    """Returns the one value that a metric always has, None if it changes."""
    curves = [found for each in entries if (found := each.curve(name)) is not None]
    values = {value for _, curve in curves for value in curve.ravel().tolist()}
    return values.pop() if len(values) == 1 else None


def _bounds(entries: Sequence[Entry], name: str) -> dict[str, float]:
    """Returns the bounds of a metric that are near its values: one far away would flatten them."""
    curves = [found[1] for each in entries if (found := each.curve(name)) is not None]
    values = np.concatenate([each[np.isfinite(each)] for each in curves])
    if not len(values):
        return {}
    size = values.max() - values.min()
    found = {bound for each in entries for bound in limits(each, name)}
    near = [x for x in sorted(found) if values.min() - size <= x <= values.max() + size]
    return {f"bound {number(bound)}": bound for bound in near}
