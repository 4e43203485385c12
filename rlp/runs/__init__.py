"""The directory of a run: what is in it, and how it is written and read again.

config.json      command, settings, members, data and its fingerprint, versions, devices
lock             held by the process that writes here
data.npz         what it learns from, where that was made in Python
metrics.jsonl    one line a log point and member
returns.json     every evaluation: step, member, each episode's return
checkpoints/     the states of all members (Orbax)
best/            the states of each at its best, where that is asked for
events/          TensorBoard
report.html      what came out, as a page with its pictures inside
"""

import itertools
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from rlp import envs
from rlp.algos import ALGOS
from rlp.config import from_dict
from rlp.envs import Bounds
from rlp.errors import InputError
from rlp.runs import provenance, ranking, records
from rlp.runs.ranking import METRICS, Criterion, Trial
from rlp.system.devices import is_first
from rlp.system.files import check_plain, read_json, read_objects, write_json
from rlp.types import NEVER, NOT_FINITE, Algo, Precision, Spec
from rlp.version import __version__

T = TypeVar("T")
Curves = dict[str, dict[str, list[tuple[int, float]]]]  # metric -> member -> [(step, value)]
LAYOUT = 2  # of the directory; another one is refused


@dataclass(frozen=True)
class Run:
    """A run's directory and the record in its config.json."""

    directory: Path
    record: Mapping[str, Any]

    def __repr__(self) -> str:
        """Returns what it is in a line."""
        return f"<Run {self.directory}: {self.record['algo']}, {self.size}>"

    @property
    def algo(self) -> Algo:
        """The algorithm that is trained."""
        return ALGOS[self.record["algo"]]

    @property
    def configs(self) -> list[Any]:
        """The setting of every member."""
        return [from_dict(self.algo.Config, member["config"]) for member in self.record["members"]]

    @property
    def seeds(self) -> list[int]:
        """The seed of every member."""
        return [member["seed"] for member in self.record["members"]]

    @property
    def spec(self) -> Spec:
        """The sizes that its networks were built with."""
        return records.read(Spec, self.record["spec"], "spec")

    @property
    def action_bounds(self) -> Bounds | None:
        """The environment's actions that are -1 and 1 to the policy; None: lowest and highest."""
        bounds = self.record.get("action_bounds")
        return bounds and Bounds(*(np.array(bounds[name]) for name in Bounds._fields))

    @property
    def units(self) -> Bounds | None:
        """The environment's actions that are -1 and 1 to the policy, where they are known."""
        if self.action_bounds or self.spec.action.kind == "discrete" or not self.record["env"]:
            return self.action_bounds
        space = envs.action_space(self.record["env"])
        return space if isinstance(space, Bounds) else None

    @property
    def origin(self) -> np.ndarray:
        """What is subtracted from observations before they become float32, [O]."""
        return np.array(self.record.get("origin") or [0.0] * self.spec.observation_dim)

    @property
    def varying(self) -> list[str]:
        """The hyperparameters that are not the same in all members."""
        members = self.record["members"]
        first = members[0]["config"]
        return [k for k in first if any(m["config"].get(k) != first[k] for m in members)]

    @property
    def labels(self) -> list[str]:
        """A name for each member: its seed and the hyperparameters that vary."""
        members, varying = self.record["members"], self.varying
        return [
            ",".join([f"seed={m['seed']}", *(f"{k}={m['config'].get(k)}" for k in varying)])
            for m in members
        ]

    @property
    def size(self) -> str:
        """How many members there are, in words."""
        count = len(self.seeds)
        return f"{count} members in one program" if count > 1 else "1 member"

    @property
    def tasks(self) -> list[str]:
        """What stands behind a name for each task: nothing where there is only one."""
        names = self.record["env"].split("+")
        return [f" {name}" for name in names] if len(names) > 1 else [""]

    @property
    def target_returns(self) -> list[float]:
        """The return of each task that policies aim for in evaluations, where they aim for one."""
        return self.record.get("target_returns", [0.0] * len(self.tasks))

    def by_task(self, name: str, returns: np.ndarray) -> dict[str, np.ndarray]:
        """Returns a name's returns [N], whose tasks take turns, under a name for each task."""
        return {name + task: returns[i :: len(self.tasks)] for i, task in enumerate(self.tasks)}

    def by_member(self, returns: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the members' returns [M, N] under a name for each member and task."""
        rows = zip(self.labels, returns, strict=True)
        return {k: v for label, each in rows for k, v in self.by_task(label, each).items()}

    @property
    def settings(self) -> dict[str, list[str]]:
        """The labels of each setting's members, by what stands behind a name for the setting.

        That is nothing where there is only one.
        """
        settings: dict[str, list[str]] = defaultdict(list)
        for label in self.labels:
            varying = label.partition(",")[2]
            settings[f" {varying}".rstrip()].append(label)
        return settings

    def over_members(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the means [members] of the rows that `by_member` made, by setting and task.

        Members without a return are left out.
        """
        found = {
            setting + task: np.array([rows[name].mean() for name in names if name in rows])
            for task in self.tasks
            for setting, labels in self.settings.items()
            if (names := [label + task for label in labels]) and any(n in rows for n in names)
        }
        return {name: means[~np.isnan(means)] for name, means in found.items()}

    def diverged(self, firsts: np.ndarray) -> dict[str, int]:
        """Returns the members that are over, and the update that ended each, of `firsts` [M]."""
        marks = zip(self.labels, firsts.tolist(), strict=True)
        return {label: first for label, first in marks if first != NEVER}

    def doubt(self, target_return: float) -> str:
        """Returns what to warn of a return to aim for, "" where it is near the data's."""
        returns = self.record["data"]["returns"] or [target_return]
        low, high = min(returns), max(returns)
        if low - (high - low) <= target_return <= high + (high - low):
            return ""
        return (
            f"a target return of {target_return:.0f} is far from the data's {low:.0f} to {high:.0f}"
        )

    @property
    def precision(self) -> Precision:
        """That of the matrix products in training."""
        return self.record["settings"].get("precision", "float32")

    @property
    def checkpoints(self) -> Path:
        """Where Orbax writes."""
        return self.directory / "checkpoints"

    @property
    def best_checkpoints(self) -> Path:
        """Where the best of each member is."""
        return self.directory / "best"

    @property
    def data(self) -> Path:
        """Where a data set that was made in Python is kept; of others there is no such file."""
        return self.directory / "data.npz"

    def part(self, name: str, cls: type[T], added: Mapping[str, Any] = MappingProxyType({})) -> T:
        """Returns an object in the record as the dataclass that it was written from.

        Args:
            name: of the object.
            cls: the dataclass.
            added: fields that runs of before do not have, and what they meant.

        Raises:
            InputError: if it does not fit.
        """
        values = {**added, **self.record[name]}
        return records.read(cls, values, f"{self.directory / 'config.json'}, {name}")

    def evaluations(self, up_to_step: int = sys.maxsize) -> list[dict[str, Any]]:
        """Returns the entries of returns.json: step, member, returns (one an episode, or NaN).

        Raises:
            InputError: if it is damaged.
        """
        path = self.directory / "returns.json"
        if not path.exists():
            return []
        names = list(self.by_member(np.zeros((len(self.seeds), len(self.tasks)))))
        entries = records.read_evaluations(read_json(path), names, path)
        return [entry for entry in entries if entry["step"] <= up_to_step]

    def points(self, up_to_step: int = sys.maxsize) -> Iterator[tuple[int, str, dict[str, float]]]:
        """Yields the lines of metrics.jsonl: step, member, and the values of metrics, or NaN.

        Raises:
            InputError: if it is damaged.
        """
        members = set(self.labels)
        for where, line in read_objects(self.directory / "metrics.jsonl"):
            if records.read(records.Point, line, where)["step"] <= up_to_step:
                yield records.read_point(line, members, where)

    @property
    def returns(self) -> np.ndarray:
        """The mean return of each member in the last evaluation [M], NaN where it is not known."""
        num_members = len(self.seeds)
        last = self.evaluations()[-num_members * len(self.tasks) :]
        if not last:
            return np.full(num_members, np.nan)
        means = np.array([np.mean(entry["returns"]) for entry in last])
        return means.reshape(num_members, -1).mean(axis=1)

    @property
    def criterion(self) -> Criterion:
        """What members are ranked by; runs of before have no other than their returns."""
        return self._criterion("rank_by", "return") or "return"

    @property
    def keeps(self) -> Criterion | None:
        """What the best checkpoints are kept by, None where none are."""
        return self._criterion("keep_best", "none")

    def _criterion(self, name: str, default: str) -> Criterion | None:
        """Returns the criterion that is a setting, None of `none`."""
        given = self.record["settings"].get(name, default)
        where = f"{self.directory / 'config.json'}, settings, {name}"
        return None if given == "none" else records.read(Criterion, given, where)

    def judged(self) -> dict[Criterion, np.ndarray]:
        """Returns the last value of each member [M] by criterion, NaN where a member has none."""
        curves = self.curves() if (self.directory / "metrics.jsonl").exists() else {}
        found: dict[Criterion, np.ndarray] = {
            criterion: np.array([curves[metric][label][-1][1] for label in self.labels])
            for criterion, metric in METRICS.items()
            if metric in curves and criterion != "return"
        }
        return {"return": self.returns, **found} if self.evaluations() else found

    def judged_at(self, criterion: Criterion, step: int) -> np.ndarray:
        """Returns the value of each member [M] at a step, NaN where there is none."""
        tasks, curves = self.tasks if criterion == "return" else [""], self.curves()
        of_tasks = [curves.get(METRICS[criterion] + task, {}) for task in tasks]
        values = [
            [dict(points.get(label, [])).get(step, np.nan) for label in self.labels]
            for points in of_tasks
        ]
        return np.mean(values, axis=0)

    @property
    def is_search(self) -> bool:
        """Whether its settings are trials of a search."""
        return bool(self.record["settings"].get("search"))

    def ranking(self) -> list[Trial]:
        """Returns the settings of all members, best first by the run's criterion.

        Raises:
            InputError: if that is not known.
        """
        values, labels, varying = self._known(), self.labels, self.varying
        settings = []
        for of_setting in self.settings.values():
            members = [labels.index(label) for label in of_setting]
            setting = self.record["members"][members[0]]["config"]
            settings.append(({name: setting.get(name) for name in varying}, members))
        return ranking.rank(settings, values, self.criterion)

    @property
    def best(self) -> int:
        """The number of the best member by the run's criterion, of a search one of the best trial.

        Raises:
            InputError: if that is not known.
        """
        count = len(self.seeds)
        if count == 1:
            return 0
        goodness = ranking.goodness(self.criterion, self._known()[self.criterion])
        if np.isnan(goodness).all():
            raise InputError(f"{self.directory}: no member is left")
        members = self.ranking()[0].members if self.is_search else range(count)
        return max(members, key=lambda member: np.nan_to_num(goodness[member], nan=-np.inf))

    def _known(self) -> dict[Criterion, np.ndarray]:
        """Returns what is known of the members, that by which they are ranked included."""
        values = self.judged()
        if self.criterion not in values:
            raise InputError(
                f"{self.directory} was not evaluated, so none is known to be the best: name one of "
                f"{', '.join(self.labels)}"
            )
        return values

    def numbers(self, member: str) -> list[int]:
        """Returns the numbers of the members that are meant.

        Args:
            member: `best` by the last evaluation, a label, as `seed=0`, or `all`.

        Raises:
            InputError: if there is no such member, or the best is not known.
        """
        labels = self.labels
        if member == "all":
            return list(range(len(labels)))
        if member in labels:
            return [labels.index(member)]
        if member != "best":
            known = ", ".join(labels)
            raise InputError(f"member={member}: {self.directory} has best, all, {known}")
        return [self.best]

    def is_evaluated(self, step: int) -> bool:
        """Returns whether there is an evaluation after that many updates."""
        return any(entry["step"] == step for entry in self.evaluations())

    def curves(self, up_to_step: int = sys.maxsize) -> Curves:
        """Returns what metrics.jsonl holds of every metric, at the same steps of all members.

        Raises:
            InputError: if it is damaged.
        """
        curves: Curves = defaultdict(lambda: {label: [] for label in self.labels})
        for step, member, values in self.points(up_to_step):
            for name, value in values.items():
                curves[name][member].append((step, value))
        for name, of_members in curves.items():
            steps = {tuple(step for step, _ in points) for points in of_members.values()}
            path, first = self.directory / "metrics.jsonl", next(iter(steps))
            if len(steps) > 1:
                raise InputError(f"{path}: {name} is not at the same steps of all members")
            if any(before >= after for before, after in itertools.pairwise(first)):
                raise InputError(f"{path}: the steps of {name} are not one after the other")
        return curves


def to_json(returns: np.ndarray) -> list[float] | None:
    """Returns the returns of an episode each, None for a member that has none."""
    return None if np.isnan(returns).any() else returns.tolist()


def measures_to_json(
    measures: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, dict[str, list[Any]]]:
    """Returns what else is known of episodes, by measure and row, as json has it."""
    return {
        measure: {name: values.tolist() for name, values in rows.items()}
        for measure, rows in measures.items()
    }


def in_words(diverged: Mapping[str, int]) -> str:
    """Returns the members that are not finite, each with its update."""
    members = ", ".join(f"{label} from update {first:,}" for label, first in diverged.items())
    return f"{NOT_FINITE}: {members}"


def create(directory: Path, record: Mapping[str, Any]) -> Run:
    """Writes the config.json of a new run into its directory, which may have its lock already.

    Raises:
        InputError: if there is something at that path already.
    """
    check_new(directory)
    directory.mkdir(parents=True, exist_ok=True)
    run = Run(directory, {"layout": LAYOUT, **record, **provenance.environment()})
    write_json(directory / "config.json", run.record)
    return run


def check_new(directory: Path) -> None:
    """Checks that there is nothing where a new run is to be, but what a killed start has left.

    Raises:
        InputError: if there is.
    """
    begun = ("lock", "config.json.partial")
    if directory.is_dir() and all(path.name in begun for path in directory.iterdir()):
        return
    if directory.exists():
        raise InputError(
            f"{directory} exists: choose another --name, or go on with --resume={directory}"
        )


def load(directory: Path) -> Run:
    """Returns the run in a directory.

    Raises:
        InputError: if it holds no run, one of another layout or algorithm, or a damaged one.
    """
    path = directory / "config.json"
    if not path.is_file():
        others = sorted(str(other.parent) for other in directory.parent.glob("*/config.json"))
        raise InputError(f"{directory} holds no run; near it: {', '.join(others[-5:]) or 'none'}")
    check_plain(directory, except_in="wandb")
    record = read_json(path)
    layout = record.get("layout") if isinstance(record, dict) else None
    if layout != LAYOUT:
        raise InputError(
            f"{directory} has layout {layout!r:.60}, rlp {__version__} reads layout {LAYOUT}: "
            "use the version of rlp that wrote it"
        )
    run = Run(directory, records.read_run(record, path))
    if len(set(run.labels)) < len(run.labels):
        raise InputError(f"{path}, members: two of them are the same")
    return run


def changed(run: Run, values: Mapping[str, Any]) -> Run:
    """Returns the run with other values of hyperparameters, the same for all members."""
    members = [
        {**member, "config": {**member["config"], **values}} for member in run.record["members"]
    ]
    return Run(run.directory, {**run.record, "members": members})


def extend(run: Run, num_updates: int) -> Run:
    """Returns the run with another length, which the first process writes to its config.json."""
    longer = changed(run, {"num_updates": num_updates})
    if is_first():
        write_json(run.directory / "config.json", longer.record)
    return longer


def default_name(algo_name: str, data_name: str) -> str:
    """Returns `<algorithm>-<data set>-<date-time>`."""
    data_name = data_name.strip("./").replace("/", "-")[-60:].lstrip("-")
    return f"{algo_name}-{data_name}-{datetime.now():%Y%m%d-%H%M%S}"
