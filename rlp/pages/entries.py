"""The entries of a comparison: settings of runs, ranked by their returns on a task.

A run with a sweep has an entry for each setting. A run of several tasks has an entry in the section
of each task.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlp import statistics
from rlp.errors import InputError
from rlp.runs import Curves, Run, results
from rlp.runs.results import Result
from rlp.selection import Selection, select
from rlp.system.files import read_json


def short(name: str, most: int = 36) -> str:
    """Returns a name, without its middle if it is long."""
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-most // 2 :]}"


class Difference(NamedTuple):
    """How much more the best entry earns than another."""

    mean: float
    low: float  # lower end of the 95 % interval, NaN if either entry has a single member
    high: float  # upper end
    is_paired: bool  # members with the same seed are compared

    @property
    def is_separable(self) -> bool:
        """Whether the interval shows that the best is better."""
        return self.low > 0


class Entry(NamedTuple):
    """A setting of a run on one task: a row in tables and a line in pictures."""

    name: str
    run: Run  # its record has the returns
    labels: list[str]  # of its members
    task: str  # the run's suffix of names for the task
    env: str
    curves: Curves  # of all members of the run; empty for a record
    result: Result

    @property
    def mean(self) -> float:
        """The mean over its members, NaN if none has a return."""
        members = self.result.members
        return float(members.mean()) if len(members) else np.nan

    @property
    def seeds(self) -> np.ndarray:
        """The seeds of the members that have a return."""
        seeds = dict(zip(self.run.labels, self.run.seeds, strict=True))
        return np.array([seeds[label] for label in self.labels])[self.result.is_finite]

    @property
    def data(self) -> str:
        """The data it learned from: its name, and the first digits of its fingerprint."""
        data = self.run.record.get("data")
        return f"{short(data['name'])} ({data['fingerprint'][:8]})" if data else "none"

    def curve(self, metric: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Returns the steps [T] and values [M, T] of a metric of its members, None if missing."""
        if metric not in self.curves:
            return None
        points = np.array([self.curves[metric][label] for label in self.labels], float)  # [M, T, 2]
        return points[0, :, 0], points[..., 1]


def difference(best: Entry, other: Entry) -> Difference:
    """Returns how much more the best earns than another, paired if both have the same seeds.

    Members with the same seed are evaluated in the same initial states, and see the same batches of
    the same data.
    """
    ours, theirs = best.result.members, other.result.members
    if sorted(best.seeds) == sorted(other.seeds):
        found = ours[np.argsort(best.seeds)] - theirs[np.argsort(other.seeds)]
        return Difference(float(found.mean()), *statistics.mean_interval(found), True)
    interval = statistics.difference_interval(ours, theirs)
    return Difference(float(ours.mean() - theirs.mean()), *interval, False)


class Section:
    """The entries of one environment, best first; entries without a return come last."""

    def __init__(self, env: str, entries: Iterable[Entry]) -> None:
        self.env = env
        self.entries = sorted(entries, key=lambda each: (np.isnan(each.mean), -each.mean))

    @property
    def ranked(self) -> list[Entry]:
        """The entries that have returns."""
        return [entry for entry in self.entries if len(entry.result.members)]

    @cached_property
    def differences(self) -> list[Difference]:
        """How much more the best earns than each of the others, in their order."""
        return [difference(self.ranked[0], other) for other in self.ranked[1:]]

    @cached_property
    def improvements(self) -> list[tuple[float, float, float]]:
        """The probability that a member of the best earns more than a member of each other entry.

        Each comes with its bootstrap interval.
        """
        statistic = statistics.probability_of_improvement
        pairs = [(self.ranked[0].result.members, e.result.members) for e in self.ranked[1:]]
        columns = [(x[:, None], y[:, None]) for x, y in pairs]
        return [(statistic(*pair), *statistics.interval(statistic, *pair)) for pair in columns]

    @property
    def data(self) -> dict[str, Result]:
        """For each data set, a result that has its returns."""
        return {each.data: each.result for each in self.entries if len(each.result.data)}

    @property
    def references(self) -> dict[str, float]:
        """The levels drawn in pictures of returns, if all entries learned from the same data."""
        if len(self.data) != 1:
            return {}
        (of,) = self.data.values()
        return {"the data's mean": float(of.data.mean()), "its best episode": of.best}

    @property
    def policies(self) -> list[np.ndarray]:
        """The returns of every member that has any."""
        return [row for each in self.ranked for row in each.result.episodes[each.result.is_finite]]

    @cached_property
    def selection(self) -> Selection | None:
        """The result of choosing a member by trial episodes, None if there is only one member."""
        return select(self.policies) if len(self.policies) > 1 else None


def read(paths: Sequence[Path]) -> tuple[list[Section], list[Path]]:
    """Returns a section for each environment of the runs at paths, and the files left out.

    Args:
        paths: of runs, of records of runs, or of folders with either.

    Raises:
        InputError: if there is no run, or one is damaged.
    """
    found, left_out = [], []
    for path in paths:
        if path.is_dir() and not (path / "config.json").exists():
            inside = _inside(path)
            left_out += [each for each in inside if not _is_run(each)]
            found += [each for each in inside if _is_run(each)]
        else:
            found.append(path)
    if not found:
        raise InputError(f"{', '.join(map(str, paths))}: no run and no record of one in it")
    if twice := [path for path, count in Counter(map(Path.resolve, found)).items() if count > 1]:
        raise InputError(f"{twice[0]} is given twice")
    by_env: dict[str, list[Entry]] = defaultdict(list)
    for name, path in zip(_names(found), found, strict=True):
        for entry in entries(name, results.load(path)):
            by_env[entry.env].append(entry)
    return [Section(env, of_env) for env, of_env in by_env.items()], left_out


def entries(name: str, run: Run) -> list[Entry]:
    """Returns an entry for each setting and task of a run read by `results.load`."""
    curves = run.curves() if (run.directory / "metrics.jsonl").is_file() else {}
    envs = run.record["env"].split("+")
    return [
        Entry(name + setting, run, labels, task, env, curves, results.of(run, labels, task))
        for task, env in zip(run.tasks, envs, strict=True)
        for setting, labels in run.settings.items()
    ]


def _inside(folder: Path) -> list[Path]:
    """Returns the runs, or else the json files, in a folder that is not a run."""
    runs = [each.parent for each in folder.glob("*/config.json")]
    return sorted(runs or folder.glob("*.json"))


def _is_run(path: Path) -> bool:
    """Returns whether a path may be a run or its record; other kinds of record have no members."""
    if path.is_dir():
        return True
    record = read_json(path)
    return isinstance(record, dict) and {"members", "returns"} <= record.keys()


def _names(paths: Sequence[Path]) -> list[str]:
    """Returns the name of each run: its folder's or file's, or its path if names are not unique."""
    names = [path.resolve().name.removesuffix(".json") for path in paths]
    return names if len(set(names)) == len(names) else list(map(str, paths))
