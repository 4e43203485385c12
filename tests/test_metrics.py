from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlp.metrics import MetricsLog
from rlp.runs import Run

MEMBERS = [{"seed": seed, "config": {"rate": 0.5}} for seed in (3, 4)]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, {"members": MEMBERS})


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Reads TensorBoard's files: length, its checksum, an event, its checksum."""
    from tensorboardX.proto import event_pb2

    read: Any = event_pb2.__dict__["Event"].FromString
    found: dict[str, list[tuple[int, float]]] = {}
    for file in folder.glob("events.out.tfevents.*"):
        content = file.read_bytes()
        while content:
            length = int.from_bytes(content[:8], "little")
            event = read(content[12 : 12 + length])
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
            content = content[16 + length :]
    return found


def test_each_member_has_its_lines_and_its_events(run: Run):
    log = MetricsLog(run, 0, wandb=False)
    log.write(10, {"loss": np.array([0.5, 0.25])})
    log.close()
    assert (run.directory / "metrics.jsonl").read_text() == (
        '{"step": 10, "member": "seed=3", "loss": 0.5}\n'
        '{"step": 10, "member": "seed=4", "loss": 0.25}\n'
    )
    assert events(run.directory / "events" / "seed=4") == {"loss": [(10, 0.25)]}


def test_what_came_after_the_checkpoint_is_dropped(run: Run):
    path = run.directory / "metrics.jsonl"
    lines = [f'{{"step": {step}, "member": "seed=3", "loss": 0.5}}\n' for step in (10, 20, 30)]
    path.write_text("".join(lines) + '{"ste')
    MetricsLog(run, 20, wandb=False).close()
    assert path.read_text() == "".join(lines[:2])
