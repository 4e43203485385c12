"""Tables: on the screen, and in markdown."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table


def on_screen(columns: Iterable[str]) -> Table:
    """Returns a table without rows; the first column names them, the others have numbers."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table of text."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
