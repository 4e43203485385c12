"""The lock of a run: one process at a time writes its folder.

It is the operating system's, on the file `lock` in the folder, so it ends with the process that
holds it, however that ends. On NFS it holds between machines too (Linux since 2.6.12).
"""

import fcntl
import os
import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlp.errors import InputError

PATIENCE = 1.0  # seconds: a process that was killed takes a moment to go


@contextmanager
def locked(directory: Path, name: str = "lock") -> Iterator[None]:
    """Holds the lock of a run's folder, which is made where it is not there.

    Args:
        directory: of the run.
        name: of the lock's file; another than the run's own is for a file beside its training.

    Raises:
        InputError: if another process holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    path = directory / name
    file = os.open(path, flags, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise InputError(f"{path} is not a file: remove it")
        _take(file, path)
        os.ftruncate(file, 0)
        os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        try:
            yield
        finally:
            if directory.exists() and os.listdir(directory) == [name]:
                path.unlink()  # it was stopped before anything was written
                directory.rmdir()
    finally:
        os.close(file)


def _take(file: int, path: Path) -> None:
    directory, end = path.parent, time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise InputError(
                    f"{directory} is being written by {_holder(file)}: wait for its end, or stop "
                    f"it; if that machine is gone, remove {path}"
                ) from None
            time.sleep(0.05)
        except OSError as error:  # as on Lustre that was mounted without them
            print(
                f"warning: {directory}: its file system has no locks ({error.strerror}); "
                "take care that no other process writes it",
                file=sys.stderr,
            )
            return None


def _holder(file: int) -> str:
    """Returns `process PID on HOST`."""
    text = os.pread(file, 300, 0).decode(errors="replace").strip()
    return text if text.startswith("process ") and text.isprintable() else "another process"
