"""What runs have earned: the returns of every member's episodes, of a run or of its record."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlp import runs, statistics
from rlp.errors import InputError
from rlp.runs import Run, records
from rlp.system import files


class Result(NamedTuple):
    """What members have earned on one task, and what that is to be compared with."""

    episodes: np.ndarray  # [M, episodes], returns; NaN of a member that diverged
    data: np.ndarray  # returns of the data's episodes
    random: np.ndarray  # returns of episodes of a random policy
    success: np.ndarray | None = None  # [M, episodes] bool, where the environment says so
    decimals: int = 0  # of returns in words

    @property
    def is_finite(self) -> np.ndarray:
        """Which members have returns, and did not diverge, [M] bool."""
        return np.isfinite(self.episodes).all(axis=1) & (self.episodes.shape[1] > 0)

    @property
    def members(self) -> np.ndarray:
        """The means of the episodes of each member that did not diverge."""
        return np.array([row.mean() for row in self.episodes[self.is_finite]], float)

    @property
    def num_lost(self) -> int:
        """How many members were evaluated and are not finite."""
        return len(self.episodes) - len(self.members) if self.episodes.shape[1] else 0

    @property
    def best(self) -> float:
        """The return of the data's best episode, NaN where there is none."""
        return float(self.data.max(initial=-np.inf)) if len(self.data) else np.nan

    @property
    def falls(self) -> float:
        """The share of the members' episodes that are falls, NaN where that means nothing."""
        return statistics.falls(self.episodes[self.is_finite], self.best)

    @property
    def failures(self) -> str:
        """The share of episodes that are a success where that is known, else of falls, in words."""
        if not len(self.members):
            return ""
        if self.success is not None:
            return f"{percent(self.success[self.is_finite].mean())} success"
        return f"{percent(self.falls)} fall" if self.falls > 0 else ""

    def number(self, value: float) -> str:
        """Returns a return as tables have it, nothing of NaN."""
        if np.isnan(value):
            return ""
        return f"{round(value, self.decimals) + 0.0:.{self.decimals}f}"  # of a zero no minus

    @property
    def text(self) -> str:
        """Mean of the members and half its interval, the share of falls, how many diverged."""
        if not len(self.members):
            return "diverged"
        text = self.number(self.members.mean())
        if len(self.members) > 1:
            _, high = statistics.mean_interval(self.members)
            text += f" ± {self.number(high - self.members.mean())}"
        text += f" ({self.failures})" if self.failures else ""
        return f"{text} ({self.num_lost} diverged)" if self.num_lost else text


def percent(share: float) -> str:
    """Returns `4 %`, `0.4 %` below one."""
    if np.isnan(share):
        return ""
    return f"{100 * share:.{1 if 0 < abs(share) < 0.01 else 0}f} %"


def load(path: Path) -> Run:
    """Returns a run, or what the record of one says, with its last `returns` in its record.

    The returns of the data and of a random policy are there when the run has ended.

    Raises:
        InputError: if there is neither, or it is damaged.
    """
    if path.suffix == ".json":
        return Run(path, records.read_cell(files.read_json(path), path))
    run = runs.load(path)
    ended = path / "result.json"
    if ended.exists():
        result = records.read_cell(files.read_json(ended), ended)
        if result["members"] == run.record["members"]:  # else it goes on, to another length
            return Run(path, {**run.record, **result, "spec": run.record["spec"]})
    return Run(path, {**run.record, "returns": {}, **_last(run)})


def _last(run: Run) -> dict[str, Any]:
    """Returns the part of a record that the last evaluation of a run makes."""
    last = run.evaluations()[-len(run.seeds) * len(run.tasks) :]
    if not last:
        return {}
    said = {entry["member"]: entry.get("measures", {}) for entry in last}
    names = dict.fromkeys(name for measures in said.values() for name in measures)
    return {
        "step": last[0]["step"],
        "returns": {entry["member"]: entry["returns"] for entry in last},
        "measures": {name: {k: of.get(name, []) for k, of in said.items()} for name in names},
    }


def of(run: Run, labels: Sequence[str], task: str = "") -> Result:
    """Returns what members have earned on a task, by the `returns` in the record.

    Without an evaluation of any of them there are no episodes.

    Raises:
        InputError: if there are not as many of each member.
    """
    found, names = run.record["returns"], [label + task for label in labels]
    of_data = (name for name in found if name.startswith("data (") and name.endswith(f"){task}"))
    episodes = _episodes(found, names, run.directory)
    success = run.record.get("measures", {}).get("success", {})
    is_said = all(len(success.get(name, ())) == episodes.shape[1] for name in names)
    return Result(
        episodes=episodes,
        data=np.array(found.get(next(of_data, "")) or [], float),
        random=np.array(found.get(f"random policy{task}") or [], float),
        success=np.array([success[name] for name in names]) if success and is_said else None,
    )


def _episodes(
    found: Mapping[str, Sequence[float] | None], names: Sequence[str], path: Path
) -> np.ndarray:
    """Returns the returns [names, episodes], NaN of a name that diverged."""
    known = [_known(found.get(name)) for name in names]
    if lost := [name for name in names if name not in found]:
        if any(returns is not None for returns in known):
            raise InputError(f"{path}, returns: no {lost[0]}")
        return np.zeros((len(names), 0))  # nothing was evaluated, and some may have diverged
    lengths = {len(returns) for returns in known if returns is not None} or {1}
    if len(lengths) > 1:
        raise InputError(f"{path}, returns: not as many of each of {', '.join(names)}")
    nothing = [np.nan] * lengths.pop()
    return np.array([nothing if returns is None else returns for returns in known], float)


def _known(returns: Sequence[float] | None) -> Sequence[float] | None:
    """Returns the returns, None where one is not known: the member diverged."""
    return None if returns is None or None in returns or np.isnan(returns).any() else returns
