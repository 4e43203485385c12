"""Programs as ONNX: each operation becomes one node or a few.

jax2onnx 0.17.1 converts from jax directly, but conflicts with the Orbax that rlp needs (it requires
a version below 0.11.37), and takes most of a minute.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlp.errors import InputError
from rlp.export.functions import BATCH, Port
from rlp.export.policy import NUMBERS
from rlp.export.program import Program
from rlp.version import __version__

OPSET, IR_VERSION = 18, 8  # from the end of 2022
SAME = {  # operations that ONNX has, too
    "abs": "Abs", "add": "Add", "and": "And", "ceil": "Ceil", "cos": "Cos", "div": "Div",
    "eq": "Equal", "exp": "Exp", "floor": "Floor", "ge": "GreaterOrEqual", "gt": "Greater",
    "le": "LessOrEqual", "log": "Log", "lt": "Less", "matmul": "MatMul", "max": "Max",
    "min": "Min", "mul": "Mul", "neg": "Neg", "not": "Not", "or": "Or", "pow": "Pow",
    "sign": "Sign", "sin": "Sin", "sqrt": "Sqrt", "sub": "Sub", "tanh": "Tanh", "where": "Where",
}  # fmt: skip


def library() -> Any:
    """Returns the package that writes ONNX files.

    Raises:
        InputError: if it is not installed.
    """
    try:
        import onnx.checker  # pyright: ignore[reportMissingImports] - an extra
        import onnx.helper  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name}, which writes ONNX, is not installed: pip install onnx "
            "(rlp's extra `onnx` includes onnxruntime)"
        ) from None
    return onnx


def save(path: Path, program: Program) -> None:
    """Writes a program as ONNX, with a batch of any size.

    Raises:
        InputError: if onnx is not installed.
    """
    onnx = library()
    graph = _Graph(onnx)
    for name, array in program.constants.items():
        graph.constant(array, name)
    for do, of, to, parameters in program.operations:
        names = [graph.name(each) for each in of]
        if do in SAME:
            graph.node(SAME[do], names, to)
        else:
            NODES[do](graph, names, to, **parameters)
    for port, result in zip(program.outputs, program.results, strict=True):
        graph.node("Identity", [graph.name(result)], port.name)
    inputs, outputs = (
        [_value(onnx, port) for port in ports] for ports in (program.inputs, program.outputs)
    )
    made = onnx.helper.make_graph(graph.nodes, "policy", inputs, outputs, graph.constants)
    opset = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(
        made, opset_imports=opset, ir_version=IR_VERSION,
        producer_name="rlp", producer_version=__version__,
    )  # fmt: skip
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def _value(onnx: Any, port: Port) -> Any:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
    return onnx.helper.make_tensor_value_info(port.name, kind, [BATCH, *port.shape])


class _Graph:
    """The nodes and constants made so far."""

    def __init__(self, onnx: Any) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._onnx = onnx

    def constant(self, array: Any, name: str = "") -> str:
        """Adds an array and returns its name."""
        name = name or f"number.{len(self.constants)}"
        self.constants.append(self._onnx.numpy_helper.from_array(np.asarray(array), name))
        return name

    def integers(self, values: Sequence[int]) -> str:
        """Adds an int64 array, the type of shapes and axes, and returns its name."""
        return self.constant(np.array(values, np.int64))

    def name(self, value: Any) -> str:
        """Returns the name of an operation's input."""
        return value if isinstance(value, str) else self.constant(NUMBERS[type(value)](value))

    def node(self, kind: str, inputs: Sequence[str], to: str = "", /, **attributes: Any) -> str:
        """Adds a node and returns the name of its output."""
        to = to or f"node.{len(self.nodes)}"
        self.nodes.append(self._onnx.helper.make_node(kind, inputs, [to], **attributes))
        return to

    def cast(self, x: str, to: str, dtype: Any) -> None:
        """Adds a cast."""
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.node("Cast", [x], to, to=kind)


def _argmax(graph: _Graph, of: list[str], to: str, axis: int) -> None:
    graph.cast(graph.node("ArgMax", of, axis=axis, keepdims=0), to, np.int32)


def _broadcast(graph: _Graph, of: list[str], to: str, shape: list[int]) -> None:
    x, like = of
    size = graph.node("Shape", [like], start=0, end=1)
    parts = [size if dim == -1 else graph.integers([dim]) for dim in shape]
    graph.node("Expand", [x, graph.node("Concat", parts, axis=0)], to)


def _cast(graph: _Graph, of: list[str], to: str, dtype: str) -> None:
    graph.cast(of[0], to, dtype)


def _concatenate(graph: _Graph, of: list[str], to: str, axis: int) -> None:
    graph.node("Concat", of, to, axis=axis)


def _log1p(graph: _Graph, of: list[str], to: str) -> None:
    graph.node("Log", [graph.node("Add", [*of, graph.constant(np.float32(1))])], to)


def _ne(graph: _Graph, of: list[str], to: str) -> None:
    graph.node("Not", [graph.node("Equal", of)], to)


def _reduce(kind: str) -> Callable[..., None]:
    def reduce(graph: _Graph, of: list[str], to: str, axes: list[int]) -> None:
        graph.node(kind, [*of, graph.integers(axes)], to, keepdims=0)

    return reduce


def _reshape(graph: _Graph, of: list[str], to: str, shape: list[int]) -> None:
    graph.node("Reshape", [*of, graph.integers(shape)], to)


def _slice(
    graph: _Graph,
    of: list[str],
    to: str,
    start: list[int],
    stop: list[int | None],
    step: list[int],
) -> None:
    cut = [axis for axis, end in enumerate(stop) if end is not None]
    ends = [int(stop[axis] or 0) for axis in cut]
    starts, steps = ([each[axis] for axis in cut] for each in (start, step))
    graph.node("Slice", [*of, *map(graph.integers, (starts, ends, cut, steps))], to)


def _take(graph: _Graph, of: list[str], to: str) -> None:
    graph.node("Gather", of, to, axis=0)


def _transpose(graph: _Graph, of: list[str], to: str, axes: list[int]) -> None:
    graph.node("Transpose", of, to, perm=axes)


NODES: dict[str, Callable[..., None]] = {
    "argmax": _argmax,
    "broadcast": _broadcast,
    "cast": _cast,
    "concatenate": _concatenate,
    "log1p": _log1p,
    "ne": _ne,
    "reduce_max": _reduce("ReduceMax"),
    "reduce_min": _reduce("ReduceMin"),
    "reduce_sum": _reduce("ReduceSum"),
    "reshape": _reshape,
    "slice": _slice,
    "take": _take,
    "transpose": _transpose,
}
