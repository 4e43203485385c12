import json
import re
from pathlib import Path
from typing import Any

import pytest

from rlp.bench import ahead, benchmark, targets
from tests.bench.test_report import CASE
from tests.whole_runs import refused

COMPILED = {
    "algo": "td3bc", "library": "rlp", "precision": "tf32", "members": 64, "batch_devices": 1,
    "target": "h200", "compile_seconds": 20.0,
    "launches": 62, "launches_by_kind": {"gemms": 20, "fusions": 42},
    "launched_by_host": {"kCommandBuffer": 2, "kConditional": 1},
    "gflop_per_update": 0.41, "device_gflop_per_update": 26.5, "tpu_padding": None,
    "device_bytes_per_update": 70_000_000, "argument_bytes": 14_000_000,
    "temporary_bytes": 3_800_000, "bytes_per_member": 7_200_000.0,
    "members_that_fit_estimate": 14_598, "update_us_estimate": 256.3,
    "devices": ["NVIDIA H200 (compiled for, not run on)"], "machine": "a machine",
    "versions": {"jax": "0"},
}  # fmt: skip
REFUSED = {
    **{name: COMPILED[name] for name in ("library", "precision", "members", "batch_devices")},
    "algo": "dt", "target": "h200", "launched_by_host": {}, "refused": "no tile sizes",
    "devices": COMPILED["devices"], "machine": "a machine", "versions": {"jax": "0"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def anything_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "check", lambda *_: None)


def test_cases_are_compiled_and_shown(tmp_path: Path, monkeypatch: Any, capsys: Any):
    asked, found = [], iter([COMPILED, REFUSED])

    def compiled(*case: Any) -> dict[str, Any]:
        asked.append(case)
        return next(found)

    monkeypatch.setattr(benchmark, "_in_new_process", compiled)
    words = ["--algos=td3bc,dt", "--members=64", "--precisions=tf32", "--compile_for=h200"]
    benchmark.main([*words, f"--json={tmp_path}/figures.json"])
    case = ("tf32", 64, 1, "h200")
    assert asked == [(ahead.measure, "td3bc", *case), (ahead.measure, "dt", *case)]
    out = capsys.readouterr().out
    assert "20 gemms, 42 fusions" in out
    assert "us, ESTIMATE: launches x time of one + max(bytes" in out
    assert "dt, tf32, 64 members does not compile: no tile sizes" in out
    assert json.loads((tmp_path / "figures.json").read_text()) == [COMPILED, REFUSED]


def test_a_table_in_markdown(tmp_path: Path, capsys: Any):
    (tmp_path / "figures.json").write_text(json.dumps([COMPILED, REFUSED]))
    benchmark.main([f"--markdown={tmp_path}/figures.json"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| algorithm | members | devices each | launches |")
    assert "padding" not in lines[0]  # no TPU
    assert lines[2] == (
        "| td3bc | 64 | 1 | 62 | 20 gemms, 42 fusions | 3 | 3.8 | 7.2 | 14,598 | 256 |"
    )
    assert lines[3].startswith("| dt | 64 | 1 | - | - |")


def test_before_and_after(tmp_path: Path, capsys: Any):
    fewer = {**COMPILED, "launches": 40, "update_us_estimate": 90.0}
    for name, cases in (("before", [COMPILED, REFUSED]), ("after", [fewer, REFUSED])):
        (tmp_path / f"{name}.json").write_text(json.dumps(cases))
    benchmark.main([f"--compare={tmp_path}/before.json,{tmp_path}/after.json"])
    out = capsys.readouterr().out
    assert re.search(r"td3bc +tf32 +64 +1 +62 +40 +3\.8 +3\.8 +256 +90", out)
    assert re.search(r"dt +tf32 +64 +1 +- +- +- +-", out)


def test_compiled_programs_beside_measured_ones(tmp_path: Path, capsys: Any):
    for name, case in (("compiled", COMPILED), ("measured", CASE)):
        (tmp_path / f"{name}.json").write_text(json.dumps([case]))
    words = [f"--compare={tmp_path}/compiled.json,{tmp_path}/measured.json"]
    assert "one of the files was measured" in refused(capsys, lambda: benchmark.main(words))


def test_fewer_devices_than_share_a_batch(monkeypatch: Any, capsys: Any):
    monkeypatch.setattr(benchmark, "_in_new_process", lambda *_: None)
    words = ["--algos=bc", "--members=1", "--batch_devices=8", "--compile_for=h200"]
    error = refused(capsys, lambda: benchmark.main(words))
    assert "--batch_devices: h200 has fewer devices" in error
