"""Functions as StableHLO, which every machine with jax runs: `jax.export.deserialize(...).call`."""

from importlib.util import find_spec
from pathlib import Path

import jax
import jax.export

from rlp.errors import InputError
from rlp.export.functions import Function

PLATFORMS = ("cpu", "cuda", "tpu")


def save(path: Path, function: Function) -> None:
    """Writes a function with its weights, with a batch of any size.

    Products of matrices are exact to float32 on every platform: some have less by themselves.

    Raises:
        InputError: if flatbuffers is not installed, which jax writes with.
    """
    if not find_spec("flatbuffers"):
        raise InputError("StableHLO is written with flatbuffers: pip install flatbuffers")

    def with_weights(*arrays: jax.Array) -> tuple[jax.Array, ...]:
        return function.call(function.weights, *arrays)

    with jax.default_matmul_precision("highest"):
        exported = jax.export.export(jax.jit(with_weights), platforms=PLATFORMS)
        path.write_bytes(exported(*function.shapes()).serialize())
