"""Checkpoints: the states of all members, the normalizer and the step, written by Orbax.

A checkpoint appears under its final name only when it is whole, so a run can be killed at any
instant and loses at most the updates since the last one.
"""

import logging
from pathlib import Path
from typing import NamedTuple

import jax
import orbax.checkpoint as ocp

from rlp.data.dataset import Normalizer
from rlp.errors import InputError
from rlp.types import State

logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax reports every step of every save


class Saved(NamedTuple):
    """What a checkpoint holds."""

    states: State
    normalizer: Normalizer


def save(directory: Path, step: int, saved: Saved) -> None:
    """Writes a checkpoint and then removes all but the last two."""
    with _manager(directory) as manager:
        manager.save(step, args=ocp.args.StandardSave(saved._asdict()))


def latest_step(directory: Path) -> int | None:
    """Returns the number of updates of the last whole checkpoint, None where there is none."""
    if not directory.exists():
        return None
    with _manager(directory) as manager:
        return manager.latest_step()


def restore(directory: Path, step: int, like: Saved) -> Saved:
    """Returns the checkpoint of that step; `like` has its structure, shapes and dtypes.

    Raises:
        InputError: if the checkpoint is damaged or has another structure.
    """
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    abstract = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), like._asdict()
    )
    with _manager(directory) as manager:
        try:
            return Saved(**manager.restore(step, args=ocp.args.StandardRestore(abstract)))
        except (ValueError, KeyError, OSError) as error:
            first_line = str(error).strip().splitlines()[0]
            raise InputError(
                f"{directory}/{step}: not a checkpoint of this run ({first_line})"
            ) from error


def _manager(directory: Path) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
    return ocp.CheckpointManager(directory.absolute(), options=options)
