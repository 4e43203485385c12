"""How much memory there is."""

from pathlib import Path

import pytest

from rlp import memory


def test_a_job_is_allowed_what_its_narrowest_group_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    own, groups = tmp_path / "own", tmp_path / "groups"
    monkeypatch.setattr(memory, "OWN_GROUP", own)
    monkeypatch.setattr(memory, "CONTROL_GROUPS", groups)
    physical = memory.of_machine()
    step = groups / "jobs" / "job_1" / "step_0"
    step.mkdir(parents=True)
    own.write_text("3:memory:/v1\n0::/jobs/job_1/step_0\n")
    (step / "memory.max").write_text("max\n")
    assert memory.of_machine() == physical
    (step.parent / "memory.max").write_text("1000000\n")
    (groups / "memory.max").write_text("2000000\n")
    assert memory.of_machine() == 1_000_000
    own.write_text("0::/\n")  # in a container, whose group looks like the first
    assert memory.of_machine() == 2_000_000


def test_memory_that_is_free_and_was_used():
    assert 0 < memory.free() < memory.of_machine()
    assert 1e7 < memory.peak() < memory.of_machine()
