"""Measures training: `python -m rlp.bench [--members=1,4] [--precisions=bf16] [--json=PATH]`.

With `--compile_for=h200` the same cases are compiled for a device that need not be here instead,
see `rlp.bench.ahead`.

Every case runs in a process of its own on synthetic data of HalfCheetah's size (observation 17,
action 6, 100,000 transitions), with 2 layers of 256 and batches of 256 (the Decision Transformer
as its authors have it), so that compile time, time to first update and peak memory are its own. A
float32 matmul ceiling is measured in turn with the updates: what counts is the fraction of it, as
machines are noisy. No environment is imported.
"""

import itertools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from rlp import cli
from rlp.algos import ALGOS
from rlp.bench import ahead, peers, report, targets, workload
from rlp.cli import terminal
from rlp.config import Distinct, NewFile, Positive
from rlp.errors import InputError
from rlp.runs import provenance
from rlp.system import devices, files, memory
from rlp.types import Precision


@dataclass(frozen=True)
class Settings:
    """The benchmark."""

    algos: str = ",".join(ALGOS)  # which, separated by commas
    members: Distinct[Positive] = (1, 4)  # population sizes
    precisions: Distinct[Precision] = ("float32",)  # of matrix products; or bf16, on a GPU tf32
    batch_devices: Distinct[Positive] = (1, 2)  # that share the batches of one member, each way
    num_rounds: Positive = 5  # measurements of a few seconds each; the median counts
    json: NewFile = ""  # file to write the figures to
    against: str = ""  # d3rlpy: measure it beside us, at the same work
    compile_for: str = ""  # h200, v5e:2x2 or others: compile for them instead, without one
    compare: str = ""  # two such files, BEFORE.json,AFTER.json: prints them side by side instead
    markdown: str = ""  # such a file: prints it as a table in markdown instead


def bench(given: cli.Given) -> None:
    """Measures or compiles every case, prints a table and writes the figures."""
    settings = cli.parse(Settings, given)
    if settings.compare:
        _compare(settings.compare)
        return
    if settings.markdown:
        print(report.markdown(report.read(Path(settings.markdown))))
        return
    cases, results = _cases(settings), []
    console = terminal.console()
    for number, case in enumerate(cases, start=1):
        with console.status(f"{case.name} ({number} of {len(cases)})"):
            found = _in_new_process(case.measure, *case.arguments)
        results += [found] if found else []  # a way that there are no devices for
        if settings.json:  # now, as there may be no end
            files.write_json(Path(settings.json), results)
    if not results:
        raise InputError(f"--batch_devices: {settings.compile_for} has fewer devices")
    console.print(report.on_screen(results))
    first = results[0]
    console.print(f"{first['devices'][0]}, {first['machine']}, jax {first['versions']['jax']}")
    console.print(report.notes(results))
    if settings.against:
        console.print(report.times_the_peer(results, settings.against))
    if settings.json:
        console.print(f"written to {settings.json}")


class Case(NamedTuple):
    """What is measured, or compiled, in a process of its own."""

    name: str
    measure: Callable[..., dict[str, Any] | None]
    arguments: tuple[Any, ...]


def _cases(settings: Settings) -> list[Case]:
    """Returns everything to measure.

    Raises:
        InputError: if something of it cannot be.
    """
    target, cases, rounds = settings.compile_for, [], settings.num_rounds
    if target and settings.against:
        raise InputError(f"--against={settings.against}: --compile_for={target} measures nothing")
    if target:
        targets.check(target, settings.precisions)
    else:
        for precision in settings.precisions:
            devices.check_precision(precision)
    if settings.against:
        peers.check_installed(settings.against)
    for algo_name in cli.chosen("algos", settings.algos, ALGOS):
        if not target:
            most, setting = max(settings.members), workload.setting(algo_name)
            memory.check_members(ALGOS[algo_name], setting, workload.SPEC, most)
        for precision, num_members in itertools.product(settings.precisions, settings.members):
            for sharing in settings.batch_devices if num_members == 1 else (1,):
                name = f"{algo_name}, {precision}, {num_members} members"
                name += f" on {sharing} devices each" * (sharing > 1)
                arguments = (algo_name, precision, num_members, sharing)
                if target:
                    cases.append(Case(name, ahead.measure, (*arguments, target)))
                else:
                    cases.append(Case(name, measure, (*arguments, rounds)))
        if settings.against and algo_name in peers.D3RLPY:
            name = f"{algo_name}, {settings.against}"
            cases.append(Case(name, measure_d3rlpy, (algo_name, rounds)))
    return cases


