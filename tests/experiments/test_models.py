"""The study of learned models on tiny sizes, and its table."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import models
import numpy as np
import pytest

from rlp import config
from rlp.commands.train import values_of
from rlp.evaluation.model_quality import HORIZONS
from rlp.training import start

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def test_the_table_has_means_of_members_and_medians_of_numbers():
    def member(of_model: float) -> dict[str, object]:
        errors = np.full((len(HORIZONS), 3), [of_model, 9.0, 0.0]).tolist()
        return {
            "horizons": list(HORIZONS), "model": errors, "linear": errors, "persistence": errors,
            "coverage": [[0.5] * 3, [0.8] * 3, [0.9, 1.0, 0.95]],
            "rank_correlations": {"in the data": 0.5, "random actions": of_model},
        }  # fmt: skip

    record = {"members": {"seed=0": member(1.0), "seed=1": member(2.0)}}
    line = models.table({"mopo, a/b": record}).splitlines()[-1]
    errors = "1.50 / 1.50 / 1.50"
    assert line == f"| mopo, a/b | {errors} | {errors} | {errors} | 95.0% | 0.50 / 1.50 |"


def config_of(row: str) -> dict[str, Any]:
    algo, flags = models.study_of(models.Settings()).rows[row]
    _, configs = start.choose(algo, values_of(algo, dict(flags)))
    return config.to_dict(configs[0])


def test_an_agent_without_a_model_is_that_in_the_model():
    in_model, alone = config_of("mopo"), config_of("no-model")
    assert in_model.pop("num_updates") == alone.pop("num_updates") + in_model["model_updates"]
    assert {name: in_model[name] for name in alone} == alone


@pytest.mark.slow
def test_the_study_on_tiny_sizes(tmp_path: Path):
    words = [sys.executable, str(EXPERIMENTS / "models.py"), "--quick", "--quiet"]
    subprocess.run([*words, f"--runs={tmp_path}"], check=True, timeout=3000)
    results = tmp_path / "results" / "models_quick"
    assert "| no-model | walker-run/medium-replay | 2 |" in (results / "README.md").read_text()
    page = (results / "models.md").read_text()
    for row in ("none", "mopo", "morel", "mobile"):
        assert f"| {row}, walker-run/medium-replay | " in page
