"""Writes functions as StableHLO, which jax runs anywhere: `jax.export.deserialize(...).call`."""

from importlib.util import find_spec
from pathlib import Path

import jax
import jax.export

from rlp.errors import InputError
from rlp.export.functions import Function

PLATFORMS = ("cpu", "cuda", "tpu")


def save(path: Path, function: Function) -> None:
    """Writes a function with its weights, with a batch of any size.

    Matrix products have full float32 precision on every platform; some platforms default to less.

    Raises:
        InputError: if flatbuffers, which jax needs for writing, is not installed.
    """
    if not find_spec("flatbuffers"):
        raise InputError("StableHLO is written with flatbuffers: pip install flatbuffers")

    def with_weights(*arrays: jax.Array) -> tuple[jax.Array, ...]:
        return function.call(function.weights, *arrays)

    with jax.default_matmul_precision("highest"):
        exported = jax.export.export(jax.jit(with_weights), platforms=PLATFORMS)
        path.write_bytes(exported(*function.shapes()).serialize())
