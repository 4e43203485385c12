"""How much memory there is, and how much of it this process has used."""

import os
import resource
import sys
from pathlib import Path

import jax

GROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container or a job, on Linux


def of_machine() -> int:
    """Returns the bytes that this machine has, or that this process is allowed of them."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    allowed = GROUP_LIMIT.read_text().strip() if GROUP_LIMIT.is_file() else ""
    return min(physical, int(allowed)) if allowed.isdigit() else physical


def free() -> int:
    """Returns the bytes that are left on the device of this process that has the least."""
    told = [stats for device in jax.local_devices() if (stats := device.memory_stats())]
    left = [stats["bytes_limit"] - stats["bytes_in_use"] for stats in told]
    return min(left, default=max(0, of_machine() - _peak_of_process()))


def peak() -> int:
    """Returns the most bytes used so far: of the first device where it says, else the process."""
    stats = jax.devices()[0].memory_stats() or {}
    return stats.get("peak_bytes_in_use", _peak_of_process())


def _peak_of_process() -> int:
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kilobytes on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
