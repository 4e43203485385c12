"""Where things lie: members are spread over the devices, the data is on each of them.

One device is the same code. Processes that were joined (`jax.distributed`) run the same program on
all their devices together; the first of them writes, and evaluates.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from rlp.errors import InputError
from rlp.system import memory, target
from rlp.types import Precision

MEMBERS, BATCH = "members", "batch"  # the axes of the mesh
MOST_PARTS = 4  # of a core, where the members cannot be shared out to fewer
SHARING = 2  # parts of a CPU that share a member's batches, where there are cores for it
DATA_SHARE = 0.1  # of the memory, for the data of all parts

T = TypeVar("T")


class Placement(NamedTuple):
    """How arrays lie on the devices."""

    members: NamedSharding  # the first axis is that of the members
    everywhere: NamedSharding  # whole on every device
    batch: NamedSharding | None  # a member's batch, where several devices share it

    @property
    def batch_devices(self) -> int:
        """Devices that share each member's batches."""
        return self.members.mesh.shape[BATCH]

    @property
    def num_groups(self) -> int:
        """Members that are computed at the same time, each by a device or several."""
        return self.members.mesh.shape[MEMBERS]

    def __str__(self) -> str:
        """Returns the devices in words."""
        used, kind = self.members.mesh.size, jax.devices()[0].device_kind
        if used == jax.device_count():
            return kind if used == 1 else f"{used} x {kind}"
        return f"{used} of {jax.device_count()} x {kind}"


def join(text: str) -> None:
    """Joins this process with others.

    Args:
        text: `auto` where SLURM, Open MPI, Kubernetes or a TPU pod tell of the others, or
            `HOST:PORT,N,I`: the address that the first listens on, how many there are, which is it.

    Raises:
        InputError: if nothing says where the others are, or they do not come.
    """
    try:
        if text == "auto":
            jax.distributed.initialize()
        else:
            address, count, index = text.split(",")
            jax.distributed.initialize(address, int(count), int(index))
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"--distributed={text}: {reason}; it is auto or HOST:PORT,N,I") from error


def is_first() -> bool:
    """Returns whether this process is the one that writes."""
    return jax.process_index() == 0


def split_cpu(num_members: int, num_bytes: int, batch_devices: int = 0) -> None:
    """Makes a CPU count as several devices, each with members of its own.

    Members of a core of their own make more updates than where XLA shares every product out to
    the cores: 1.1 (CQL) to 1.6 times (ReBRAC) as many on 2 cores. One member alone has two parts
    that share its batches and meet once in a gradient, which is steadier than cores that meet in
    every product: where they lie near each other 0.9 to 1.1 times as fast, far apart up to 1.7
    times. Nothing changes where processes are joined, JAX_NUM_CPU_DEVICES or XLA_FLAGS set the
    number, or JAX has begun to compute.

    Args:
        num_members: how many there are.
        num_bytes: of the data, which every device has.
        batch_devices: parts that share each member's batches (0: as many as is best).
    """
    is_set = "JAX_NUM_CPU_DEVICES" in os.environ or "device_count" in os.getenv("XLA_FLAGS", "")
    if not (is_set or jax.distributed.is_initialized()):
        num_cores, fitting = _num_cores(), int(DATA_SHARE * memory.of_machine() / num_bytes)
        most = max(1, min(MOST_PARTS * num_cores, fitting))
        with suppress(RuntimeError):  # it has begun
            parts = parts_of_cpu(num_members, num_cores, most, batch_devices)
            jax.config.update("jax_num_cpu_devices", parts)


def _num_cores() -> int:
    """Returns how many cores of the machine are this process's."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parts_of_cpu(num_members: int, num_cores: int, most: int, batch_devices: int = 0) -> int:
    """Returns as many as there are cores, or the next number that members can be shared out to.

    Where there are cores for it, every member has parts that share its batches: `batch_devices`,
    or SHARING where that is 0.
    """
    sharing = batch_devices or SHARING
    if sharing > 1 and num_members * sharing <= min(num_cores, most):
        return num_members * sharing
    shares = [n for n in range(1, most + 1) if num_members % n == 0]
    return min((n for n in shares if n >= num_cores), default=shares[-1])


def spare_cpu() -> Any:
    """Returns the CPU as a device where another kind trains; None where it trains, or is hidden."""
    try:
        cpu = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS leaves it out
        return None
    return None if target.platform() == "cpu" else cpu


def placement(num_members: int, batch_devices: int = 0, there: Sequence[Any] = ()) -> Placement:
    """Returns how members lie on as many of the devices as their number can be shared out to.

    Args:
        num_members: how many there are.
        batch_devices: devices that share the batches of each member (0: two parts of a CPU where
            there are so many, or 1).
        there: the devices (none: those of this process and of the others that it was joined with).

    Raises:
        InputError: if there are not so many devices, or one of several processes would have none.
    """
    there = there or jax.devices()
    num_devices = len(there)
    if not batch_devices:
        is_one_cpu = target.platform() == "cpu" and jax.process_count() == 1
        batch_devices = SHARING if is_one_cpu and num_members * SHARING <= num_devices else 1
    if batch_devices > num_devices:
        raise InputError(
            f"--batch_devices={batch_devices}: there are {num_devices} devices here; "
            "--batch_devices=1 needs one, and differs by rounding"
        )
    groups = num_devices // batch_devices
    used = max(n for n in range(1, groups + 1) if num_members % n == 0)
    if jax.process_count() > 1 and used * batch_devices < num_devices:
        raise InputError(
            f"{num_members} members cannot be shared out evenly to {groups} x {batch_devices} "
            f"devices of {jax.process_count()} processes; choose another number of seeds"
        )
    mesh = jax.make_mesh(
        (used, batch_devices),
        (MEMBERS, BATCH),
        axis_types=(AxisType.Auto, AxisType.Auto),
        devices=there[: used * batch_devices],
    )
    return Placement(
        members=NamedSharding(mesh, PartitionSpec(MEMBERS)),
        everywhere=NamedSharding(mesh, PartitionSpec()),
        batch=NamedSharding(mesh, PartitionSpec(BATCH)) if batch_devices > 1 else None,
    )


def check_precision(precision: Precision) -> None:
    """Checks that the devices have matrix products of a precision.

    Raises:
        InputError: if they do not.
    """
    if precision == "tf32" and target.platform() == "cpu":
        raise InputError("precision tf32: a CPU has float32 and bf16")


def place(tree: T, sharding: NamedSharding) -> T:
    """Returns arrays, which are the same in every process, on the devices that are to have them."""
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)
    return jax.jit(lambda tree: tree, out_shardings=sharding)(tree)


def here(tree: T) -> T:
    """Returns arrays that this process can use without the others, all of whom must call this."""
    if jax.process_count() == 1:
        return tree
    return jax.device_put(multihost_utils.process_allgather(tree, tiled=True))


def highest(number: int) -> int:
    """Returns the highest of the processes' numbers, all of whom must call this."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.process_allgather(np.int32(number)).max())
