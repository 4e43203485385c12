import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import pytest

from rlp.bench import ahead, launches, targets
from rlp.errors import InputError

RECORDS = Path(__file__).parents[2] / "experiments" / "results"
ALGOS = "bc", "iql", "td3bc", "rebrac", "cqlsac", "dt"
MORE = 1.05  # launches than the record has, before something is wrong


@pytest.mark.parametrize(
    ("num_bytes", "flops", "slower_us"),
    [(4.8e9, 1.0, 1e3), (1.0, 989e9, 1e3)],  # a millisecond of memory, or of products
)
def test_an_estimate_is_launches_and_what_is_slower(
    num_bytes: float, flops: float, slower_us: float
):
    target = targets.find("h200")
    estimate = ahead.estimated_us(target, "bf16", 30, num_bytes, flops)
    assert estimate == pytest.approx(30 * target.launch_us + slower_us)


def compiled(target: str, algo: str, precision: str, num_members: int, out: Path) -> dict[str, Any]:
    """Returns the figures of one case, from a process like a user's."""
    words = [
        f"--compile_for={target}", f"--algos={algo}", f"--precisions={precision}",
        f"--members={num_members}", "--batch_devices=1", f"--json={out}/figures.json",
    ]  # fmt: skip
    own = ("XLA_FLAGS", "JAX_DISABLE_MOST_OPTIMIZATIONS", "JAX_NUM_CPU_DEVICES")  # of tests
    environment = {name: value for name, value in os.environ.items() if name not in own}
    subprocess.run([sys.executable, "-m", "rlp.bench", *words], env=environment, check=True)
    (figures,) = json.loads((out / "figures.json").read_text())
    return figures


@pytest.mark.slow
@pytest.mark.parametrize("algo", ALGOS)
@pytest.mark.parametrize(
    ("target", "precision", "num_members", "record"),
    [("h200", "tf32", 1, "compiled_h200"), ("v5e:2x2", "bf16", 4, "compiled_v5e")],
)
def test_every_algorithm_compiles_for_others_and_launches_no_more(
    target: str,
    precision: str,
    num_members: int,
    record: str,
    algo: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(sys, "path", list(sys.path))  # which the check makes longer
    try:
        targets.check(target, [])
    except InputError as error:
        pytest.skip(str(error))
    figures = compiled(target, algo, precision, num_members, tmp_path)
    assert "refused" not in figures
    assert sum(figures["launches_by_kind"].values()) == figures["launches"]
    assert "collectives" not in figures["launches_by_kind"]
    assert figures["launches_by_kind"].keys() <= set(launches.KINDS)
    before = next(
        case
        for case in json.loads((RECORDS / f"{record}.json").read_text())
        if (case["algo"], case["members"]) == (algo, num_members)
    )
    if before["versions"]["jax"] == jax.__version__:  # another XLA fuses otherwise
        assert figures["launches"] <= MORE * before["launches"]
