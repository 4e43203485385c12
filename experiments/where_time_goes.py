"""Where the time of an update goes, for every algorithm: one member on one core of a CPU.

    python experiments/where_time_goes.py

Profiles updates of the benchmark's workload. Every operation of the compiled program counts as one
Kind; the rest of the time passes between operations. The speed of the matrix products is reported
as a share of the benchmark's ceiling, the speed of a large product on the same core. Writes
results/where_time_goes_cpu.json.
"""

import os
import re
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import jax

from rlp import cli
from rlp.algos import ALGOS
from rlp.bench import workload
from rlp.config import Positive
from rlp.runs import provenance
from rlp.system import files

CONTAINERS = ("while", "conditional", "call")  # their operations are counted individually
INSTRUCTION = re.compile(r"\s+(?:ROOT )?%(?P<name>\S+) = .*? (?P<opcode>[a-z][a-z0-9-]*)\(")
OF_ANOTHER = re.compile(r"calls=%([^\s,]+)")


class Kind(StrEnum):
    """The purpose of an operation."""

    PRODUCTS = "matrix products"
    REST = "activations and losses"  # and their gradients
    OPTIMIZER = "optimizer"
    DRAWING = "batches and random numbers"


@dataclass(frozen=True)
class Settings:
    """The measurement."""

    algos: str = ",".join(ALGOS)  # which, separated by commas
    num_rounds: Positive = 5  # in turn with the ceiling; the median is reported
    json: str = str(Path(__file__).parent / "results" / "where_time_goes_cpu.json")  # for figures


def measure(given: cli.Given) -> None:
    """Profiles the algorithms one after the other, prints a table and writes the figures."""
    settings = cli.parse(Settings, given)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core: operations never overlap
    jax.config.update("jax_enable_compilation_cache", False)  # a cached program may lack the names
    header = ["", "ms an update", *Kind, "between operations", "products, of ceiling"]
    print(f"| {' | '.join(header)} |\n| {' | '.join(['---'] * len(header))} |")
    results = []
    for algo_name in cli.chosen("algos", settings.algos, ALGOS):
        result = _figures(algo_name, settings.num_rounds)
        shares = list(result["shares"].values())
        percentages = [*shares, 1 - sum(shares), result["products_of_ceiling"]]
        cells = [f"{result['milliseconds']:.2f}", *(f"{share:.0%}" for share in percentages)]
        print(f"| {algo_name} | {' | '.join(cells)} |", flush=True)
        results.append(result)
        files.write_json(Path(settings.json), {"results": results, **provenance.environment()})


def _figures(algo_name: str, num_rounds: int) -> dict[str, Any]:
    """Returns an algorithm's figures as medians over the rounds."""
    training = workload.Training(algo_name)
    num_updates = training.updates_a_round(training.compiled(1))
    many_updates = training.compiled(num_updates)
    training.seconds(many_updates)
    kinds = _kinds(many_updates.as_text() or "")
    gflop = num_updates * workload.gflop_per_update(algo_name)
    shares, fractions, took = [], [], []
    for _ in range(num_rounds):
        ceiling = workload.matmul_gflop_per_second()
        with tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(folder):
                took.append(training.seconds(many_updates))
            busy = _busy(Path(folder), kinds)
        shares.append([busy[kind] / took[-1] for kind in Kind])
        fractions.append(gflop / busy[Kind.PRODUCTS] / ceiling)
    medians = [statistics.median(column) for column in zip(*shares, strict=True)]
    return {
        "algo": algo_name,
        "milliseconds": 1000 * statistics.median(took) / num_updates,
        "shares": dict(zip(Kind, medians, strict=True)),
        "shares_of_rounds": shares,
        "products_of_ceiling": statistics.median(fractions),
        "products_of_ceiling_of_rounds": fractions,
    }


def _kinds(program: str) -> dict[str, Kind]:
    """Returns the kind of every operation in the text of a compiled program."""
    instructions: dict[str, str] = {}
    with_products: set[str] = set()
    computation = ""
    for line in program.splitlines():
        if line.startswith("%"):
            computation = line[1:].split(" ")[0]
        if not (found := INSTRUCTION.match(line)) or found["opcode"] in CONTAINERS:
            continue
        instructions[found["name"]] = line
        if found["opcode"] == "dot":
            with_products.update((computation, found["name"]))
    return {name: _kind(name, line, with_products) for name, line in instructions.items()}


def _kind(name: str, line: str, with_products: set[str]) -> Kind:
    inner = OF_ANOTHER.search(line)
    if name in with_products or (inner and inner[1] in with_products):
        return Kind.PRODUCTS
    if "optimizer/" in line:
        return Kind.OPTIMIZER
    return Kind.DRAWING if "sample/" in line or "threefry" in line else Kind.REST


def _busy(folder: Path, kinds: dict[str, Kind]) -> dict[Kind, float]:
    """Returns the seconds of each kind in the profile in a folder."""
    (path,) = folder.rglob("*.xplane.pb")
    busy = dict.fromkeys(Kind, 0.0)
    for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
        for event in (event for line in plane.lines for event in line.events):
            if dict(event.stats).get("hlo_op") in kinds:
                busy[kinds[event.name]] += event.duration_ns / 1e9
    return busy


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    doc = (__doc__ or "").splitlines()[0]
    cli.main("python experiments/where_time_goes.py", cli.Command(measure, (Settings,), doc), argv)


if __name__ == "__main__":
    main()
