"""What a person sees of a run: lines, and on a terminal a bar with speed, losses and ETA."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from rlp import tables
from rlp.stats import d4rl_score
from rlp.types import NEVER, NOT_FINITE


class Screen:
    """Prints a run; `quiet` leaves only the table of returns. Use it as a context manager."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._warned: set[str] = set()
        self._console = Console(highlight=False, markup=False, soft_wrap=True)
        self._console.width = max(self._console.width, 100)  # tables of labels need it
        self._live = self._console.is_terminal and not quiet
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._live,
        )

    def __enter__(self) -> "Screen":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Prints a line unless quiet."""
        if not self._quiet:
            self._console.print(text)
            sys.stdout.flush()

    def log(self, text: str) -> None:
        """Prints a line where no bar shows the same."""
        if not self._live:
            self.say(text)

    def warn(self, text: str) -> None:
        """Prints a warning on stderr, quiet or not."""
        console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        console.print("warning:", style="yellow", end=" ")
        console.print(text)

    def alarms(self, labels: Sequence[str], alarms: Mapping[str, np.ndarray]) -> None:
        """Warns once of each alarm of each member; `alarms` has the update it began, or NEVER."""
        for what, firsts in alarms.items():
            is_end = what == NOT_FINITE and NEVER in firsts  # of others than those that go on
            outlook = "; the others go on" if is_end else ""
            for label, first in zip(labels, firsts, strict=True):
                if first != NEVER and f"{label} {what}" not in self._warned:
                    self._warned.add(f"{label} {what}")
                    self.warn(f"{label}: {what} from update {first:,}{outlook}")

    def invalid(self, episodes: Mapping[str, np.ndarray]) -> None:
        """Warns of simulations that became invalid; `episodes` has those of each name, [N] bool."""
        for name, flags in episodes.items():
            if flags.any():
                which = f"{flags.sum()} of {flags.size} episodes"
                self.warn(f"{name}: the simulation became invalid in {which}, which ended there")

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Callable[..., None]]:
        """Shows a bar; the function it yields moves it to a count, with a note behind it."""
        task = self._progress.add_task(description, total=total, note="")

        def move(count: int, note: str = "") -> None:
            self._progress.update(task, completed=count, note=note)

        try:
            yield move
        finally:
            self._progress.remove_task(task)

    def returns(
        self,
        rows: Mapping[str, np.ndarray],
        means: Mapping[str, np.ndarray] = MappingProxyType({}),
        env: str = "",
        diverged: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Prints a table of returns.

        Args:
            rows: the returns of the episodes of each name.
            means: those of the members of each setting and task; shown from two members on.
            env: the environment; the mean has a column of D4RL's scores where it has those.
            diverged: the update from which on a name is not finite; it has no return.
        """
        scored = d4rl_score(env, np.zeros(1)) is not None
        columns = ("return", "mean", "std", "min", "max", "n", *(["D4RL score"] * scored))
        table = tables.on_screen(columns)

        def add(name: str, values: np.ndarray, what: str) -> None:
            scores = d4rl_score(env, values)
            score = [] if scores is None else [f"{scores.mean():.1f}"]
            table.add_row(name, *_summary(values), f"{values.size} {what}", *score)

        for name, values in rows.items():
            if name in diverged:
                table.add_row(name, "", "", "", "", f"{NOT_FINITE} from update {diverged[name]:,}")
            else:
                add(name, values, "episodes")
        table.add_section()
        for name, values in means.items():
            if len(values) > 1:
                add(f"members' means{name}", values, "members")
        self._console.print(table)


def spread(values: np.ndarray) -> str:
    """Returns `871 +- 40 (820 to 905)`, or `871` of a single value."""
    mean, std, low, high = _summary(values)
    return f"{mean} +- {std} ({low} to {high})" if values.size > 1 else mean


def _summary(values: np.ndarray) -> list[str]:
    return [f"{value:.0f}" for value in (values.mean(), values.std(), values.min(), values.max())]
