import json
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
    assert "| td3bc | tf32 | 64 | 1 | 62 | 20 gemms, 42 fusions | 3 | 0.41 |  | 70.0 |" in lines[2]
    assert "| 14,598 | 256 | 20.0 |" in lines[2]
    assert lines[3].startswith("| dt | tf32 | 64 | 1 | - | - |")


def test_before_and_after(tmp_path: Path, capsys: Any):
    fewer = {**COMPILED, "launches": 40, "update_us_estimate": 90.0}
    for name, case in (("before", COMPILED), ("after", fewer), ("measured", CASE)):
        (tmp_path / f"{name}.json").write_text(
            json.dumps([case, REFUSED] if case != CASE else [case])
        )
    benchmark.main([f"--compare={tmp_path}/before.json,{tmp_path}/after.json"])
    words = capsys.readouterr().out.split()
    assert [words[at + 4 : at + 6] for at, word in enumerate(words) if word == "td3bc"] == [
        ["62", "40"]
    ]
    both = [f"--compare={tmp_path}/before.json,{tmp_path}/measured.json"]
    assert "one of the files was measured" in refused(capsys, lambda: benchmark.main(both))


def test_fewer_devices_than_share_a_batch(monkeypatch: Any, capsys: Any):
    monkeypatch.setattr(benchmark, "_in_new_process", lambda *_: None)
    words = ["--algos=bc", "--members=1", "--batch_devices=8", "--compile_for=h200"]
    error = refused(capsys, lambda: benchmark.main(words))
    assert "--batch_devices: h200 has fewer devices" in error
