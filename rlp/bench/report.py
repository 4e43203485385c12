"""Figures of the benchmark as tables: on the terminal, two files side by side, in markdown.

A file of figures is a list of cases, as `rlp.bench` writes them: all of them measured, or all
compiled for another device (`rlp.bench.compiled_report`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rlp.bench import compiled_report, workload
from rlp.cli import tables
from rlp.cli.tables import ScreenTable
from rlp.errors import InputError
from rlp.system import files

Figures = dict[str, Any]  # of one case
Case = tuple[str, str, int, int]  # algorithm, precision, members, devices that share a batch


def read(path: Path) -> list[Figures]:
    """Returns the cases of a file.

    Raises:
        InputError: if there is no such file, or it is of something else.
    """
    if not path.is_file():
        raise InputError(f"no file {path}")
    try:
        figures = files.read_json(path)
        _ours(figures)  # has what it needs
    except (TypeError, KeyError) as error:
        raise InputError(f"{path}: no figures of a benchmark") from error
    return figures


def _ours(figures: Sequence[Figures]) -> dict[Case, Figures]:
    """Returns the cases that are not another library's."""
    ours = [r for r in figures if r["library"] == "rlp"]
    return {
        (r["algo"], r["precision"], r["members"], r.get("batch_devices", 1)): r
        for r in ours  # older figures do not say how many devices share
    }


def is_compiled(figures: Sequence[Figures]) -> bool:
    """Returns whether these are of programs that were compiled for another device."""
    return any("target" in each for each in figures)


def on_screen(figures: Sequence[Figures]) -> ScreenTable:
    """Returns a row a case."""
    if is_compiled(figures):
        return compiled_report.on_screen(figures)
    table = ScreenTable(COLUMNS)
    for result in figures:
        table.add_row(*(show(result) for show in COLUMNS.values()))
    return table


def side_by_side(before: Sequence[Figures], after: Sequence[Figures]) -> ScreenTable:
    """Returns a row for every case that both have, and how they differ.

    Raises:
        InputError: if one was measured and the other compiled.
    """
    if is_compiled(before) != is_compiled(after):
        raise InputError("--compare: one of the files was measured, the other compiled")
    if is_compiled(before):
        return compiled_report.side_by_side(_ours(before), _ours(after))
    columns = ("algorithm", "precision", "members", "devices each", "updates/s", "")
    columns += ("of ceiling", "", "ratio")
    table = ScreenTable(columns)
    both = _ours(before), _ours(after)
    for case in [each for each in both[0] if each in both[1]]:
        speeds, fractions = (
            [figures[case][name] for figures in both]
            for name in ("updates_per_second", "fraction_of_ceiling")
        )
        table.add_row(
            *map(str, case),
            *map(_speed, speeds),
            *(f"{fraction:.0%}" for fraction in fractions),
            f"{fractions[1] / fractions[0]:.2f}",
        )
    return table


def markdown(figures: Sequence[Figures]) -> str:
    """Returns a row an algorithm: what float32 populations make and take, and a peer beside them.

    Of compiled programs it is the table of the terminal.

    Raises:
        InputError: if there is no population of float32.
    """
    if is_compiled(figures):
        return compiled_report.markdown(figures)
    ours = {case: r for case, r in _ours(figures).items() if case[1] == "float32"}
    if not ours:
        raise InputError("none of these figures is of float32")
    peers = {r["algo"]: r for r in figures if r["library"] != "rlp"}
    sizes = sorted({(members, sharing) for *_, members, sharing in ours})
    ends = f"({', '.join(map(str, dict.fromkeys((sizes[0][0], sizes[-1][0]))))})"
    header = ["", "GFLOP an update", *(_population(*size) for size in sizes)]
    header += [f"first update after {ends}", f"peak memory {ends}"]
    header += sorted({r["library"] for r in peers.values()})
    rows = []
    for algo in dict.fromkeys(algo for algo, *_ in ours):
        populations = [ours.get((algo, "float32", *size)) for size in sizes]
        measured = [r for r in populations if r]
        smallest_and_largest = measured[:1] + measured[1:][-1:]
        row = [algo, f"{measured[0]['gflop_per_update']:.2f}", *map(_speed_of_ceiling, populations)]
        row.append(", ".join(f"{r['first_update_seconds']:.1f} s" for r in smallest_and_largest))
        row.append(", ".join(f"{r['peak_megabytes']:,.0f} MB" for r in smallest_and_largest))
        row += [_speed_of_ceiling(peers.get(algo))] * bool(peers)
        rows.append(row)
    return tables.markdown(header, rows)


