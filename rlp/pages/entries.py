"""What is compared: settings of runs by what they have earned on a task, best first.

A run that sweeps has an entry for each setting, a run of several tasks one in the section of each.
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
    """Returns a name, without its middle where it is long."""
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-most // 2 :]}"


class Difference(NamedTuple):
    """What the best earns beyond another."""

    mean: float
    low: float  # of its 95 % interval, NaN where one of them is a single member
    high: float
    is_paired: bool  # between members of one seed

    @property
    def is_separable(self) -> bool:
        """Whether the interval says that the best is better."""
        return self.low > 0


class Entry(NamedTuple):
    """A setting of a run on one task: what has a row in a table and a line in a picture."""

    name: str
    run: Run  # its record has the returns
    labels: list[str]  # of its members
    task: str  # what stands behind a name for the task, in the run
    env: str
    curves: Curves  # of all members of the run; none of a record
    result: Result

    @property
    def mean(self) -> float:
        """The mean of its members, NaN where none has a return."""
        members = self.result.members
        return float(members.mean()) if len(members) else np.nan

    @property
    def seeds(self) -> np.ndarray:
        """Those of the members that have a return."""
        seeds = dict(zip(self.run.labels, self.run.seeds, strict=True))
        return np.array([seeds[label] for label in self.labels])[self.result.is_finite]

    @property
    def data(self) -> str:
        """What it learned from: the name, and the first digits of the fingerprint."""
        data = self.run.record.get("data")
        return f"{short(data['name'])} ({data['fingerprint'][:8]})" if data else "none"

    def curve(self, metric: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Returns the steps [T] and values [M, T] of a metric of its members, None without any."""
        if metric not in self.curves:
            return None
        points = np.array([self.curves[metric][label] for label in self.labels], float)  # [M, T, 2]
        return points[0, :, 0], points[..., 1]


def difference(best: Entry, other: Entry) -> Difference:
    """Returns what the best earns beyond another: paired where both have the same seeds.

    Members of one seed are evaluated in the same initial states, and see the same batches of the
    same data.
    """
    ours, theirs = best.result.members, other.result.members
    if sorted(best.seeds) == sorted(other.seeds):
        found = ours[np.argsort(best.seeds)] - theirs[np.argsort(other.seeds)]
        return Difference(float(found.mean()), *statistics.mean_interval(found), True)
    interval = statistics.difference_interval(ours, theirs)
    return Difference(float(ours.mean() - theirs.mean()), *interval, False)


class Section:
    """The entries of one environment, best first; those without a return are last."""

    def __init__(self, env: str, entries: Iterable[Entry]) -> None:
        self.env = env
        self.entries = sorted(entries, key=lambda each: (np.isnan(each.mean), -each.mean))

    @property
    def ranked(self) -> list[Entry]:
        """The entries that have returns."""
        return [entry for entry in self.entries if len(entry.result.members)]

    @cached_property
    def differences(self) -> list[Difference]:
        """What the best earns beyond each other, in their order."""
        return [difference(self.ranked[0], other) for other in self.ranked[1:]]

    @cached_property
    def improvements(self) -> list[tuple[float, float, float]]:
        """How probable it is that a member of the best earns more than one of each other.

        With its interval, which is the bootstrap's.
        """
        statistic = statistics.probability_of_improvement
        pairs = [(self.ranked[0].result.members, e.result.members) for e in self.ranked[1:]]
        columns = [(x[:, None], y[:, None]) for x, y in pairs]
        return [(statistic(*pair), *statistics.interval(statistic, *pair)) for pair in columns]

    @property
    def data(self) -> dict[str, Result]:
        """A result with the returns of each data set."""
        return {each.data: each.result for each in self.entries if len(each.result.data)}

    @property
    def references(self) -> dict[str, float]:
        """What returns are compared with in a picture, where all learned from the same data."""
        if len(self.data) != 1:
            return {}
        (of,) = self.data.values()
        return {"the data's mean": float(of.data.mean()), "its best episode": of.best}

    @property
    def policies(self) -> list[np.ndarray]:
        """The returns of every member that has some."""
        return [row for each in self.ranked for row in each.result.episodes[each.result.is_finite]]

    @cached_property
    def selection(self) -> Selection | None:
        """What choosing among the members by trial episodes earns, None where there is one."""
        return select(self.policies) if len(self.policies) > 1 else None


def read(paths: Sequence[Path]) -> tuple[list[Section], list[Path]]:
    """Returns a section for each environment of the runs at paths, and the files left out.

    Args:
        paths: of runs, of records of runs, or of folders with either.

    Raises:
        InputError: if there are none, or one is damaged.
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
    """Returns an entry for each setting and task of a run that `results.load` has read."""
    curves = run.curves() if (run.directory / "metrics.jsonl").is_file() else {}
    envs = run.record["env"].split("+")
    return [
        Entry(name + setting, run, labels, task, env, curves, results.of(run, labels, task))
        for task, env in zip(run.tasks, envs, strict=True)
        for setting, labels in run.settings.items()
    ]


def _inside(folder: Path) -> list[Path]:
    """Returns the runs and json files in a folder that is no run."""
    runs = [each.parent for each in folder.glob("*/config.json")]
    return sorted(runs or folder.glob("*.json"))


def _is_run(path: Path) -> bool:
    """Returns whether a path may be a run or its record; another kind of record has no members."""
    if path.is_dir():
        return True
    record = read_json(path)
    return isinstance(record, dict) and {"members", "returns"} <= record.keys()


def _names(paths: Sequence[Path]) -> list[str]:
    """Returns the name of each run: that of its folder or file, or its path if two are the same."""
    names = [path.resolve().name.removesuffix(".json") for path in paths]
    return names if len(set(names)) == len(names) else list(map(str, paths))
