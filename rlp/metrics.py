"""Where metrics go: metrics.jsonl always, TensorBoard where installed, wandb when asked for."""

import importlib.util
import json
import logging
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rlp.errors import InputError
from rlp.files import write_json, write_text
from rlp.rollout import Returns
from rlp.runs import Run, to_json

Scalars = Mapping[str, float]


class Writer(Protocol):
    """The scalar interface of clu's metric writers, for one member."""

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Writes the values of one log point."""
        ...

    def close(self) -> None:
        """Ends what was opened."""
        ...


class TensorBoard:
    """Events of one member, written with tensorboardX (clu's own writer needs TensorFlow)."""

    def __init__(self, directory: Path, resumed_at: int) -> None:
        import tensorboardX

        logging.getLogger("tensorboardX.x2num").setLevel(logging.ERROR)  # of NaN the screen tells
        purge = resumed_at + 1 if resumed_at else None
        self._writer = tensorboardX.SummaryWriter(str(directory), purge_step=purge)

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Writes the values of one log point and flushes them."""
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()


class Wandb:
    """All members of a run in one wandb run, the member's label before the metric."""

    def __init__(self, run: Any, label: str) -> None:
        self._run, self._label = run, label

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Logs the values of one log point."""
        self._run.log(
            {f"{self._label}/{name}": value for name, value in scalars.items()}, step=step
        )

    def close(self) -> None:
        """Finishes the run, for all members."""
        self._run.finish()


class MetricsLog:
    """Writes the metrics of all members of a run everywhere they go."""

    def __init__(self, run: Run, resumed_at: int, wandb: bool) -> None:
        self._run, self._labels = run, run.labels
        self._path = run.directory / "metrics.jsonl"
        self._evaluations = run.evaluations(up_to_step=resumed_at)
        self._writers: dict[str, list[Writer]] = {label: [] for label in run.labels}
        _trim(self._path, resumed_at, {entry["step"] for entry in self._evaluations})
        wandb_run = start_wandb(run) if wandb else None
        for label, writers in self._writers.items():
            if importlib.util.find_spec("tensorboardX"):  # a machine that only trains may lack it
                writers.append(TensorBoard(run.directory / "events" / label, resumed_at))
            if wandb_run:
                writers.append(Wandb(wandb_run, label))

    def write(self, step: int, metrics: Mapping[str, np.ndarray]) -> None:
        """Writes one log point; each metric has one value a member."""
        lines = []
        for member, label in enumerate(self._labels):
            scalars = {name: float(values[member]) for name, values in metrics.items()}
            lines.append(json.dumps({"step": step, "member": label, **scalars}) + "\n")
            for writer in self._writers[label]:
                writer.write_scalars(step, scalars)
        with self._path.open("a") as file:
            file.write("".join(lines))

    def write_returns(self, step: int, returns: Returns) -> None:
        """Writes one evaluation [M, N]: each task's mean as a metric, all of it to returns.json.

        The file comes last, and is whole or not at all: an evaluation that is in it was finished.
        """
        by_task = self._run.by_task("return", returns.values.T)  # [N, M]
        self.write(step, {name: each.mean(axis=0) for name, each in by_task.items()})
        invalid = self._run.by_member(returns.invalid)
        for name, values in self._run.by_member(returns.values).items():
            entry = {"step": step, "member": name, "returns": to_json(values)}
            episodes = np.flatnonzero(invalid[name]).tolist()
            self._evaluations.append({**entry, "invalid": episodes} if episodes else entry)
        write_json(self._run.directory / "returns.json", self._evaluations)

    def close(self) -> None:
        """Ends all writers."""
        for writers in self._writers.values():
            for writer in writers:
                writer.close()


def start_wandb(run: Run) -> Any:
    """Returns a wandb run, offline unless WANDB_MODE says otherwise.

    Raises:
        InputError: if wandb is not installed.
    """
    try:
        import wandb
    except ModuleNotFoundError:
        raise InputError("--wandb: wandb is not installed (pip install wandb)") from None
    mode: Any = os.environ.get("WANDB_MODE", "offline")
    return wandb.init(
        project="rlp",
        name=run.directory.name,
        dir=str(run.directory),
        config=dict(run.record),
        mode=mode,
    )


def _trim(path: Path, step: int, evaluated: Collection[int]) -> None:
    """Drops what was written after the checkpoint that a run resumes from.

    Of that step also the means of an evaluation that was not finished: it is made again.
    """
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines(keepends=True):
        try:
            entry = json.loads(line)
            is_evaluation = any(name.startswith("return") for name in entry)
            if entry["step"] <= step and (entry["step"] in evaluated or not is_evaluation):
                kept.append(line)
        except ValueError:
            break  # the line in which the run was killed
    write_text(path, "".join(kept))
