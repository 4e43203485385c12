"""What a person sees of a run: lines, and on a terminal a bar with speed, losses and ETA."""

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console, RenderableType
from rich.progress import Progress, ProgressColumn, Task
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rlp.cli.tables import WHOLE, ScreenTable
from rlp.envs.bodies import d4rl_score
from rlp.errors import RunWarning
from rlp.statistics import SUMMARY, falls, mean_interval, summary
from rlp.types import NEVER, NOT_FINITE

COMPILING = "compiling..."
BAR_WIDTH = 16


def console(stderr: bool = False) -> Console:
    """Returns the console of stdout or stderr; tables fit its width where it is a terminal's."""
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    made = Console(
        stderr=stderr, force_terminal=is_terminal, highlight=False, markup=False, soft_wrap=True
    )
    if not is_terminal:
        made.width = WHOLE
    return made


class _Part(NamedTuple):
    """What may be shown of a bar; the one of the highest rank is left out first."""

    rank: int
    shown: RenderableType

    @property
    def width(self) -> int:
        return len(self.shown) if isinstance(self.shown, str) else BAR_WIDTH


class _Line(ProgressColumn):
    """A bar in one line, without what the terminal has no room for: the losses go first."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def render(self, task: Task) -> Table:
        """Returns the parts of a bar that fit."""
        speed, *losses = task.fields["note"].split("  ")
        parts = [
            _Part(0, task.description),
            _Part(4, ProgressBar(task.total, task.completed, BAR_WIDTH)),
            _Part(1, f"{task.completed:,.0f}/{task.total:,.0f}" if task.total else ""),
            _Part(3, speed),
            *(_Part(6 + number, loss) for number, loss in enumerate(losses)),
            _Part(5, _clock(task.elapsed)),
            _Part(2, f"ETA {_clock(task.time_remaining)}" if task.time_remaining else ""),
        ]
        kept = sorted(part for part in parts if part.width)
        while sum(part.width + 1 for part in kept) > self._console.width and len(kept) > 1:
            kept.pop()
        line = Table.grid(padding=(0, 1))
        for _ in kept:
            line.add_column(no_wrap=True)
        line.add_row(*(part.shown for part in parts if part in kept))
        return line


class Terminal:
    """Prints a run; `quiet` leaves only the table of returns. Use it as a context manager."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._warned: set[str] = set()
        self._console = console()
        self._live = self._console.is_interactive and not quiet
        self._progress = Progress(
            _Line(self._console), console=self._console, transient=True, disable=not self._live
        )

    def __enter__(self) -> "Terminal":
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
        """Prints a warning on stderr, quiet or not; above the bar where both are one terminal's."""
        errors = console(stderr=True)
        shown_on = self._console if self._live and errors.is_terminal else errors
        shown_on.print(Text.assemble(("warning:", "yellow"), " ", text))

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
    def bar(
        self, description: str, total: int | None = None, note: str = ""
    ) -> Iterator[Callable[..., None]]:
        """Shows a bar; the function it yields moves it to a count, with a note behind it.

        Args:
            description: what goes on.
            total: the count at its end (None: not known).
            note: the first; two spaces are between what a narrow terminal may leave out.
        """
        task = self._progress.add_task(description, total=total, note=note)

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
        best: float = 0.0,
        measures: Mapping[str, Mapping[str, np.ndarray]] = MappingProxyType({}),
    ) -> None:
        """Prints a table of returns, and the interval of the members' mean.

        Args:
            rows: the returns of the episodes of each name.
            means: those of the members of each setting and task; shown from two members on.
            env: the environment; the mean has a column of D4RL's scores where it has those.
            diverged: the update from which on a name is not finite; it has no return.
            best: return of the data's best episode; where it is above 0 there is a column of the
                episodes below a fifth of it.
            measures: what else is known of episodes, as `success`, of some names; a column each.
        """
        scored = d4rl_score(env, np.zeros(1)) is not None
        extra = [*["falls"] * (best > 0), *measures]
        columns = ("return", *SUMMARY, *extra, "n", *["D4RL score"] * scored)
        table = ScreenTable(columns)

        def add(name: str, values: np.ndarray, what: str, share: str) -> None:
            scores = d4rl_score(env, values)
            score = [] if scores is None else [f"{scores.mean():.1f}"]
            shown = [share] * (best > 0)
            shown += [_mean(of_rows.get(name, np.zeros(0))) for of_rows in measures.values()]
            table.add_row(name, *_summary(values), *shown, f"{values.size} {what}", *score)

        for name, values in rows.items():
            if name in diverged:
                nothing = [""] * (columns.index("n") - 1)
                table.add_row(name, *nothing, f"{NOT_FINITE} from update {diverged[name]:,}")
            else:
                add(name, values, "episodes", f"{falls(values, best):.0%}")
        several = {name: values for name, values in means.items() if len(values) > 1}
        table.add_section()
        for name, values in several.items():
            add(f"members' means{name}", values, "members", "")
        self._console.print(table)
        for name, values in several.items():
            low, high = mean_interval(values)
            text = f"mean of the members{name}: {values.mean():.0f}"
            self._console.print(f"{text}, 95 % interval {low:.0f} to {high:.0f} (Student's)")
        if best > 0:
            self._console.print("falls: episodes that earn less than a fifth of the data's best")

    def numbers(
        self, title: str, rows: Mapping[str, Mapping[str, float]], explained: Mapping[str, str]
    ) -> None:
        """Prints a table of numbers by row and name, and what the names mean."""
        names = [name for name in explained if any(name in row for row in rows.values())]
        header = [title, *(name.replace("_", " ") for name in names)]
        self.table(
            header,
            [[label, *(f"{row[name]:.4g}" for name in names)] for label, row in rows.items()],
        )
        for name in names:
            self.result(f"{name.replace('_', ' ')}: {explained[name]}")

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Prints a table whose first column names the rows."""
        shown = ScreenTable(header)
        for row in rows:
            shown.add_row(*row)
        self._console.print(shown)

    def result(self, text: str) -> None:
        """Prints a line that belongs to the result, quiet or not."""
        self._console.print(text)


class Silent(Terminal):
    """Shows nothing; what would be warned of on stderr is a Python warning."""

    def __init__(self) -> None:
        super().__init__(quiet=True)

    def warn(self, text: str) -> None:
        """Warns as Python does."""
        warnings.warn(text, RunWarning, stacklevel=2)

    def returns(self, *_: Any, **__: Any) -> None:
        """Prints nothing: the returns are in the run."""

    def table(self, *_: Any, **__: Any) -> None:
        """Prints nothing: what is found is in the run, too."""

    def result(self, text: str) -> None:
        """Prints nothing."""


def spread(values: np.ndarray) -> str:
    """Returns `871 +- 40 (820 to 905)`, or `871` of a single value."""
    mean, std, _, low, high = _summary(values)
    return f"{mean} +- {std} ({low} to {high})" if values.size > 1 else mean


def _clock(seconds: float | None) -> str:
    """Returns a time as `0:01:05`."""
    return str(timedelta(seconds=round(seconds or 0)))


def _mean(values: np.ndarray) -> str:
    """Returns the share of flags that are set, or the mean of numbers; "" of none."""
    if not values.size:
        return ""
    return f"{values.mean():.0%}" if values.dtype == bool else f"{values.mean():.2f}"


def _summary(values: np.ndarray) -> list[str]:
    return ["" if np.isnan(value) else f"{value:.0f}" for value in summary(values)]
