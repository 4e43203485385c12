"""Where metrics go: metrics.jsonl always, TensorBoard where installed, wandb when asked for."""

import importlib.util
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rlp.config import LONGEST_NAME
from rlp.errors import InputError
from rlp.evaluation.rollout import Returns
from rlp.runs import Run, to_json
from rlp.runs.groups import is_return, tag
from rlp.system.files import json_text, write_json, write_text

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
    """Events of one member, written with tensorboardX (clu's own writer needs TensorFlow).

    Its SummaryWriter would hand them to a thread: what that has is lost if the process is killed.
    """

    def __init__(self, directory: Path) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2

        directory.mkdir(parents=True, exist_ok=True)
        self._event: Any = vars(event_pb2)["Event"]  # which a type checker does not find
        self._writer = EventsWriter(str(directory / "events"))

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Writes the values of one log point, by the tags of their groups, and flushes them."""
        event, is_evaluation = (
            self._event(wall_time=time.time(), step=step),
            _is_evaluation(scalars),
        )
        for name, value in scalars.items():
            event.summary.value.add(tag=tag(name, is_evaluation), simple_value=value)
        self._write(event)

    def write_hparams(self, hparams: Mapping[str, Any], metrics: Sequence[str]) -> None:
        """Writes what the member was trained with, and by which metrics one will compare it."""
        from tensorboardX.summary import hparams as summaries

        known = {k: v if isinstance(v, bool | int | float) else str(v) for k, v in hparams.items()}
        for summary in summaries(known, dict.fromkeys((tag(name, False) for name in metrics), 0)):
            self._write(self._event(wall_time=time.time(), summary=summary))

    def _write(self, event: Any) -> None:
        self._writer.write_event(event)
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
        kept = self._kept(resumed_at) if resumed_at else []
        write_text(self._path, "".join(_line(*point) for point in kept))
        self._writers: dict[str, list[Writer]] = {label: [] for label in run.labels}
        if importlib.util.find_spec("tensorboardX"):  # a machine that only trains may lack it
            events = run.directory / "events"
            shutil.rmtree(events, ignore_errors=True)  # it shows what is dropped here
            members = zip(run.labels, run.record["members"], strict=True)
            for number, (label, member) in enumerate(members):
                is_short = len(label.encode()) <= LONGEST_NAME
                writer = TensorBoard(events / (label if is_short else f"member {number}"))
                hparams = {"seed": member["seed"], **member["config"]}
                writer.write_hparams(hparams, [f"return{task}" for task in run.tasks])
                self._writers[label].append(writer)
        for step, label, scalars in kept:
            for writer in self._writers[label]:
                writer.write_scalars(step, scalars)
        if wandb:  # it keeps what a former process has logged
            wandb_run = start_wandb(run)
            for label, writers in self._writers.items():
                writers.append(Wandb(wandb_run, label))

    def _kept(self, step: int) -> list[tuple[int, str, Scalars]]:
        """Returns the log points up to a checkpoint, without those of an evaluation to be repeated.

        Raises:
            InputError: if metrics.jsonl or returns.json has less than there was at the checkpoint.
        """
        points = list(self._run.points(up_to_step=step))
        self._run.curves(up_to_step=step)  # checks that no point is missing or there twice
        if not points or points[-1][0] < step:
            raise InputError(f"{self._path}: nothing of update {step}, which has a checkpoint")
        evaluated = {entry["step"] for entry in self._evaluations}
        lost = {each[0] for each in points if _is_evaluation(each[2])} - evaluated
        if lost - {step}:
            path = self._run.directory / "returns.json"
            raise InputError(
                f"{path}: no evaluation after update {min(lost)}, as metrics.jsonl has"
            )
        return [each for each in points if not (each[0] in lost and _is_evaluation(each[2]))]

    def write(self, step: int, metrics: Mapping[str, np.ndarray]) -> None:
        """Writes one log point; each metric has one value a member."""
        lines = []
        for member, label in enumerate(self._labels):
            scalars = {name: float(values[member]) for name, values in metrics.items()}
            lines.append(_line(step, label, scalars))
            for writer in self._writers[label]:
                writer.write_scalars(step, scalars)
        with self._path.open("a") as file:
            file.write("".join(lines))

    def write_returns(self, step: int, returns: Returns) -> None:
        """Writes one evaluation [M, N]: each task's means as metrics, all of it to returns.json.

        The file comes last, and is whole or not at all: an evaluation that is in it was finished.
        """
        means = {
            name: each.mean(axis=0)
            for measure, values in {"return": returns.values, **returns.measures}.items()
            for name, each in self._run.by_task(measure, values.T).items()  # [N, M]
        }
        self.write(step, means)
        invalid = self._run.by_member(returns.invalid)
        measures = {name: self._run.by_member(x) for name, x in returns.measures.items()}
        for name, values in self._run.by_member(returns.values).items():
            entry = {"step": step, "member": name, "returns": values.tolist()}
            if episodes := np.flatnonzero(invalid[name]).tolist():
                entry["invalid"] = episodes
            if measures:
                entry["measures"] = {measure: x[name].tolist() for measure, x in measures.items()}
            self._evaluations.append(entry)
        entries = [{**e, "returns": to_json(np.array(e["returns"]))} for e in self._evaluations]
        write_json(self._run.directory / "returns.json", entries)

    def sync(self) -> None:
        """Returns when the disk has the log points: a checkpoint counts on those before it."""
        with self._path.open("a") as file:
            os.fsync(file.fileno())

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


def _is_evaluation(scalars: Scalars) -> bool:
    """Returns whether a log point is one of `write_returns`."""
    return any(map(is_return, scalars))


def _line(step: int, label: str, scalars: Scalars) -> str:
    return json_text({"step": step, "member": label, **scalars}) + "\n"