def notes(figures: Sequence[Figures]) -> str:
    """Returns what the columns on the terminal mean, and what follows from them."""
    if is_compiled(figures):
        return compiled_report.notes(figures)
    lines = [
        "of ceiling: GFLOP/s of the updates over those of a float32 matmul, "
        f"{workload.MATMUL_SIZE}²",
        "first s: from the start of the process to its first finished update",
        f"ceilings: {ceilings(figures)}",
        faster_ways(figures),
    ]
    return "\n".join(filter(None, lines))


def remark(figures: Sequence[Figures]) -> str:
    """Returns what is to be said of two files side by side."""
    return "" if is_compiled(figures) else "; ratio: of the fractions of the ceiling"


def faster_ways(figures: Sequence[Figures]) -> str:
    """Returns which way one member is faster, "" where only one was measured."""
    ours, lines = _ours(figures), []
    for (algo, precision, members, sharing), shared in ours.items():
        alone = ours.get((algo, precision, members, 1))
        if sharing > 1 and alone:
            times = shared["fraction_of_ceiling"] / alone["fraction_of_ceiling"]
            better = f"--batch_devices={sharing if times > 1 else 1}"
            lines.append(f"{algo} ({precision}) {max(times, 1 / times):.2f} times with {better}")
    return f"one member is faster: {', '.join(lines)}" if lines else ""


def times_the_peer(figures: Sequence[Figures], library: str) -> str:
    """Returns how many times the library's fraction of the ceiling one of our members makes."""
    fractions: dict[tuple[str, str], float] = {}
    for r in figures:
        if (r["members"], r["precision"]) == (1, "float32"):
            case = r["algo"], r["library"]
            fractions[case] = max(r["fraction_of_ceiling"], fractions.get(case, 0.0))
    times = [
        f"{algo} {fractions[algo, 'rlp'] / fraction:.1f}"
        for (algo, name), fraction in fractions.items()
        if name != "rlp" and (algo, "rlp") in fractions
    ]
    text = ", ".join(times) or "none"
    return f"times {library}'s fraction of the ceiling, one member at its faster way: {text}"


def ceilings(figures: Sequence[Figures]) -> str:
    """Returns the most that products of each precision and copies were measured to make."""
    ours, products = list(_ours(figures).values()), {}
    for result in ours:
        speed = result["ceiling_of_precision_gflop_per_second"]
        products[result["precision"]] = max(speed, products.get(result["precision"], 0))
    copies = max(result["copy_gigabytes_per_second"] for result in ours)
    words = [f"{speed:,.0f} GFLOP/s of {name} products" for name, speed in products.items()]
    return ", ".join([*words, f"{copies:,.0f} GB/s read and written by copies"])


def _population(num_members: int, sharing: int) -> str:
    """Returns `4 members`, or `1 member on 2` where devices share its batches."""
    return f"{num_members} member{'s' * (num_members > 1)}{f' on {sharing}' * (sharing > 1)}"


def _speed(speed: float) -> str:
    """Returns `1,041`, `20.4` or `0.238`: a member of a large population makes few a second."""
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.3g}"


def _speed_of_ceiling(result: Figures | None) -> str:
    """Returns `1,041 (50%)`, nothing of a case that was not measured."""
    if result is None:
        return ""
    return f"{_speed(result['updates_per_second'])} ({result['fraction_of_ceiling']:.0%})"


COLUMNS: dict[str, Callable[[Figures], str]] = {
    "algorithm": lambda r: r["algo"] + (f" ({r['library']})" if r["library"] != "rlp" else ""),
    **compiled_report.OF_CASE,
    "updates/s": lambda r: _speed(r["updates_per_second"]),
    "a member": lambda r: _speed(r["updates_per_second"] / r["members"]),
    "GFLOP each": lambda r: f"{r['gflop_per_update']:.2f}",
    "of ceiling": lambda r: f"{r['fraction_of_ceiling']:.0%}",
    "GFLOP/s": lambda r: f"{r['ceiling_gflop_per_second']:,.0f}",
    "compile s": lambda r: f"{r['compile_seconds']:.1f}",
    "first s": lambda r: f"{r['first_update_seconds']:.1f}",
    "peak MB": lambda r: f"{r['peak_megabytes']:,.0f}",
}
