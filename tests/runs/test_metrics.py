from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlp.errors import InputError
from rlp.evaluation.rollout import Returns
from rlp.runs import Run
from rlp.runs.metrics import MetricsLog

MEMBERS = [{"seed": seed, "config": {"rate": 0.5}} for seed in (3, 4)]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, {"members": MEMBERS, "env": "walker-walk"})


def summaries(folder: Path) -> Iterator[tuple[int, Any]]:
    """Reads TensorBoard's files: length, its checksum, an event, its checksum."""
    from tensorboardX.proto import event_pb2

    read: Any = event_pb2.__dict__["Event"].FromString
    for file in folder.glob("events.out.tfevents.*"):
        content = file.read_bytes()
        while content:
            length = int.from_bytes(content[:8], "little")
            event = read(content[12 : 12 + length])
            yield from ((event.step, value) for value in event.summary.value)
            content = content[16 + length :]


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for step, value in summaries(folder):
        if not value.metadata.plugin_data.content:
            found.setdefault(value.tag, []).append((step, value.simple_value))
    return found


def test_each_member_has_its_lines_and_its_events(run: Run):
    log = MetricsLog(run, 0, wandb=False)
    log.write(10, {"loss": np.array([0.5, 0.25])})
    log.close()
    assert (run.directory / "metrics.jsonl").read_text() == (
        '{"step": 10, "member": "seed=3", "loss": 0.5}\n'
        '{"step": 10, "member": "seed=4", "loss": 0.25}\n'
    )
    assert events(run.directory / "events" / "seed=4") == {"loss/loss": [(10, 0.25)]}


def test_what_came_after_the_checkpoint_is_dropped(run: Run):
    path = run.directory / "metrics.jsonl"
    lines = [
        f'{{"step": {step}, "member": "seed={seed}", "loss": 0.5}}\n'
        for step in (10, 20, 30)
        for seed in (3, 4)
    ]
    path.write_text("".join(lines) + '{"ste')
    MetricsLog(run, 20, wandb=False).close()
    assert path.read_text() == "".join(lines[:4])


def test_tensorboard_has_every_point_once_after_a_kill(run: Run):
    """Of those before the checkpoint none is missing, of those after it none is there."""
    log = MetricsLog(run, 0, wandb=False)
    for step in (10, 20, 30):
        log.write(step, {"loss": np.full(2, step / 10)})
    for file in (run.directory / "events" / "seed=3").iterdir():
        file.write_bytes(file.read_bytes()[:-30])  # the last point, cut off
    resumed = MetricsLog(run, 20, wandb=False)
    resumed.write(30, {"loss": np.array([4, np.nan])})
    folder = run.directory / "events" / "seed=3"
    assert events(folder) == {"loss/loss": [(10, 1), (20, 2), (30, 4)]}
    assert (
        '{"step": 30, "member": "seed=4", "loss": null}'
        in (run.directory / "metrics.jsonl").read_text()
    )
    log.close()
    resumed.close()


def test_what_is_not_there_up_to_the_checkpoint_is_named(run: Run):
    returns, metrics = (run.directory / name for name in ("returns.json", "metrics.jsonl"))
    with pytest.raises(InputError, match=r"metrics\.jsonl: no such file"):
        MetricsLog(run, 20, wandb=False)
    log = MetricsLog(run, 0, wandb=False)
    for step in (10, 20):
        log.write(step, {"loss": np.zeros(2)})
        log.write_returns(step, Returns(np.ones((2, 1)), np.zeros((2, 1), bool), {}))
    log.close()
    with pytest.raises(InputError, match=r"metrics\.jsonl: nothing of update 30"):
        MetricsLog(run, 30, wandb=False)
    returns.unlink()
    with pytest.raises(InputError, match=r"returns\.json: no evaluation after update 10"):
        MetricsLog(run, 20, wandb=False)
    MetricsLog(run, 10, wandb=False).close()  # it was killed before the evaluation was whole
    assert metrics.read_text().count("\n") == 2


def test_what_else_is_known_of_episodes_is_a_metric_and_read_again(run: Run):
    log = MetricsLog(run, 0, wandb=False)
    success = np.array([[True, False], [True, True]])
    log.write_returns(10, Returns(np.ones((2, 2)), np.zeros((2, 2), bool), {"success": success}))
    log.close()
    assert [entry["measures"] for entry in run.evaluations()] == [
        {"success": [True, False]},
        {"success": [True, True]},
    ]
    assert list(run.curves()["success"].values()) == [[(10, 0.5)], [(10, 1.0)]]


def test_tensorboard_groups_metrics_and_has_what_members_were_trained_with(run: Run):
    log = MetricsLog(run, 0, wandb=False)
    names = ("actor_loss", "max_q", "held_out_td_error", "clipped", "updates_per_second")
    log.write(10, {name: np.zeros(2) for name in names})
    success = {"success": np.ones((2, 1), bool)}
    log.write_returns(10, Returns(np.ones((2, 1)), np.zeros((2, 1), bool), success))
    log.close()
    folder = run.directory / "events" / "seed=3"
    assert [*events(folder)] == [
        "loss/actor_loss", "critic/max_q", "held_out/td_error", "train/clipped",
        "speed/updates_per_second", "eval/return", "eval/success",
    ]  # fmt: skip
    from tensorboardX.proto import plugin_hparams_pb2

    read: Any = plugin_hparams_pb2.__dict__["HParamsPluginData"].FromString
    plugins = [value.metadata.plugin_data for _, value in summaries(folder)]
    experiment, start, _ = (read(each.content) for each in plugins if each.content)
    known = {k: v.number_value for k, v in start.session_start_info.hparams.items()}
    assert known == {"seed": 3, "rate": 0.5}
    assert [each.name.tag for each in experiment.experiment.metric_infos] == ["eval/return"]


def test_a_label_that_is_too_long_for_a_folder_is_a_number(tmp_path: Path):
    names = [f"a_long_hyperparameter_{number}" for number in range(12)]
    members = [{"seed": 0, "config": dict.fromkeys(names, value)} for value in (0.5, 0.25)]
    MetricsLog(Run(tmp_path, {"members": members, "env": ""}), 0, wandb=False).close()
    assert {each.name for each in (tmp_path / "events").iterdir()} == {"member 0", "member 1"}
