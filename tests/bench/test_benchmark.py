import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from rlp.bench import benchmark, report
from tests.bench.test_report import CASE
from tests.whole_runs import refused


def test_one_case_has_every_figure():
    code = (
        "import json, sys, time; from rlp.bench import benchmark;"
        "print(json.dumps(benchmark.measure('bc', 'float32', 2, 1, 3, time.time())));"
        "found = {'dm_control', 'mujoco', 'gymnasium'} & sys.modules.keys();"
        "sys.exit(f'imported {found}' if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    assert all(show(result) for show in report.COLUMNS.values())
    widths = 17 * 256 + 256 * 256 + 256 * 6
    products = 3 * widths - 17 * 256  # forward and both backward, but for the input's gradient
    assert result["gflop_per_update"] == pytest.approx(2 * 256 * products / 1e9)
    speeds = np.array(result["updates_per_second_of_rounds"])
    ceilings = np.array(result["ceiling_gflop_per_second_of_rounds"])
    fractions = speeds * result["gflop_per_update"] / ceilings
    assert result["fraction_of_ceiling"] == pytest.approx(np.median(fractions))
    assert len(fractions) == 3
    assert 0 < result["fraction_of_ceiling"] < 1
    assert result["first_update_seconds"] < 60
    assert result["copy_gigabytes_per_second"] > 0.1
    assert result["ceiling_of_precision_gflop_per_second"] > result["ceiling_gflop_per_second"] / 3


@pytest.mark.parametrize("name", ["d4rlpy", "d3rlpy"])
def test_a_library_that_cannot_be_measured(name: str, monkeypatch: Any, capsys: Any):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert f"--against={name}: " in refused(capsys, lambda: benchmark.main([f"--against={name}"]))


def test_figures_are_written(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "_in_new_process", lambda *_: CASE)
    benchmark.main(["--algos=bc", "--members=4", f"--json={tmp_path}/figures.json"])
    assert json.loads((tmp_path / "figures.json").read_text()) == [CASE]
    out = capsys.readouterr().out
    assert re.search(r"4 +1 +30\.7 +7\.67 .* 50%", out)  # of all members, and of one
    assert "a machine" in out
    assert "ceilings: 90 GFLOP/s of float32 products, 10 GB/s read and written by copies" in out


def test_one_member_beside_another_library(monkeypatch, capsys):
    alone = {**CASE, "members": 1}
    theirs = {**alone, "library": "d3rlpy 2.8.1", "fraction_of_ceiling": 0.2}
    measured = iter([alone, {**CASE, "fraction_of_ceiling": 0.9}, theirs])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr(benchmark, "_in_new_process", lambda *_: next(measured))
    words = ["--algos=bc", "--members=1,4", "--batch_devices=1", "--against=d3rlpy"]
    benchmark.main(words)
    told = capsys.readouterr().out
    assert "times d3rlpy's fraction of the ceiling, one member at its faster way: bc 2.5\n" in told


def test_one_member_is_measured_both_ways(monkeypatch, capsys):
    """A way that there are no devices for is left out."""
    asked = []

    def measured(_: Any, algo: str, *case: Any) -> dict[str, Any] | None:
        asked.append((algo, *case))
        fraction = 0.5 if case[2] == 1 else 0.6
        found = {**CASE, "algo": algo, "members": case[1], "batch_devices": case[2]}
        return None if algo == "bc" and case[2] == 2 else {**found, "fraction_of_ceiling": fraction}

    monkeypatch.setattr(benchmark, "_in_new_process", measured)
    benchmark.main(["--algos=bc,iql", "--members=1,4", "--num_rounds=3"])
    ways = [("float32", 1, 1, 3), ("float32", 1, 2, 3), ("float32", 4, 1, 3)]
    assert asked == [(algo, *way) for algo in ("bc", "iql") for way in ways]
    out = capsys.readouterr().out
    assert "one member is faster: iql (float32) 1.20 times with --batch_devices=2\n" in out


def test_what_was_measured_before_an_interruption_is_written(tmp_path: Path, monkeypatch):
    measured = iter([CASE])
    monkeypatch.setattr(benchmark, "_in_new_process", lambda *_: next(measured))
    with pytest.raises(StopIteration):
        benchmark.main(["--algos=bc", "--members=4,16", f"--json={tmp_path}/figures.json"])
    assert json.loads((tmp_path / "figures.json").read_text()) == [CASE]


def test_no_case_is_refused(capsys):
    error = refused(capsys, lambda: benchmark.main(["--members="]))
    assert "--members=: has an empty entry" in error


def test_a_precision_that_would_make_no_difference_is_refused(capsys):
    if jax.default_backend() == "cpu":
        words = ["--precisions=float32,tf32"]
        assert "a CPU has" in refused(capsys, lambda: benchmark.main(words))
