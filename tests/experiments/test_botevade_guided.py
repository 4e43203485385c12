"""Planner-guided learning on tiny sizes."""

import subprocess
import sys
from pathlib import Path

import pytest

from rlp.system.files import read_json

SCRIPT = Path(__file__).parents[2] / "experiments" / "botevade_guided.py"


@pytest.mark.slow
@pytest.mark.usefixtures("real_world")
def test_every_cell_has_a_line_and_a_record(tmp_path: Path):
    words = [sys.executable, str(SCRIPT), "--quick", "--quiet", f"--runs={tmp_path}"]
    said = [
        subprocess.run(words, check=True, capture_output=True, text=True, timeout=1800).stdout
        for _ in range(2)
    ]
    table = [line for line in said[1].splitlines() if line.startswith("| ")]
    assert len(table) == 2 + 9
    assert said[0].endswith(said[1])  # the second time only the table is printed
    records = {path.stem: read_json(path) for path in (tmp_path / "quick").glob("*.json")}
    assert len(records) == 9
    guided = records["planner-only_random"]
    assert guided["guidance"]["guide_only"] is True
    assert guided["plan"]["num_random_steps"] == 400
    assert all(len(each) == 20 for each in guided["last"]["returns"].values())
    assert "guidance" not in records["alone_random"]
