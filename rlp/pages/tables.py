"""Tables of runs: what they have earned, what differs in how they were made, their critics."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rlp.algos.values import tolerance
from rlp.pages import html
from rlp.pages.entries import Entry, Section
from rlp.pages.html import Html
from rlp.pages.words import interval, names, number
from rlp.runs import Run, ranking, records
from rlp.runs.evaluations import members as of_members
from rlp.statistics import SUMMARY, mean_interval, summary
from rlp.types import NOT_FINITE

ELSEWHERE = (  # what differs by nature, or is said in another place
    "name", "runs", "seed", "num_seeds", "dataset", "env", "preset", "log_every",
    "checkpoint_every",
)  # fmt: skip
EVALUATIONS = (
    "", "environment", "update", "first seed", "episodes", "acting", "members", "mean",
    "95 % interval", "lowest", "highest",
)  # fmt: skip
CAPTION = "Mean of the members, each the mean of its episodes, and Student's 95 % interval."
OF_SEVERAL = """Behind the best: in pairs of members of one seed where both have the same seeds,
else by Welch's interval; what reaches 0 or below is not separable. Each comparison is on its own:
of many, some are wrong by chance."""
OF_CRITICS = """Last values, mean of the members, in units of the critics' rewards. Q is of the
data's actions; gap: how far the soft maximum of Q over actions is above it (CQL's). Bound: what no
sum of the data's rewards is above; to pass it by a fifth, or by 1, is an alarm."""


def returns(section: Section) -> Html:
    """Returns the entries of a section, best first, with the data and a random policy below."""
    several, differs = len(section.ranked) > 1, len({each.data for each in section.entries}) > 1
    header = ["", "members", "mean", "95 % interval", "lowest", "highest", "episodes"]
    header += ["falls or success"]
    header += ["behind the best", "95 % of that", "", "best earns more"] * several
    header += ["learned from"] * differs
    behind = [*_behind(section), *[[""] * 4] * (len(section.entries) - len(section.ranked))]
    rows = [
        [entry.name, *_earned(entry), *of_best * several, *[entry.data] * differs]
        for entry, of_best in zip(section.entries, behind, strict=True)
    ]
    others = {f"data: {name}": result.data for name, result in section.data.items()}
    if random := [each.result.random for each in section.entries if len(each.result.random)]:
        others["random policy"] = random[0]
    padding = [""] * (4 * several + differs)
    rows += [[name, *_of_episodes(values), *padding] for name, values in others.items()]
    caption = f"{CAPTION} {OF_SEVERAL}" if several else CAPTION
    of_text = [len(header) - 1] if differs else []
    return html.table(header, rows, caption, [0] if several else [], of_text)


def _earned(entry: Entry) -> list[str]:
    members, episodes = entry.result.members, entry.result.episodes
    if not len(members):
        return ["0", "diverged" if episodes.size else "not evaluated", *[""] * 5]
    lost = f" ({entry.result.num_lost} diverged)" if entry.result.num_lost else ""
    return [
        f"{len(members)}{lost}", number(entry.mean), interval(*mean_interval(members)),
        number(members.min()), number(members.max()),
        str(len(members) * episodes.shape[1]), entry.result.failures,
    ]  # fmt: skip


def _of_episodes(values: np.ndarray) -> list[str]:
    limits = number(values.min()), number(values.max())
    return ["", number(values.mean()), "", *limits, str(values.size), ""]


def _behind(section: Section) -> list[list[str]]:
    """Returns what is said of each entry with returns against the best."""
    others = zip(section.differences, section.improvements, strict=True)
    return [["", "", "best", ""]] * bool(section.ranked) + [
        [
            number(found.mean),
            interval(found.low, found.high),
            "separable" if found.is_separable else "not separable",
            f"{share:.0%} ({low:.0%} to {high:.0%})",
        ]
        for found, (share, low, high) in others
    ]


def members(section: Section) -> Html:
    """Returns a row for each member, and what its episodes have earned."""
    rows = []
    for entry in section.entries:
        marks = entry.run.record.get("diverged", {})
        for label, episodes in zip(entry.labels, entry.result.episodes, strict=True):
            name = f"{entry.name}, {label.partition(',')[0]}"
            if np.isfinite(episodes).all() and len(episodes):
                cells = [*map(number, summary(episodes)), str(len(episodes))]
            else:
                since = f" from update {marks[label]:,}" if label in marks else ""
                cells = [f"{NOT_FINITE}{since}" if len(episodes) else "not evaluated", *[""] * 5]
            rows.append([name, *cells])
    return html.table(["return of an episode", *SUMMARY, "episodes"], rows)


def trials(found: Mapping[str, Any]) -> Html:
    """Returns the trials of a search, best first, and what they are ranked by."""
    return html.table(*ranking.table(found), ranking.caption(found), best=[0])


def evaluations(run: Run, found: Iterable[Mapping[str, Any]]) -> Iterator[list[str]]:
    """Yields a row of EVALUATIONS for each evaluation, and setting, task or target, of a run."""
    for entry in found:
        kind = "best, " if entry.get("checkpoint") == "best" else ""
        options = ", ".join(f"{k} {v}" for k, v in entry.get("acting", {}).items())
        counts = {len(each) for each in entry["returns"].values() if each}
        episodes = str(entry.get("num_episodes", max(counts, default="")))
        how = entry["env"], f"{kind}{entry['step']:,}", str(entry["first_seed"]), episodes, options
        for name, means in of_members(run, entry).items():
            limits = (means.min(), means.max()) if len(means) else (np.nan, np.nan)
            mean = means.mean() if len(means) else np.nan
            numbers = number(mean), interval(*mean_interval(means)), *map(number, limits)
            yield [run.directory.resolve().name + name, *how, str(len(means)), *numbers]


