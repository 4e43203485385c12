"""What acts outside of rlp acts as inside: every algorithm, every head, every format."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from rlp import testing
from rlp.errors import InputError
from rlp.export import folder, parity, policy
from rlp.export.functions import Member
from rlp.types import Space
from tests import own_algorithm
from tests.algos.test_contract import SMALL

NEEDED = {"stablehlo": "flatbuffers", "onnx": "onnxruntime"}
CLOSE = {"numpy": 1e-5, "stablehlo": 1e-6, "onnx": 1e-5}
THREE = testing.SPEC._replace(action=Space((3,)))
PLANNER = "tt"  # what it does is beyond numpy's and ONNX's operations


CASES = {
    "one's own": (own_algorithm, own_algorithm.Config(), THREE),
    **{name: (algo, config, spec) for name, algo, config, spec in parity.cases(SMALL, THREE)},
}


@cache
def member(name: str) -> Member:
    return parity.random_member(*CASES[name])


@cache
def played(name: str, batch: int) -> parity.Played:
    return parity.play(member(name), batch)


@pytest.mark.parametrize("form", CLOSE)
@pytest.mark.parametrize("name", [name for name in CASES if name != PLANNER])
def test_an_exported_policy_acts_as_the_agent_does(name: str, form: folder.Format, tmp_path: Path):
    if form in NEEDED:
        pytest.importorskip(NEEDED[form])
    folder.WRITERS[form](tmp_path, member(name))
    for batch in parity.BATCHES:
        assert parity.error(played(name, batch), form, tmp_path) <= CLOSE[form]


def test_weights_have_their_names(tmp_path: Path):
    folder.WRITERS["numpy"](tmp_path, member("iql"))
    with np.load(tmp_path / "act.npz") as arrays:
        assert {"params.mlp.Dense_0.kernel", "params.mlp.output.bias", "normalizer.std"} <= {
            *arrays
        }


@pytest.mark.parametrize("form", ["numpy", "onnx"])
def test_what_has_no_operation_is_refused(form: folder.Format, tmp_path: Path):
    with pytest.raises(InputError, match=r"the policy uses .*--formats=stablehlo"):
        folder.WRITERS[form](tmp_path, member(PLANNER))


@pytest.mark.slow
def test_a_planner_leaves_as_stablehlo(tmp_path: Path):
    pytest.importorskip("flatbuffers")
    folder.WRITERS["stablehlo"](tmp_path, member(PLANNER))
    assert parity.error(played(PLANNER, 1), "stablehlo", tmp_path) <= 1e-5


def test_an_operation_of_another_version_is_refused():
    with pytest.raises(ValueError, match="no operation convolve"):
        policy.operation("convolve", {})
