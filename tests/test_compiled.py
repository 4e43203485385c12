import json
import os
import subprocess
import sys
from pathlib import Path


def train(folder: Path, name: str) -> dict[str, float]:
    """Trains in a process of its own; returns its last metrics."""
    words = f"bc --num_updates=3 --eval_every=0 --quiet --runs={folder} --name={name}"
    environment = {
        **os.environ,
        "RLP_HOME": str(folder / "home"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",  # a fast machine compiles within 0.2 s
    }
    subprocess.run([sys.executable, "-m", "rlp.train", *words.split()], env=environment, check=True)
    lines = (folder / name / "metrics.jsonl").read_text().splitlines()
    return {k: v for k, v in json.loads(lines[-1]).items() if k != "updates_per_second"}


def test_the_second_run_compiles_nothing_and_learns_the_same(tmp_path: Path):
    first = train(tmp_path, "first")
    assert "actor_loss" in first
    kept = sorted((tmp_path / "home" / "compiled").iterdir())
    assert any(path.name.startswith("jit_train") for path in kept)
    assert train(tmp_path, "second") == first
    assert sorted((tmp_path / "home" / "compiled").iterdir()) == kept
