import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlp.system.compilation_cache import Kept


def train(folder: Path, name: str) -> dict[str, float]:
    """Trains in a process of its own; returns its last metrics."""
    words = f"bc --num_updates=3 --eval_every=0 --quiet --runs={folder} --name={name}"
    environment = {
        **os.environ,
        "RLP_HOME": str(folder / "home"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",  # a fast machine compiles within 0.2 s
    }
    command = [sys.executable, "-m", "rlp.train", *words.split()]
    done = subprocess.run(command, env=environment, check=True, stderr=subprocess.PIPE)
    assert done.stderr == b""
    lines = (folder / name / "metrics.jsonl").read_text().splitlines()
    return {k: v for k, v in json.loads(lines[-1]).items() if k != "updates_per_second"}


def test_the_second_run_compiles_nothing_and_learns_the_same(tmp_path: Path):
    first = train(tmp_path, "first")
    assert "actor_loss" in first
    kept = sorted((tmp_path / "home" / "compiled").iterdir())
    assert any(path.name.startswith("jit_train") for path in kept)
    assert train(tmp_path, "second") == first
    assert sorted((tmp_path / "home" / "compiled").iterdir()) == kept


@pytest.mark.slow
def test_damaged_programs_are_replaced(tmp_path: Path):
    first = train(tmp_path, "first")
    kept = sorted((tmp_path / "home" / "compiled").iterdir())
    for number, path in enumerate(kept):
        content = path.read_bytes()
        damaged = (b"", content[: len(content) // 2], content[:-1] + b"x", b"x" * len(content))
        path.write_bytes(damaged[number % 4])
    assert train(tmp_path, "second") == first
    programs = Kept(str(tmp_path / "home" / "compiled"))
    assert all(programs.get(path.name.removesuffix("-rlp")) for path in kept)


def test_a_program_is_itself_or_none(tmp_path: Path):
    programs = Kept(str(tmp_path))
    assert programs.get("a") is None
    programs.put("a", b"program")
    assert programs.get("a") == b"program"
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    for damaged in (b"", content[:35], content[:-1], content[:-1] + b"x", b"x" * 100):
        file.write_bytes(damaged)
        assert programs.get("a") is None
        programs.put("a", b"program")
        assert programs.get("a") == b"program"


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path):
    (tmp_path / "file").touch()
    programs = Kept(str(tmp_path / "file" / "compiled"))
    programs.put("a", b"program")
    assert programs.get("a") is None
