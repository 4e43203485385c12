"""A small terminal: what a person sees of the bytes that a program writes to one."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path

TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|.", re.DOTALL)


class Emulator:
    """Shows text; `lines` is all of it, as if it had as many rows as are needed."""

    def __init__(self, num_columns: int) -> None:
        self.num_wraps = 0  # lines that were too wide
        self.seen: list[str] = []  # every line as it was when something took its place
        self._num_columns, self._rows, self._row, self._column = num_columns, [[]], 0, 0

    @property
    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self._rows]

    def show(self, text: str) -> "Emulator":
        for token in TOKEN.finditer(text):
            code = token[2]
            if code == "A":
                self._row -= int(token[1] or 1)
                assert self._row >= 0
            elif code == "K":
                self.seen.append(self.lines[self._row])
                self._rows[self._row] = []
            elif token[0] == "\r":
                self._column = 0
            elif token[0] == "\n":
                self._next_row()
            elif not code:
                self._put(token[0])
        return self

    def _put(self, character: str) -> None:
        if self._column == self._num_columns:
            self.num_wraps += 1
            self._next_row()
            self._column = 0
        row = self._rows[self._row]
        row.extend(" " * (self._column + 1 - len(row)))
        row[self._column] = character
        self._column += 1

    def _next_row(self) -> None:
        self._row, self._column = self._row + 1, 0
        if self._row == len(self._rows):
            self._rows.append([])


def run_in_terminal(command: Sequence[str], num_columns: int, cwd: Path) -> Emulator:
    """Returns a terminal after a command has ended there."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, num_columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    environment |= {"TERM": "xterm-256color", "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(command, cwd=cwd, env=environment, stdin=its, stdout=its, stderr=its)
    os.close(its)
    written = b""
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
    except OSError:  # it has ended
        pass
    os.close(ours)
    assert process.wait() == 0
    return Emulator(num_columns).show(written.decode())
