"""Which of an update's launches a GPU gets as one CUDA graph (XLA says: a command buffer).

XLA writes the sequence of what it launches where `--xla_dump_to` says, a line each, indented by
what it is in. Everything in a graph is launched together, by the device itself; what stands between
two graphs, the host launches, and for a conditional it waits for the device.
"""

import re
from collections import Counter
from pathlib import Path

GRAPH = "kCommandBuffer"
FILE = "*jit_train.thunk_sequence_after_thunk_passes.txt"
LAUNCH = re.compile(r"^( *)\d+: (k\w+)")


def of_update(folder: Path) -> Counter[str]:
    """Returns how often each kind is launched by the host in an update, graphs by that name.

    The updates are the loop of the most lines. What XLA wrote is in the folder.
    """
    texts = [path.read_text("utf-8") for path in folder.glob(FILE)]
    bodies = [body for text in texts for body in _bodies(text.splitlines())]
    if not bodies:
        return Counter()
    launches = [found.groups() for line in max(bodies, key=len) if (found := LAUNCH.match(line))]
    outermost = min(len(indent) for indent, _ in launches)
    return Counter(kind for indent, kind in launches if len(indent) == outermost)


def _bodies(lines: list[str]) -> list[list[str]]:
    """Returns the lines of every loop's body."""
    bodies = []
    for start, line in enumerate(lines, start=1):
        if line.strip() == "body:":
            indent = len(line) - len(line.lstrip())
            ends = (
                n for n in range(start, len(lines)) if not lines[n].startswith(" " * (indent + 1))
            )
            bodies.append(lines[start : next(ends, len(lines))])
    return bodies
