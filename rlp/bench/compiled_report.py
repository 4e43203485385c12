"""Figures of programs compiled for another device as tables, see `rlp.bench.report`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlp.bench.launches import KINDS
from rlp.cli import tables
from rlp.cli.tables import ScreenTable

Figures = dict[str, Any]  # of one case
Case = tuple[str, str, int, int]  # algorithm, precision, members, devices that share a batch
NOTES = """\
launches: an update's, of all members of a device together; of a conditional its larger branch
by host: CUDA graphs and single launches that the host begins in an update; 1 is one graph
MB a member: its state and what its updates need beside the data; members that fit: ESTIMATE by it
padding: of a TPU's products that are not needed, as it makes whole tiles of 8 x 128
us, ESTIMATE: launches x time of one + max(bytes / bandwidth, FLOPs / peak of the precision), with
the figures of rlp/bench/targets.toml; nothing was run, and gemms are not tuned"""


def on_screen(figures: Sequence[Figures]) -> ScreenTable:
    """Returns a row a case."""
    table = ScreenTable(COLUMNS)
    for result in figures:
        table.add_row(*_row(result))
    return table


def markdown(figures: Sequence[Figures]) -> str:
    """Returns the same table in markdown."""
    return tables.markdown(list(COLUMNS), [_row(result) for result in figures])


def side_by_side(before: Mapping[Case, Figures], after: Mapping[Case, Figures]) -> ScreenTable:
    """Returns a row for every case that both have: launches, temporaries and estimates."""
    shown = ("launches", "temporary MB", "us, ESTIMATE")
    columns = ["algorithm", "precision", "members", "devices each"]
    table = ScreenTable(columns + [text for name in shown for text in (name, "")])
    for case in [each for each in before if each in after]:
        cells = (COLUMNS[name](each[case]) for name in shown for each in (before, after)
                 if "launches" in each[case])  # fmt: skip
        row = [*map(str, case), *cells]
        table.add_row(*row, *[""] * (len(columns) + 2 * len(shown) - len(row)))
    return table


def notes(figures: Sequence[Figures]) -> str:
    """Returns what the columns mean, and which cases do not compile and why."""
    refused = [
        f"{r['algo']}, {r['precision']}, {r['members']} members does not compile: {r['refused']}"
        for r in figures
        if "refused" in r
    ]
    return "\n".join([NOTES, *refused])


def _row(result: Figures) -> list[str]:
    named = list(COLUMNS.values())[:NUM_NAMES]
    if "refused" in result:
        return [show(result) for show in named] + ["-"] * (len(COLUMNS) - NUM_NAMES)
    return [show(result) for show in COLUMNS.values()]


def _kinds(result: Figures) -> str:
    counts = result["launches_by_kind"]
    return ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if kind in counts)


def _by_host(result: Figures) -> str:
    return str(sum(result["launched_by_host"].values()) or "")


COLUMNS: dict[str, Callable[[Figures], str]] = {
    "algorithm": lambda r: r["algo"],
    "precision": lambda r: r["precision"],
    "members": lambda r: str(r["members"]),
    "devices each": lambda r: str(r["batch_devices"]),
    "launches": lambda r: str(r["launches"]),
    "of which": _kinds,
    "by host": _by_host,
    "GFLOP each": lambda r: f"{r['gflop_per_update']:.2f}",
    "padding": lambda r: "" if r["tpu_padding"] is None else f"{r['tpu_padding']:.0%}",
    "MB moved": lambda r: f"{r['device_bytes_per_update'] / 1e6:,.1f}",
    "argument MB": lambda r: f"{r['argument_bytes'] / 1e6:,.1f}",
    "temporary MB": lambda r: f"{r['temporary_bytes'] / 1e6:,.1f}",
    "MB a member": lambda r: f"{r['bytes_per_member'] / 1e6:,.1f}",
    "members that fit": lambda r: f"{r['members_that_fit_estimate']:,}",
    "us, ESTIMATE": lambda r: f"{r['update_us_estimate']:,.0f}",
    "compile s": lambda r: f"{r['compile_seconds']:.1f}",
}
NUM_NAMES = 4  # columns that say which case it is
