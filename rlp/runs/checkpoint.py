"""Checkpoints: NamedTuples of arrays, one a step, written by Orbax.

A checkpoint appears under its final name only when it is whole, so a run can be killed at any
instant and loses at most the updates since the last one.
"""

import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore

from rlp.data.dataset import Normalizer
from rlp.errors import InputError
from rlp.system.files import read_object
from rlp.types import State

logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax logs what it also raises


T = TypeVar("T")


class Saved(NamedTuple):
    """What training saves and a policy is made of."""

    states: State
    normalizer: Normalizer
    diverged: Any = None  # [M] int32, the update that ended a member, or NEVER


class Kept(NamedTuple):
    """All members, each as it was at its best by a criterion, or at first if it has no value."""

    states: State
    normalizer: Normalizer
    diverged: Any  # [M] int32, the update that ended a member without a value, or NEVER
    updates: Any  # [M] int32, that each has made
    values: Any  # [M] float32, of the criterion, NaN of a member without one


ADDED = (  # which older checkpoints lack
    "diverged", "lowest_reward", "highest_reward", "return_range", "origin",
)  # fmt: skip


def save(directory: Path, step: int, saved: Any, keep: int | None = 2) -> None:
    """Writes a checkpoint and then removes all but the last `keep` (None: removes none).

    Raises:
        InputError: if the disk is full; the checkpoints before stay whole.
    """
    with _manager(directory, keep) as manager:
        try:
            manager.save(step, args=ocp.args.StandardSave(jax.device_get(_fields(saved))))
        except (ValueError, OSError) as error:
            if "No space left" not in str(error):
                raise
            for partial in directory.glob(f"{step}.*"):
                shutil.rmtree(partial)
            raise InputError(
                f"{directory}: no space left on the disk; free some and go on with --resume"
            ) from error


def latest_step(*directories: Path, warn: Callable[[str], None] = lambda _: None) -> int | None:
    """Returns the number of updates of the last checkpoint that all directories have whole.

    None where none is there. `warn` gets a line for each that is passed over.

    Raises:
        InputError: if checkpoints are there, but none is whole.
    """
    common = set.intersection(*(set(steps(each)) for each in directories))
    damaged: list[str] = []
    for step in sorted(common, reverse=True):
        reasons = {path: _damage(path) for path in (each / str(step) for each in directories)}
        if not any(reasons.values()):
            for each in damaged:
                warn(f"{each} is not a whole checkpoint, and passed over")
            return step
        damaged += [f"{path} ({reason})" for path, reason in reasons.items() if reason]
    if damaged:
        raise InputError(f"no checkpoint is whole: {'; '.join(damaged)}; remove all to start anew")
    return None


def forget_after(directory: Path, step: int) -> None:
    """Removes the checkpoints of later steps."""
    for later, path in _steps(directory):
        if later > step:
            shutil.rmtree(path)


def steps(directory: Path) -> list[int]:
    """Returns the numbers of updates of all checkpoints, whole or not, in their order."""
    return sorted(step for step, _ in _steps(directory))


def _steps(directory: Path) -> list[tuple[int, Path]]:
    """Returns the steps of all checkpoints in a directory, and where they are."""
    paths = directory.iterdir() if directory.exists() else ()
    return [(int(path.name), path) for path in paths if re.fullmatch("0|[1-9][0-9]*", path.name)]


def _damage(path: Path) -> str:
    """Returns why a checkpoint cannot be read, "" where all of it can.

    Orbax would find that too, but with a page of errors from its threads.
    """
    arrays = path / "default"
    where = {"driver": "file", "path": f"{arrays.resolve()}/"}
    try:
        if not isinstance(read_object(arrays / "_METADATA").get("tree_metadata"), dict):
            return "no _METADATA of its arrays"
        store = tensorstore.KvStore.open({"driver": "ocdbt", "base": where}).result()
        names = store.list().result()
        for name in names:
            store.read(name).result()
    except ValueError as error:
        return _first_line(error)
    return "" if names else "no arrays"


def _first_line(error: Exception) -> str:
    return str(error).partition(" [tensorstore_spec")[0].strip().partition("\n")[0]


def restore(directory: Path, step: int, like: T) -> T:
    """Returns the checkpoint of that step; the NamedTuple `like` has its shapes and dtypes.

    What an older checkpoint lacks is as in `like`.

    Raises:
        InputError: if the checkpoint is damaged, or its parameters are not those of `like`.
    """
    if damage := _damage(directory / str(step)):
        raise InputError(_damaged(directory, step, damage))
    where = f"{directory}/{step}"
    wanted = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), _fields(like))
    with _manager(directory) as manager:
        try:
            stored = manager.item_metadata(step).tree
            wanted = {k: v for k, v in wanted.items() if k not in ADDED or k in stored}
            wrong = differences(wanted, stored)
            if wrong:
                raise InputError(f"{where} is not a checkpoint of this run: {wrong}")
            found = manager.restore(step, args=ocp.args.StandardRestore(wanted))
            return _filled(like, found)
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise InputError(_damaged(directory, step, _first_line(error))) from error


def _damaged(directory: Path, step: int, reason: str) -> str:
    return f"{directory}/{step} is damaged ({reason}); remove it to use the one before"


def differences(wanted: Any, found: Any) -> str:
    """Returns in words which arrays are missing, not known or of another shape; "" if none."""
    shapes, stored = _shapes(wanted), _shapes(found)
    words = [f"no {name}" for name in shapes if name not in stored]
    words += [f"unknown {name}" for name in stored if name not in shapes]
    words += [
        f"{name} is {stored[name]}, not {shape}"
        for name, shape in shapes.items()
        if name in stored and stored[name] != shape
    ]
    return "; ".join(words)


def _fields(saved: Any) -> dict[str, Any]:
    """Returns the fields of a NamedTuple that it has, and of those among them that lack some."""
    return {
        name: _fields(value) if _lacks_some(value) else value
        for name, value in saved._asdict().items()
        if value is not None
    }


def _filled(like: Any, found: dict[str, Any]) -> Any:
    """Returns the NamedTuple that `_fields` were found of; what is not there is as in `like`."""
    values = {
        name: _filled(getattr(like, name), value) if _lacks_some(getattr(like, name)) else value
        for name, value in found.items()
    }
    return like._replace(**values)


def _lacks_some(value: Any) -> bool:
    """Returns whether this is a NamedTuple of which fields are None, which Orbax would count."""
    return hasattr(value, "_fields") and any(each is None for each in value)


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(p, simple=True, separator="."): leaf.shape for p, leaf in leaves}


def _manager(directory: Path, keep: int | None = None) -> ocp.CheckpointManager:
    """Returns Orbax's manager for this process alone: of several, the first writes."""
    process = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=str(process)
    )
    directory.mkdir(parents=True, exist_ok=True)
    return ocp.CheckpointManager(
        directory.resolve(),
        item_handlers=ocp.StandardCheckpointHandler(multiprocessing_options=alone),
        options=ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            enable_async_checkpointing=False,
            multiprocessing_options=alone,
            create=False,
        ),
    )
