"""What records say of where their numbers come from."""

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rlp.runs import provenance


def test_a_commit_is_dirty_if_its_code_was_changed_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True)

    package = tmp_path / "rlp"
    package.mkdir()
    code, record = package / "runs.py", tmp_path / "record.json"
    for path in (code, record):
        path.write_text("1\n")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message=all")
    monkeypatch.setattr(provenance, "__file__", str(code))
    record.write_text("2\n")
    commit = provenance.environment()["git_commit"]
    assert re.fullmatch("[0-9a-f]{12}", commit)
    code.write_text("2\n")
    assert provenance.environment()["git_commit"] == f"{commit}-dirty"


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ("cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: A\n\n" * 2, " A (family 25, model 17)"),
        ("Features\t: fp asimd\n", ""),  # ARM
        (None, ""),  # no such file
    ],
)
def test_a_record_names_the_processor_where_the_system_tells(
    facts: str | None, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(provenance, "CPU_FACTS", tmp_path / "cpuinfo")
    if facts:
        provenance.CPU_FACTS.write_text(facts)
    machine = provenance.environment()["machine"]
    assert f"{platform.machine()}{named}, " in machine


def test_a_process_of_a_command_names_the_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    bench = Path(provenance.__file__).parents[1] / "bench" / "__main__.py"
    for script, expected in (
        (str(bench), "python -m rlp.bench --x=1"),
        (str(bench.parents[1] / "train.py"), "python -m rlp.train --x=1"),
        ("experiments/walker.py", "python experiments/walker.py --x=1"),
    ):
        monkeypatch.setattr(sys, "argv", [script, "--x=1"])
        assert provenance.environment()["command"] == expected
