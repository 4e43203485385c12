"""How much memory there is, and how much of it this process has used."""

import os
import resource
import sys
from pathlib import Path
from typing import Any

import jax
from jax.extend.core import Jaxpr, jaxprs_in_params

from rlp.errors import InputError
from rlp.types import UNKNOWN, Algo, Spec

CONTROL_GROUPS = Path("/sys/fs/cgroup")  # of containers and jobs, on Linux
OWN_GROUP = Path("/proc/self/cgroup")  # a line of it: 0::/the/group/of/this/process


def of_machine() -> int:
    """Returns the bytes that this machine has, or that this process is allowed of them."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return min([physical, *_allowed(), *([limit] if limit != resource.RLIM_INFINITY else [])])


def _allowed() -> list[int]:
    """Returns the limits of this process's control group and of those that it is in."""
    lines = OWN_GROUP.read_text().splitlines() if OWN_GROUP.is_file() else []
    group = next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")
    folders = [CONTROL_GROUPS / group, *(CONTROL_GROUPS / group).parents]
    limits = [each / "memory.max" for each in folders if each.is_relative_to(CONTROL_GROUPS)]
    texts = [limit.read_text().strip() for limit in limits if limit.is_file()]
    return [int(text) for text in texts if text.isdigit()]


def of_devices() -> int:
    """Returns the bytes of all devices of this process together; a CPU's are the machine's."""
    said = [stats for device in jax.local_devices() if (stats := device.memory_stats())]
    return sum(stats["bytes_limit"] for stats in said) or of_machine()


def check(what: str, num_bytes: int, there: int, hint: str) -> None:
    """Checks that there are as many bytes as something takes.

    Raises:
        InputError: if there are not; `hint` says what to do.
    """
    if num_bytes > there:
        needed, has = (f"{count / 1e9:,.1f} GB" for count in (num_bytes, there))
        raise InputError(f"{what}: {needed}, but this machine has {has}; {hint}")


def check_members(algo: Algo, config: Any, spec: Spec, num_members: int) -> None:
    """Checks that the states of all members fit the machine, where they pass to be saved.

    No device is used, so that a CPU can still be split.

    Raises:
        InputError: if they do not.
    """
    state = jax.eval_shape(lambda seed: algo.init(config, jax.random.key(seed), spec, UNKNOWN), 0)
    members = "1 member" if num_members == 1 else f"{num_members:,} members"
    check(
        f"networks and optimizers of {members}",
        num_members * num_bytes(state),
        of_machine(),
        "choose smaller networks or fewer members (seeds, values, trials)",
    )


def num_bytes(tree: Any) -> int:
    """Returns the bytes of all arrays of a tree, which may be shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def largest_array(program: Jaxpr) -> Any:
    """Returns the shape of the largest array that a program computes, also in its loops."""
    shapes = [variable.aval for equation in program.eqns for variable in equation.outvars]
    inner = [each for equation in program.eqns for each in jaxprs_in_params(equation.params)]
    return max(shapes + [largest_array(each) for each in inner if each.eqns], key=num_bytes)


def free() -> int:
    """Returns the bytes that are left on the device of this process that has the least."""
    known = [stats for device in jax.local_devices() if (stats := device.memory_stats())]
    left = [stats["bytes_limit"] - stats["bytes_in_use"] for stats in known]
    shared = max(0, of_machine() - _peak_of_process()) // jax.local_device_count()
    return min(left, default=shared)


def peak() -> int:
    """Returns the most bytes used so far: of the first device where it says, else the process."""
    stats = jax.devices()[0].memory_stats() or {}
    return stats.get("peak_bytes_in_use", _peak_of_process())


def _peak_of_process() -> int:
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kilobytes on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
