"""What is said of runs in words: which is best, by how much, and what cannot be told apart."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rlp import runs, statistics
from rlp.pages.entries import Difference, Entry, Section
from rlp.selection import Selection

MOST_NAMES = 8  # in a sentence


def number(value: float) -> str:
    """Returns a return with three digits or all before the point, nothing of NaN."""
    if np.isnan(value):
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def interval(low: float, high: float) -> str:
    """Returns the limits of an interval, nothing where there is none."""
    return "" if np.isnan(low) else f"{number(low)} to {number(high)}"


def mean(entry: Entry) -> str:
    """Returns the mean of the members and half of its interval, and what it is of."""
    members = entry.result.members
    if len(members) < 2:
        return f"{number(entry.mean)} (one member)"
    low, high = statistics.mean_interval(members)
    return f"{number(entry.mean)} ± {number((high - low) / 2)} ({len(members)} members)"


def verdict(section: Section) -> str:
    """Returns which entry is best, by how much, and which cannot be told apart from it."""
    where = f"{section.env or 'no environment'}: "
    if not section.ranked:
        return f"{where}nothing was evaluated."
    if len(section.ranked) == 1:
        return where + _alone(section.ranked[0])
    best, second = section.ranked[:2]
    near = [
        other.name
        for other, found in zip(section.ranked[1:], section.differences, strict=True)
        if not found.is_separable
    ]
    return (
        f"{where}{best.name} is best, {mean(best)}; "
        f"{difference(section.differences[0])} ahead of {second.name}. "
        f"{_near(section, near)}{_of_each_data(section)}"
    )


def _of_each_data(section: Section) -> str:
    """Returns which entry is best of those that learned from the same data, where there is more."""
    by_data: dict[str, list[Entry]] = defaultdict(list)
    for entry in section.ranked:
        by_data[entry.data].append(entry)
    if len(by_data) == 1:
        return ""
    best = [
        f" Best of {len(of)} from {data}: {of[0].name}." for data, of in by_data.items() if of[1:]
    ]
    return "".join(best)


def difference(found: Difference) -> str:
    """Returns a difference with its interval."""
    if np.isnan(found.low):
        return f"{number(found.mean)} (of one member, so without an interval)"
    return f"{number(found.mean)} (95 %: {interval(found.low, found.high)})"


def _near(section: Section, near: Sequence[str]) -> str:
    if len(section.ranked) == 2:
        return f"The two can{'not' if near else ''} be told apart."
    if not near:
        return "All others are separably behind it."
    if len(near) == len(section.ranked) - 1:
        return "None of the others can be told apart from it."
    return f"Not to be told apart from it: {names(near)}."


def _alone(entry: Entry) -> str:
    """Returns what one entry has earned, against its data and a random policy."""
    result = entry.result
    found = [f"{entry.name} earns {mean(entry)}"]
    if len(result.data):
        level = "below the mean of its data"
        if entry.mean > result.data.mean():
            level = "above the mean of its data"
        if entry.mean > result.best:
            level = "above the best episode of its data"
        found.append(f"{level} (mean {number(result.data.mean())}, best {number(result.best)})")
    if len(result.random):
        found.append(f"a random policy {number(result.random.mean())}")
    return ", ".join(found) + "."


def names(each: Sequence[str]) -> str:
    """Returns names with commas between them, the first few of many."""
    more = f" and {len(each) - MOST_NAMES} more" if len(each) > MOST_NAMES else ""
    return ", ".join(each[:MOST_NAMES]) + more


def notes(sections: Sequence[Section], left_out: Sequence[Path]) -> list[str]:
    """Returns what a reader must know before comparing."""
    found = []
    if len(sections) > 1:
        found.append(
            f"Runs of {len(sections)} environments, whose returns are not comparable: each has a "
            f"section, {', '.join(section.env or 'no environment' for section in sections)}."
        )
    for section in sections:
        if len(data := {entry.data: None for entry in section.entries}) > 1:
            found.append(
                f"{section.env}: these learned from different data, so a difference may be the "
                f"data's and not the algorithm's: {names(list(data))}."
            )
    by_run = {e.run.directory: e for section in sections for e in section.entries}
    found += [said for entry in by_run.values() for said in _of_run(entry)]
    if left_out:
        found.append(f"Left out, as no record of a run: {names(list(map(str, left_out)))}.")
    return found


def _of_run(entry: Entry) -> list[str]:
    """Returns what is to be known of the run of an entry."""
    record, name, found = entry.run.record, entry.run.directory.name, []
    if not entry.result.episodes.size:
        found.append(f"{name} was not evaluated.")
    elif "step" in record:
        count = entry.result.episodes.shape[1]
        found.append(
            f"{name} has not ended: its returns are of step {record['step']:,}, "
            f"{count} episodes a member."
        )
    if count := record["settings"].get("trials"):
        found.append(
            f"{name} is a search of {count} trials: the best of so many looks better than it is."
        )
    if record.get("diverged"):
        found.append(f"{name}, {runs.in_words(record['diverged'])}.")
    return found


def trials(found: Selection) -> str:
    """Returns what a few trial episodes are worth."""
    counts = [each for each in (1, 10, 50, 200) if each <= found.trials[-1]]
    earned = ", ".join(f"{number(found.mean[each - 1])} after {each}" for each in counts)
    return (
        f"Choosing among {found.num_policies} policies by trial episodes (a UCB bandit, "
        f"Unifloral's protocol, {found.num_repeats:,} repetitions): {earned}; one at random earns "
        f"{number(found.random)}, the best {number(found.best)}."
    )
