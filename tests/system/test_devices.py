"""Members on several devices and in several processes: the numbers are those of one."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from rlp.errors import InputError
from rlp.system import devices
from tests.rounding import of_sums
from tests.whole_runs import losses

RUN = "--num_updates=8 --log_every=4 --eval_every=0 --batch_size=32 --hidden_dims=16 --quiet"


def assert_close(found: list[float], expected: list[float]) -> None:
    """Checks losses, of sums over 32 items and 16 features."""
    np.testing.assert_allclose(found, expected, **of_sums(32 * 16))


def start(num_devices: int, words: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "rlp.train", *words.split(), f"--runs={folder}"],
        env={**os.environ, "JAX_NUM_CPU_DEVICES": str(num_devices)},
        stderr=subprocess.PIPE,
        text=True,
    )


def train(num_devices: int, words: str, folder: Path) -> None:
    process = start(num_devices, words, folder)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def test_four_devices_learn_what_one_does_and_go_on_with_it(tmp_path: Path):
    train(1, f"bc {RUN} --num_seeds=4 --name=one", tmp_path)
    train(4, f"bc {RUN} --num_seeds=4 --name=four", tmp_path)
    assert_close(losses(tmp_path / "four"), losses(tmp_path / "one"))
    assert len(losses(tmp_path / "one")) == 8
    for num_devices, name in ((4, "one"), (1, "four")):  # a checkpoint serves any devices
        longer = f"--resume={tmp_path / name} --extend --num_updates=16 --quiet"
        train(num_devices, f"bc {longer}", tmp_path)
    assert_close(losses(tmp_path / "four"), losses(tmp_path / "one"))
    assert len(losses(tmp_path / "one")) == 16


@pytest.mark.parametrize(
    ("algo", "flags"),
    [
        ("cqlsac", "--hidden_dims=16 --num_penalised=32"),
        ("cqlsac", "--hidden_dims=16 --num_penalised=30 --lagrange"),  # 30 states are not shared
        ("td3bc", "--hidden_dims=16"),
        ("dt", "--embed_dim=16"),
    ],
)
def test_devices_share_the_batch_of_a_member(tmp_path: Path, algo: str, flags: str):
    words = f"{algo} {RUN.replace('--hidden_dims=16 ', '')} {flags}"
    train(1, f"{words} --name=one", tmp_path)
    train(4, f"{words} --batch_devices=4 --name=four", tmp_path)
    assert_close(losses(tmp_path / "four"), losses(tmp_path / "one"))


def test_two_processes_learn_what_one_does(tmp_path: Path):
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    joined = f"bc {RUN} --num_seeds=4 --name=two --distributed=localhost:{port},2"
    both = [start(2, f"{joined},{index}", tmp_path) for index in (0, 1)]
    train(1, f"bc {RUN} --num_seeds=4 --name=one", tmp_path)
    for process in both:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert_close(losses(tmp_path / "two"), losses(tmp_path / "one"))


def test_a_cpu_is_split_where_nothing_sets_the_number(tmp_path: Path):
    environment = {k: v for k, v in os.environ.items() if k != "JAX_NUM_CPU_DEVICES"}
    words = f"bc {RUN.removesuffix('--quiet')} --num_seeds=3 --name=three --runs={tmp_path}"
    out = subprocess.run(
        [sys.executable, "-m", "rlp.train", *words.split()],
        env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "on 3 x cpu" in out.stdout


@pytest.mark.parametrize(
    ("num_members", "num_cores", "most", "parts"),
    [
        (4, 2, 8, 2),
        (5, 2, 8, 5),
        (16, 3, 8, 4),
        (5, 2, 4, 1),
        (64, 96, 8, 8),
        (64, 32, 128, 32),
        (1, 1, 8, 1),
        (1, 2, 8, 2),  # two parts for a member
        (1, 16, 8, 2),
        (3, 8, 8, 6),
        (1, 2, 1, 1),
    ],
)
def test_parts_of_a_cpu(num_members: int, num_cores: int, most: int, parts: int):
    assert devices.parts_of_cpu(num_members, num_cores, most) == parts


@pytest.mark.parametrize(
    ("num_members", "num_cores", "batch_devices", "parts"),
    [(1, 2, 1, 1), (1, 8, 4, 4), (2, 8, 4, 8), (1, 2, 4, 1), (3, 2, 1, 3), (2, 2, 2, 2)],
)
def test_parts_of_a_cpu_that_share_batches_as_asked(
    num_members: int, num_cores: int, batch_devices: int, parts: int
):
    assert devices.parts_of_cpu(num_members, num_cores, 8, batch_devices) == parts


def test_a_run_keeps_the_devices_that_share_its_batches(tmp_path: Path):
    words = f"td3bc {RUN.replace('--hidden_dims=16 ', '')} --hidden_dims=16"
    train(4, f"{words} --batch_devices=2 --name=a", tmp_path)
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert config["settings"]["batch_devices"] == 2
    longer = f"td3bc --resume={tmp_path}/a --extend --num_updates=16 --quiet"
    refused = start(1, longer, tmp_path)
    _, errors = refused.communicate(timeout=300)
    assert refused.returncode == 2, errors
    assert "error: --batch_devices=2: there are 1 devices here; --batch_devices=1" in errors
    train(1, f"{longer} --batch_devices=1", tmp_path)
    assert len(losses(tmp_path / "a")) == 4


def test_a_placement_on_one_device():
    placement = devices.placement(3)
    assert placement.members.mesh.size == 1
    assert str(placement) == jax.devices()[0].device_kind
    with pytest.raises(InputError, match="--batch_devices=2: there are 1 devices"):
        devices.placement(1, batch_devices=2)


@pytest.mark.parametrize("text", ["localhost:1", "localhost:1,2,x"])
def test_mistyped_processes(text: str):
    with pytest.raises(InputError, match=f"--distributed={text}: .*; it is auto or HOST:PORT,N,I"):
        devices.join(text)
