"""Training compiled for devices that are not here: what it needs, launches, and may take.

Nothing is run, so nothing is said of seconds but an estimate: what is launched takes its time, and
then memory or products do, whichever is slower,

    launches x time of one + max(bytes / bandwidth, FLOPs / peak of the precision).

Gemms are not tuned, as that takes a device, so on one the compiler may choose others.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax

from rlp.algos import ALGOS
from rlp.bench import graphs, launches, targets, workload
from rlp.bench.targets import Target
from rlp.errors import InputError
from rlp.runs import provenance
from rlp.system import devices, memory
from rlp.system.target import compiling_for
from rlp.training import population
from rlp.types import Precision, Sources

LOWERING = {"gpu": "cuda", "tpu": "tpu"}  # JAX's names of what programs are lowered for
NUM_UPDATES = 1000  # of the compiled program


def measure(
    algo_name: str,
    precision: Precision,
    num_members: int,
    batch_devices: int,
    target_name: str,
    began: float,
) -> dict[str, Any] | None:
    """Returns the figures of one case, None where there are too few devices for it.

    Args:
        algo_name: of what.
        precision: of the matrix products.
        num_members: how many train together.
        batch_devices: that share the batches of each.
        target_name: the devices, as `h200`.
        began: when its process was started (unix time).
    """
    target = targets.find(target_name)
    case = workload.case(algo_name, precision, num_members, batch_devices)
    with TemporaryDirectory() as folder:
        there = targets.devices(target_name, Path(folder))
        try:
            placement = devices.placement(num_members, batch_devices, there)
        except InputError:
            return None
        try:
            found = _figures(algo_name, precision, num_members, placement, target)
        except jax.errors.JaxRuntimeError as error:
            found = {"refused": str(error).splitlines()[0].partition(", metadata=")[0]}
        by_host = graphs.of_update(Path(folder))
    return {
        **case,
        "target": target_name,
        "compile_seconds": time.time() - began,
        **found,
        "launched_by_host": dict(by_host),
        **provenance.environment(),
        "devices": [f"{target.name} (compiled for, not run on)"],
    }


def _figures(
    algo_name: str,
    precision: Precision,
    num_members: int,
    placement: devices.Placement,
    target: Target,
) -> dict[str, Any]:
    """Returns what is known of a compiled program."""
    algo, config = ALGOS[algo_name], workload.setting(algo_name)
    sources = Sources(workload.on_device(workload.synthetic_data()))
    members = population.shapes(algo, [config] * num_members, range(num_members), workload.SPEC)
    with compiling_for(target.platform):
        traced = population.traced(
            algo, workload.SPEC, NUM_UPDATES, members, sources, placement, precision
        )
        program = traced.lower(lowering_platforms=(LOWERING[target.platform],)).compile()
        gflop = workload.gflop_per_update(algo_name)
        tiled = workload.gflop_per_update(algo_name, workload.tpu_flops)
    text, sizes = program.as_text(), program.memory_analysis()
    assert text
    assert sizes
    counts = launches.of_update(text)
    together = num_members // placement.num_groups  # on one device
    num_bytes = population.num_bytes(program, members, placement) / together
    room = target.usable_bytes - memory.num_bytes(sources)
    gflop_each = gflop * together / placement.batch_devices
    return {
        "launches": launches.number(counts),
        "launches_by_kind": {kind: counts[kind] for kind in launches.KINDS if counts[kind]},
        "gflop_per_update": gflop,
        "device_gflop_per_update": gflop_each,
        "tpu_padding": 1 - gflop / tiled if target.platform == "tpu" else None,
        "device_bytes_per_update": counts["bytes"],
        "argument_bytes": sizes.argument_size_in_bytes,
        "temporary_bytes": sizes.temp_size_in_bytes,
        "bytes_per_member": num_bytes,
        "members_that_fit_estimate": int(room / num_bytes) * placement.num_groups,
        "update_us_estimate": estimated_us(
            target, precision, launches.number(counts), counts["bytes"], 1e9 * gflop_each
        ),
    }


def estimated_us(
    target: Target, precision: Precision, num_launches: int, num_bytes: float, flops: float
) -> float:
    """Returns the microseconds that an update may take, by the model above."""
    moving = num_bytes / (1e9 * target.bandwidth_gb)
    computing = flops / (1e12 * target.peak_tflops[precision])
    return num_launches * target.launch_us + 1e6 * max(moving, computing)
