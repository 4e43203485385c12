"""The examples, as a reader would run them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SAID = {
    "own_data.py": "from 0.9 the policy comes to",
    "sweep.py": "seed=1,expectile=0.9: mean return",
    "take_away.py": "policy = load()",
    "first_run.ipynb": "mean of the members",
}


def test_every_example_is_run():
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == {*SAID, "README.md"}


@pytest.mark.slow
@pytest.mark.parametrize("name", SAID)
def test_an_example_runs(name: str, tmp_path: Path):
    path = EXAMPLES / name
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text())["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        path = tmp_path / "first_run.py"
        path.write_text("\n".join(code))
    env = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    command = [sys.executable, str(path)]
    made = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    assert SAID[name] in made.stdout
    if name == "own_data.py":
        came_to = float(made.stdout.split("comes to ")[1].split(",")[0])
        assert abs(came_to) < 0.15, "the policy does not bring the point to 0"