def _compare(text: str) -> None:
    """Prints the cases that two files of figures have in common, and how they differ.

    Raises:
        InputError: if it is not two files of figures.
    """
    paths = [Path(part) for part in text.split(",")]
    if len(paths) != 2:
        raise InputError(f"--compare={text}: give two files, as --compare=before.json,after.json")
    console = terminal.console()
    before, after = map(report.read, paths)
    console.print(report.side_by_side(before, after))
    console.print(f"of {paths[0]} and {paths[1]}{report.remark(before)}")


def _in_new_process(
    function: Callable[..., dict[str, Any] | None], *arguments: Any
) -> dict[str, Any] | None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments, began=time.time()).result()


def measure(
    algo_name: str,
    precision: Precision,
    num_members: int,
    batch_devices: int,
    num_rounds: int,
    began: float,
) -> dict[str, Any] | None:
    """Returns the figures of one case, None where there are too few devices for it.

    Args:
        algo_name: of what.
        precision: of the matrix products.
        num_members: how many train together.
        batch_devices: that share the batches of each.
        num_rounds: how often its speed is measured.
        began: when its process was started (unix time).
    """
    try:
        training = workload.Training(algo_name, num_members, precision, batch_devices)
    except InputError:
        return None
    one_update = training.compiled(1)
    training.seconds(one_update)
    first_update_seconds = time.time() - began
    num_updates = training.updates_a_round(one_update)
    start = time.perf_counter()
    many_updates = training.compiled(num_updates)
    compile_seconds = time.perf_counter() - start
    training.seconds(many_updates)

    def run() -> float:
        return training.seconds(many_updates)

    return {
        **workload.case(algo_name, precision, num_members, batch_devices),
        "compile_seconds": compile_seconds,
        "first_update_seconds": first_update_seconds,
        **_speed(run, algo_name, num_members * num_updates, num_rounds),
        "ceiling_of_precision_gflop_per_second": workload.matmul_gflop_per_second(precision),
        **provenance.environment(),
    }


def measure_d3rlpy(algo_name: str, num_rounds: int, began: float) -> dict[str, Any]:
    """Returns the figures of d3rlpy's algorithm, whose work is taken to be that of ours."""
    data_set = workload.synthetic_data()
    updates = peers.d3rlpy_updates(algo_name, data_set)

    def run(num_updates: int) -> float:
        start = time.perf_counter()
        updates(num_updates)
        return time.perf_counter() - start

    run(1)
    first_update_seconds = time.time() - began
    num_updates = math.ceil(1 / min(run(1) for _ in range(5)))
    return {
        "algo": algo_name,
        "library": f"d3rlpy {metadata.version('d3rlpy')}",
        "precision": "float32",
        "members": 1,
        "compile_seconds": 0.0,
        "first_update_seconds": first_update_seconds,
        **_speed(lambda: run(num_updates), algo_name, num_updates, num_rounds),
        **provenance.environment(),
    }


def _speed(
    run: Callable[[], float], algo_name: str, num_updates: int, num_rounds: int
) -> dict[str, Any]:
    """Returns the speed of a function that makes updates and returns the seconds they took.

    Args:
        run: the function.
        algo_name: of what.
        num_updates: how many it makes, of all members together.
        num_rounds: how often it is measured, in turn with the ceiling.
    """
    rounds = [(workload.matmul_gflop_per_second(), run()) for _ in range(num_rounds)]
    ceilings = [ceiling for ceiling, _ in rounds]
    speeds = [num_updates / seconds for _, seconds in rounds]
    peak = memory.peak() / 1e6  # before what follows, which needs its own
    gflop = workload.gflop_per_update(algo_name)
    fractions = [s * gflop / c for s, c in zip(speeds, ceilings, strict=True)]
    return {
        "updates_per_second": statistics.median(speeds),
        "updates_per_second_of_rounds": speeds,
        "ceiling_gflop_per_second": statistics.median(ceilings),
        "ceiling_gflop_per_second_of_rounds": ceilings,
        "copy_gigabytes_per_second": workload.copy_gigabytes_per_second(),
        "fraction_of_ceiling": statistics.median(fractions),
        "gflop_per_update": gflop,
        "peak_megabytes": peak,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    doc = "Measures updates/s, compile time and memory of every algorithm on this machine."
    cli.main("python -m rlp.bench", cli.Command(bench, (Settings,), doc), argv)


if __name__ == "__main__":
    main()
