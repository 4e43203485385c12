"""Tables: on the terminal, and in markdown."""

import re
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

PIECE = re.compile(r"[^, ]+[, ]*|[, ]+")  # of a name: it is folded behind commas and spaces
WHOLE = 10_000  # columns, more than any table has


class ScreenTable:
    """A table whose first column names the rows; the others have numbers, which stay whole.

    Where it is too wide for a terminal, headers and names are folded; where that does not do, the
    numbers of a row are written behind their headers, below its name.
    """

    def __init__(self, columns: Iterable[str]) -> None:
        self._columns = tuple(columns)
        self._sections: list[list[tuple[str, ...]]] = [[]]

    def add_row(self, *cells: str) -> None:
        """Adds a name and its numbers."""
        self._sections[-1].append(cells)

    def add_section(self) -> None:
        """Sets the rows that follow apart."""
        self._sections.append([])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the form that fits."""
        names = [_Name(name) for section in self._sections for name, *_ in section]
        foldable = max((each.length for each in names), default=0)
        foldable -= max((each.least for each in names), default=0)
        for between_words in (" ", "\n"):
            table = self._table(between_words)
            width = Measurement.get(console, options.update(width=WHOLE), table).maximum
            if width - foldable <= options.max_width:
                yield table
                return
        for section in self._sections:
            for name, *cells in section:
                numbers = zip(self._columns[1:], cells, strict=True)
                text = ", ".join(f"{column} {cell}".strip() for column, cell in numbers)
                yield _Name(name)
                yield Padding(
                    Text(text, overflow="fold", no_wrap=False), (0, 0, 0, 2), expand=False
                )

    def _table(self, between_words: str) -> Table:
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        first, *others = self._columns
        table.add_column(first)
        for column in others:
            table.add_column(column.replace(" ", between_words), justify="right", no_wrap=True)
        for section in self._sections:
            for name, *cells in section:
                table.add_row(_Name(name), *cells)
            table.add_section()
        return table


class _Name:
    """What a row is called, folded where a reader would."""

    def __init__(self, text: str) -> None:
        self._pieces = PIECE.findall(text)
        self.length, self.least = len(text), max(map(len, self._pieces), default=0)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        del console, options
        return Measurement(self.least, self.length)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console
        lines = [""]
        for piece in self._pieces:
            if lines[-1] and len(lines[-1] + piece.rstrip()) > options.max_width:
                lines.append("")
            lines[-1] += piece
        yield Text("\n".join(line.rstrip() for line in lines), overflow="fold", no_wrap=False)


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table of text."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
