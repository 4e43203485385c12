"""The chains of the two studies on tiny sizes, and what is read from their records."""

import subprocess
import sys
from pathlib import Path

import decision_transformers as dts
import numpy as np
import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
RECORD = {
    "targets": [10, 20],
    "achieved": [[[8.0, 10.0], [9.0, 9.0]], [[18.0, 20.0], [0.0, 0.0]]],
    "loss": {"seed=0": [[1, 0.4], [2, 0.1]], "seed=1": [[1, 0.6], [2, 0.3]]},
    "updates_per_second": {"seed=0": [[1, 1.0], [2, 50.0], [3, 60.0]]},
    "evaluations": [
        {
            "step": step,
            "member": f"seed={seed}",
            "returns": [10.0 * step + seed, 10.0 * step + seed],
        }
        for step in (1, 2, 3)
        for seed in (0, 1)
    ],
}


def test_what_a_record_says():
    assert dts.minutes(RECORD, 6_000) == 2
    assert dts.losses(RECORD) == {1: pytest.approx(0.5), 2: pytest.approx(0.2)}
    assert {k: v.tolist() for k, v in dts.achieved(RECORD).items()} == {10: [9, 9], 20: [19, 0]}
    np.testing.assert_array_equal(dts.over_last(RECORD, 2), [25, 26])


def run(script: str, *flags: str) -> None:
    words = [sys.executable, str(EXPERIMENTS / script), *flags]
    subprocess.run(words, check=True, timeout=3000)


@pytest.fixture
def data(shared_data: Path, tmp_path: Path) -> Path:
    """The folder of small sets of the policies."""
    sets = "halfcheetah-expert,halfcheetah-medium,hopper-medium"
    run(
        "gymnasium_data.py", f"--policies={shared_data / 'policies'}", "--num_steps=2000",
        f"--sets={sets}", f"--out={tmp_path}", f"--json={tmp_path / 'sets.json'}",
    )  # fmt: skip
    return tmp_path


@pytest.mark.slow
def test_the_chain_on_hopper(data: Path, tmp_path: Path):
    flags = ["--quick", "--quiet", f"--d4rl={data / 'hopper-medium.npz'}", f"--runs={tmp_path}"]
    run("hopper_dt.py", *flags)
    results = tmp_path / "results" / "hopper_dt_d4rl_quick"
    page = (results / "decision_transformers.md").read_text()
    assert "| the paper |  | 67.6 |" in page
    assert "dt keeps " in page
    assert {path.stem for path in (results / "transformers").iterdir()} == {"dt", "dt-delayed"}
    assert "| iql-delayed | iql | medium | 2 |" in (results / "README.md").read_text()


@pytest.mark.slow
def test_the_chain_on_halfcheetah(data: Path, tmp_path: Path):
    own = [f"--d4rl_{kind}={data / f'halfcheetah-{kind}.npz'}" for kind in ("expert", "medium")]
    flags = ["--quick", "--quiet", *own, f"--runs={tmp_path}", "--sets=expert"]
    run("halfcheetah_dt.py", *flags)
    results = tmp_path / "results" / "halfcheetah_dt_d4rl_quick"
    page = (results / "decision_transformers.md").read_text()
    assert "**expert**: " in page
    assert "dt-blog on expert, achieved for the return it is asked for: " in page
    assert "(published: 40)" in page
    assert (results / "dt-blog_expert.gif").stat().st_size > 1000
