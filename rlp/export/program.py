"""Translates a function of jax to a program: a list of operations that `rlp.export.policy` runs.

Values that do not depend on the inputs, such as noise at temperature 0, are computed here. What no
output needs is left out. The operations are numpy's, which ONNX has, too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from rlp.export.functions import Function, Port
from rlp.export.primitives import write
from rlp.export.writer import Computed, Operation, Value, Writer
from rlp.system.files import json_text, write_text

INLINED = {  # primitives that call a function, and the parameter that holds it
    "jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr",
}  # fmt: skip


class Program(NamedTuple):
    """Operations from inputs to outputs."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    results: tuple[Any, ...]  # the outputs: names of arrays, and numbers
    operations: tuple[Operation, ...]
    constants: dict[str, np.ndarray]


def trace(function: Function) -> Program:
    """Returns a function as a program.

    Raises:
        InputError: if it uses something without an operation.
    """
    traced = jax.make_jaxpr(function.call)(function.weights, *function.shapes())
    paths = jax.tree_util.tree_leaves_with_path(function.weights)
    weights = [np.array(leaf) for _, leaf in paths]
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in paths]
    labels = dict(zip(map(id, weights), names, strict=True))
    writer = Writer(function.inputs[0].name, labels)
    inputs = [Computed(port.name, (-1, *port.shape)) for port in function.inputs]
    outputs = _inline(writer, traced.jaxpr, traced.consts, [*weights, *inputs])
    results = tuple(map(writer.operand, outputs))
    operations = _needed(writer.operations, results)
    used = {*results, *(name for each in operations for name in each.of)}
    constants = {name: array for name, array in writer.constants.items() if name in used}
    return Program(function.inputs, function.outputs, results, operations, constants)


def save(folder: Path, name: str, program: Program) -> None:
    """Writes a program as json, and its arrays as npz."""
    inputs = json_text([port.name for port in program.inputs])
    operations = ",\n".join(map(json_text, program.operations))
    write_text(
        folder / f"{name}.json",
        f'{{"inputs": {inputs},\n"outputs": {json_text(program.results)},\n'
        f'"operations": [\n{operations}\n]}}\n',
    )
    np.savez(folder / f"{name}.npz", allow_pickle=False, **program.constants)


def _inline(
    writer: Writer, jaxpr: Any, consts: Sequence[Value], inputs: Sequence[Value]
) -> list[Value]:
    """Writes the operations of a jaxpr and returns its outputs."""
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *inputs], strict=True))

    def read(atom: Any) -> Value:
        return np.asarray(atom.val, atom.aval.dtype) if hasattr(atom, "val") else values[atom]

    for equation in jaxpr.eqns:
        of = [read(atom) for atom in equation.invars]
        name = equation.primitive.name
        if name in INLINED:
            called = equation.params[INLINED[name]]
            inner = getattr(called, "jaxpr", called)
            found = _inline(writer, inner, getattr(called, "consts", ()), of)
        else:
            found = write(writer, equation, of)
        values.update(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _needed(operations: Sequence[Operation], results: Sequence[Any]) -> tuple[Operation, ...]:
    """Returns the operations that lead to the results."""
    needed, kept = set(results), []
    for each in reversed(operations):
        if each.to in needed:
            needed.update(each.of)
            kept.append(each)
    return tuple(reversed(kept))
