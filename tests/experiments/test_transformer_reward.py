"""The study's chain on tiny sizes, and what its page says of records."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import transformer_reward_page as page
from transformer_reward_measures import discounted, histories

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def record(name: str, finals: dict[float, list[float]]) -> dict[str, Any]:
    """Returns the record of a run whose seeds have these returns at each value of a setting."""
    members = [
        (f"seed={seed},{name}={value:g}", {"seed": seed, "config": {"weight": 0.0, name: value}})
        for value, returns in finals.items()
        for seed in range(len(returns))
    ]
    labels = [label for label, _ in members]
    means = [each for returns in finals.values() for each in returns]
    final = {label: [mean] * 2 for label, mean in zip(labels, means, strict=True)}
    gaps = {gap: {label: [1.0, 3.0] for label in labels} for gap in page.GAPS}
    names = ("critic_loss", "actor_loss", "reduction")
    return {
        "members": [member for _, member in members],
        "final": final,
        "evaluations": [{"step": 4, "member": k, "returns": v} for k, v in final.items()],
        "values": {"4": gaps},
        "curves": {each: {label: [[4, 0.5]] for label in labels} for each in names},
    }


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Records in which weight 0.4 earns 10 more than nothing, and 10 less than a constant."""
    lists = {
        "teacher": ("weight", {0.0: [0.0, 1.0, 2.0]}),
        "frozen": ("weight", {0.0: [100.0, 200.0, 300.0], 0.4: [110.0, 211.0, 309.0]}),
        "learning": ("weight", {0.4: [0.0, 0.0, 0.0]}),
        "lowered": ("reduction", {0.25: [120.0, 222.0, 318.0]}),
        "clipped": ("weight", {0.0: [110.0, 220.0, 300.0]}),
    }
    for row, (name, finals) in lists.items():
        (tmp_path / f"{row}.json").write_text(json.dumps(record(name, finals)))
    share = {
        "within": dict.fromkeys(page.WITHIN, 0.5),
        "below_bound": 0.2,
        "rmse": 1,
        "explained": 0,
    }
    curves = {name: {"seed=0": [[1, 2.0]]} for name in ("reward_loss", "to_go_loss")}
    seeds = [{"calibration": {"reward": share, "return": share}, "curves": curves}]
    (tmp_path / "models.json").write_text(json.dumps({"seeds": seeds}))
    return tmp_path


def test_the_first_line_says_what_helps_against_which_control(results: Path):
    page.write(results, "A title.\n\nA text.\n")
    first, *_ = (results / "README.md").read_text().splitlines()
    assert first.startswith("**The idea helps against nothing: with weight 0.4,")
    assert " -10 against the constant (95 % " in first
    assert " +0 against clipped double Q (95 % " in first
    for name in ("returns.png", "losses.png"):
        assert (results / name).stat().st_size > 1000


def test_a_member_that_diverged_is_told_and_left_out(results: Path):
    path = results / "frozen.json"
    found = json.loads(path.read_text())
    found["final"]["seed=1,weight=0.4"] = None
    path.write_text(json.dumps(found))
    rows = page.read(results)
    assert page.difference(rows, "transformer, 0.4", "nothing").tolist() == [10, 9]
    assert "(1 diverged)" in page.table(rows)


def test_returns_are_discounted_to_the_end():
    np.testing.assert_allclose(discounted(np.array([[1.0, 2.0, 4.0]]), 0.5), [[3.0, 4.0, 4.0]])


def test_the_histories_of_an_episode_end_at_each_of_its_steps():
    reward = jnp.array([1.0, 2.0, 3.0])
    found = histories(2, reward[:, None], reward[:, None], reward)
    assert found.mask.tolist() == [[False, True], [True, True], [True, True]]
    assert found.reward.tolist() == [[1, 1], [1, 2], [2, 3]]
    assert found.return_to_go[:, -1].tolist() == [6, 5, 3]


@pytest.mark.slow
def test_the_whole_chain(tmp_path: Path):
    """On tiny sizes; the second time nothing is left to do."""
    script = [sys.executable, str(EXPERIMENTS / "transformer_reward.py"), "--quick", "--quiet"]
    for _ in range(2):
        subprocess.run([*script, f"--runs={tmp_path}"], check=True, timeout=3000)
    results = tmp_path / "results"
    rows = page.read(results)
    assert list(rows) == [
        "teacher", "nothing", "transformer, 0.4", "transformer online, 0.4", "as much less, 0.4",
        "clipped double Q",
    ]  # fmt: skip
    reduction = rows["transformer, 0.4"].reduction
    assert rows["as much less, 0.4"].reduction == pytest.approx(reduction, rel=1e-3)
    assert rows["nothing"].reduction == 0
    assert (results / "side_by_side.gif").stat().st_size <= 1_000_000
    assert "The idea helps against" in (results / "README.md").read_text()
