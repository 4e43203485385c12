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
        table.add_row(*_cells(result).values())
    return table


def markdown(figures: Sequence[Figures]) -> str:
    """Returns the columns of it that a page has room for, without those that say nothing."""
    columns = [name for name in COLUMNS if name not in NOT_IN_MARKDOWN]
    rows = [_cells(result) for result in figures]
    columns = [name for name in columns if any(cells[name].strip("-") for cells in rows)]
    return tables.markdown(columns, [[cells[name] for name in columns] for cells in rows])


def side_by_side(before: Mapping[Case, Figures], after: Mapping[Case, Figures]) -> ScreenTable:
    """Returns a row for every case that both have: launches, temporaries and estimates."""
    shown = ("launches", "temporary MB", "us, ESTIMATE")
    table = ScreenTable([*CASE, *(text for name in shown for text in (name, ""))])
    for case in [each for each in before if each in after]:
        both = _cells(before[case]), _cells(after[case])
        table.add_row(*map(str, case), *(cells[name] for name in shown for cells in both))
    return table


def notes(figures: Sequence[Figures]) -> str:
    """Returns what the columns mean, and which cases do not compile and why."""
    refused = [
        f"{r['algo']}, {r['precision']}, {r['members']} members does not compile: {r['refused']}"
        for r in figures
        if "refused" in r
    ]
    return "\n".join([NOTES, *refused])


def _cells(result: Figures) -> dict[str, str]:
    """Returns what a case has in every column, "-" of what does not compile."""
    is_refused = "refused" in result
    return {
        name: "-" if is_refused and name not in CASE else show(result)
        for name, show in COLUMNS.items()
    }


def _kinds(result: Figures) -> str:
    counts = result["launches_by_kind"]
    return ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if kind in counts)


def _by_host(result: Figures) -> str:
    return str(sum(result["launched_by_host"].values()) or "")


OF_CASE: dict[str, Callable[[Figures], str]] = {  # which it is, besides its algorithm
    "precision": lambda r: r["precision"],
    "members": lambda r: str(r["members"]),
    "devices each": lambda r: str(r.get("batch_devices", "")),
}
COLUMNS: dict[str, Callable[[Figures], str]] = {
    "algorithm": lambda r: r["algo"],
    **OF_CASE,
    "launches": lambda r: str(r["launches"]),
    "of which": _kinds,
    "by host": _by_host,
    "GFLOP each": lambda r: f"{r['gflop_per_update']:.2f}",
    "padding": lambda r: f"{r['tpu_padding']:.0%}" if r.get("tpu_padding") else "",
    "MB moved": lambda r: f"{r['device_bytes_per_update'] / 1e6:,.1f}",
    "argument MB": lambda r: f"{r['argument_bytes'] / 1e6:,.1f}",
    "temporary MB": lambda r: f"{r['temporary_bytes'] / 1e6:,.1f}",
    "MB a member": lambda r: f"{r['bytes_per_member'] / 1e6:,.1f}",
    "members that fit": lambda r: f"{r['members_that_fit_estimate']:,}",
    "us, ESTIMATE": lambda r: f"{r['update_us_estimate']:,.0f}",
    "compile s": lambda r: f"{r['compile_seconds']:.1f}",
}
NOT_IN_MARKDOWN = ("precision", "GFLOP each", "MB moved", "argument MB", "compile s")
CASE = ("algorithm", *OF_CASE)
