import json
import subprocess
import sys
from pathlib import Path

from rlp import bench


def test_one_case_has_every_figure():
    code = (
        "import json, sys, time; from rlp import bench;"
        "print(json.dumps(bench.measure('bc', 2, 1, time.time())));"
        "found = {'dm_control', 'mujoco', 'gymnasium'} & sys.modules.keys();"
        "sys.exit(f'imported {found}' if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    assert all(show(result) for show in bench.COLUMNS.values())
    assert 0.10 < result["gflop_per_update"] < 0.13  # 2 x 256 wide, batch 256: 0.107 by hand
    assert 0 < result["fraction_of_ceiling"] < 1
    assert result["first_update_seconds"] < 60


def test_figures_are_written(tmp_path: Path, monkeypatch, capsys):
    case = {
        "algo": "bc", "members": 4, "updates_per_second": 400.0, "gflop_per_update": 0.1,
        "fraction_of_ceiling": 0.5, "ceiling_gflop_per_second": 80.0, "compile_seconds": 1.0,
        "first_update_seconds": 2.0, "peak_megabytes": 300.0, "devices": ["cpu"],
        "machine": "a machine", "versions": {"jax": "0"},
    }  # fmt: skip
    monkeypatch.setattr(bench, "_in_new_process", lambda *_: case)
    bench.main(["--algos=bc", "--members=4", f"--json={tmp_path}/figures.json"])
    assert json.loads((tmp_path / "figures.json").read_text()) == [case]
    out = capsys.readouterr().out
    assert "50%" in out
    assert "a machine" in out
