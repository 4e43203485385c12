import json
import re
from pathlib import Path
from typing import Any

import pytest

from rlp.bench import benchmark
from tests.whole_runs import refused

CASE = {
    "algo": "bc", "library": "rlp", "precision": "float32", "members": 4,
    "batch_devices": 1,
    "updates_per_second": 30.7,
    "gflop_per_update": 0.1,
    "fraction_of_ceiling": 0.5, "ceiling_gflop_per_second": 80.0, "compile_seconds": 1.0,
    "first_update_seconds": 2.0, "copy_gigabytes_per_second": 10.0,
    "ceiling_of_precision_gflop_per_second": 90.0, "peak_megabytes": 300.0,
    "devices": ["cpu"], "machine": "a machine", "versions": {"jax": "0"},
}  # fmt: skip


def test_two_files_of_figures_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    other = {**CASE, "algo": "iql"}
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_text(json.dumps([CASE, other]))
    after.write_text(
        json.dumps([{**CASE, "updates_per_second": 1700.0, "fraction_of_ceiling": 0.6}])
    )
    benchmark.main([f"--compare={before},{after}"])
    out = capsys.readouterr().out
    assert out.count("bc") == 1
    assert re.search(r"4 +1 +30\.7 +1,700 +50% +60% +1\.20", out)
    assert "iql" not in out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.json", "give two files"),
        ("a.json,b.json", "no file a.json"),
        ("{folder}/c.json,b.json", "c.json: no figures of a benchmark"),
    ],
)
def test_comparing_other_things(tmp_path: Path, text: str, message: str, capsys: Any):
    (tmp_path / "c.json").write_text('{"a": 1}')
    words = [f"--compare={text.format(folder=tmp_path)}"]
    assert message in refused(capsys, lambda: benchmark.main(words))


def test_a_table_in_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    alone = {**CASE, "members": 1, "updates_per_second": 1700.0, "first_update_seconds": 1.5}
    shared = {**alone, "batch_devices": 2, "updates_per_second": 1900.0}
    rounded = {**CASE, "precision": "bf16"}
    theirs = {**alone, "library": "d3rlpy 2.8.1", "updates_per_second": 99.0}
    other = {**alone, "algo": "iql"}
    (tmp_path / "figures.json").write_text(
        json.dumps([alone, shared, CASE, rounded, theirs, other])
    )
    benchmark.main([f"--markdown={tmp_path}/figures.json"])
    assert capsys.readouterr().out.splitlines() == [
        "|  | GFLOP an update | 1 member | 1 member on 2 | 4 members | first update after (1, 4) "
        "| peak memory (1, 4) | d3rlpy 2.8.1 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| bc | 0.10 | 1,700 (50%) | 1,900 (50%) | 30.7 (50%) | 1.5 s, 2.0 s | 300 MB, 300 MB "
        "| 99 (50%) |",
        "| iql | 0.10 | 1,700 (50%) |  |  | 1.5 s | 300 MB |  |",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "no figures of a benchmark"),
        ("[]", "none of these figures is of float32"),
        (json.dumps([{**CASE, "precision": "bf16"}]), "none of these figures is of float32"),
    ],
)
def test_a_table_of_other_things(text: str, message: str, tmp_path: Path, capsys: Any):
    (tmp_path / "figures.json").write_text(text)
    words = [f"--markdown={tmp_path}/figures.json"]
    assert message in refused(capsys, lambda: benchmark.main(words))
