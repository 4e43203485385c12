import subprocess
import sys
from pathlib import Path

import pytest

from rlp.errors import InputError
from rlp.system import lock
from rlp.system.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from rlp.system.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_another_process_is_named_and_one_that_is_gone_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        monkeypatch.setattr(lock, "PATIENCE", 0.0)
        with pytest.raises(InputError, match=f"by process {holder.pid} on .*: wait for its end"):
            locked(tmp_path).__enter__()
        holder.kill()
    with locked(tmp_path):
        pass


def test_a_folder_is_written_by_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    with locked(tmp_path), pytest.raises(InputError, match="is being written by process"):
        locked(tmp_path).__enter__()
    with locked(tmp_path / "new" / "folder"):
        assert (tmp_path / "new" / "folder" / "lock").is_file()


def test_a_file_system_without_locks_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def unknown(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(lock.fcntl, "flock", unknown)
    with locked(tmp_path):
        assert "has no locks (Function not implemented)" in capsys.readouterr().err


def test_a_folder_that_nothing_was_written_to_goes_again(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), locked(tmp_path / "run"):
        raise KeyboardInterrupt
    assert not (tmp_path / "run").exists()
    with locked(tmp_path / "run"):
        (tmp_path / "run" / "config.json").touch()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["config.json", "lock"]


def test_a_folder_that_was_removed_meanwhile_is_none_of_its_business(tmp_path: Path):
    with locked(tmp_path / "run"):
        (tmp_path / "run" / "lock").unlink()
        (tmp_path / "run").rmdir()