def settings(entries: Sequence[Entry]) -> Html:
    """Returns the settings in which entries differ; of equal ones there is one column."""
    found = {entry.name: _settings(entry) for entry in entries}
    groups, rows = differing(found)
    if not rows:
        return html.paragraph("All settings are the same.")
    caption = "Of algorithms that have the setting. All settings: config.json of each run."
    return html.table(["", *groups], rows, caption)


def _settings(entry: Entry) -> dict[str, Any]:
    """Returns the settings of an entry by name."""
    record = entry.run.record
    config = record["members"][entry.run.labels.index(entry.labels[0])]["config"]
    found = {"algorithm": record["algo"], **record["settings"], **record.get("schedule", {})}
    return {k: v for k, v in {**found, **config}.items() if k not in ELSEWHERE}


def versions(entries: Sequence[Entry]) -> Html:
    """Returns what entries were made with, where that differs, and below what is the same."""
    found = {}
    for entry in entries:
        record = entry.run.record
        facts = {
            "commit": record.get("git_commit"),
            "machine": record.get("machine"),
            "devices": _counted(record.get("devices")),
        }
        found[entry.name] = {**record.get("versions", {}), **facts}
    groups, rows = differing(found)
    varying, first = {row[0] for row in rows}, next(iter(found.values()))
    same = [f"{k} {v}" for k, v in first.items() if k not in varying and v]
    parts = [html.paragraph(f"The same of all: {', '.join(same)}.")] if same else []
    parts += [html.table(["", *groups], rows)] if rows else []
    commands = {e.run.directory.name: str(e.run.record.get("command", "")) for e in entries}
    listed = "\n".join(f"{name}: {command}" for name, command in commands.items() if command)
    parts += [html.details("commands", [html.code(listed)])] if listed else []
    return Html("\n".join(parts))


def _counted(devices: Any) -> str:
    """Returns `5 x cpu` of a list of devices."""
    if not isinstance(devices, list) or not devices:
        return ""
    return f"{len(devices)} x {devices[0]}"


def differing(
    found: Mapping[str, Mapping[str, Any]],
) -> tuple[list[str], list[list[str]]]:
    """Returns the names of those that are equal, and a row for each fact in which others differ.

    A fact that one does not have is not compared.
    """
    facts = dict.fromkeys(fact for each in found.values() for fact in each)
    values = {
        fact: [str(each[fact]) if fact in each else "" for each in found.values()] for fact in facts
    }
    varying = {k: v for k, v in values.items() if len(set(v) - {""}) > 1}
    columns: dict[tuple[str, ...], list[str]] = {}
    for number_, name in enumerate(found):
        column = tuple(each[number_] for each in varying.values())
        columns.setdefault(column, []).append(name)
    rows = [[fact, *cells] for fact, cells in zip(varying, zip(*columns, strict=True), strict=True)]
    return [names(group) for group in columns.values()], rows


def data(entries: Sequence[Entry]) -> Html:
    """Returns the data sets: what the returns of their episodes are, and who learned from them."""
    by_fingerprint: dict[str, tuple[Mapping[str, Any], list[str]]] = {}
    for entry in entries:
        if of := entry.run.record.get("data"):
            by_fingerprint.setdefault(of["fingerprint"], (of, []))[1].append(entry.name)
    rows = []
    for fingerprint, (of, users) in by_fingerprint.items():
        values = np.array(of["returns"], float)
        numbers = [*map(number, summary(values))] if len(values) else [""] * len(SUMMARY)
        rows.append([of["name"], fingerprint[:8], str(len(values)), *numbers, names(users)])
    if not rows:
        return html.paragraph("No logged data.")
    header = ["data", "fingerprint", "episodes", *SUMMARY, "learned from by"]
    return html.table(header, rows, "Returns of the episodes.", of_text=[len(header) - 1])


def critics(entries: Iterable[Entry]) -> Html:
    """Returns the last values of the critics, their bounds, and where they were passed."""
    rows = []
    for entry in entries:
        last = {
            name: np.nan if (found := entry.curve(name)) is None else float(found[1][:, -1].mean())
            for name in ("q", "min_q", "max_q", "gap")
        }
        _, bound = limits(entry, "max_q")
        rows.append([entry.name, *map(number, last.values()), number(bound), alarms(entry)])
    header = ["", "Q", "lowest Q", "highest Q", "gap", "bound", "alarms"]
    return html.table(header, rows, OF_CRITICS, of_text=[len(header) - 1])


def limits(entry: Entry, metric: str) -> tuple[float, float]:
    """Returns the lowest and highest value that a metric may have in all members, NaN for none."""
    members = dict(zip(entry.run.labels, entry.run.record["members"], strict=True))
    pairs = [records.bounds(members[label].get("limits", {}).get(metric)) for label in entry.labels]
    lows, highs = zip(*pairs, strict=True)
    return (
        min((each for each in lows if each is not None), default=np.nan),
        max((each for each in highs if each is not None), default=np.nan),
    )


def alarms(entry: Entry) -> str:
    """Returns which bounds were passed, and from which step on."""
    found = []
    for metric in entry.curves:
        curve = entry.curve(metric)
        assert curve is not None
        steps, values = curve
        low, high = limits(entry, metric)
        slack = float(tolerance(low, high))
        for is_beyond, said in ((values > high + slack, "above"), (values < low - slack, "below")):
            if is_beyond.any():
                first = int(steps[is_beyond.any(axis=0)][0])
                count = f"{is_beyond.any(axis=1).sum()} of {len(values)}"
                found.append(f"{metric} far {said} its bound from step {first:,} in {count}")
    return "; ".join(found) or "none"
