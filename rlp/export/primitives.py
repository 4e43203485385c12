"""Translates jax's primitives to the operations of `rlp.export.policy`."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from rlp.export.policy import PLAIN
from rlp.export.writer import Computed, Shape, Value, Writer, shape_of, unknown

BOOLEAN_ONLY = ("and", "or", "not")  # jax's are bitwise, too


def write(writer: Writer, equation: Any, inputs: Sequence[Value]) -> list[Value]:
    """Returns the outputs of a primitive; writes its operations, or computes known values at once.

    Raises:
        InputError: if no operations are equivalent.
    """
    name, out = equation.primitive.name, equation.outvars[0].aval
    is_known = not any(isinstance(value, Computed) for value in inputs)
    if is_known and all(isinstance(dim, int) for dim in out.shape):
        found = equation.primitive.bind(*inputs, **equation.params)
        found = found if equation.primitive.multiple_results else [found]
        return [writer.inherit(value, inputs) for value in found]
    shape = shape_of(out.shape)
    if name in RULES:
        found = RULES[name](writer, equation.params, shape, *inputs)
        return found if isinstance(found, list) else [found]
    is_other = (name in BOOLEAN_ONLY and out.dtype != bool) or (
        name == "div" and np.issubdtype(out.dtype, np.integer)
    )
    if name not in PLAIN or is_other:
        raise unknown(f"{name} of {out.dtype}" if is_other else name)
    return [writer.write(name, inputs, shape)]


def _same(writer: Writer, params: Any, shape: Shape, *inputs: Value) -> list[Value]:
    del writer, params, shape
    return list(inputs)


def _square(writer: Writer, params: Any, shape: Shape, x: Value) -> Value:
    del params
    return writer.write("mul", [x, x], shape)


def _integer_pow(writer: Writer, params: Any, shape: Shape, x: Value) -> Value:
    """Returns a power; small ones as products, which are far faster."""
    if not 0 < params["y"] < 5:
        return writer.write("pow", [x, np.float32(params["y"])], shape)
    product = x
    for _ in range(params["y"] - 1):
        product = writer.write("mul", [product, x], shape)
    return product


def _rsqrt(writer: Writer, params: Any, shape: Shape, x: Value) -> Value:
    del params
    return writer.write("div", [np.float32(1), writer.write("sqrt", [x], shape)], shape)


def _logistic(writer: Writer, params: Any, shape: Shape, x: Value) -> Value:
    """Returns (1 + tanh(x / 2)) / 2, which cannot overflow."""
    del params
    half = np.float32(0.5)
    tanh = writer.write("tanh", [writer.write("mul", [x, half], shape)], shape)
    return writer.write("add", [writer.write("mul", [tanh, half], shape), half], shape)


def _clamp(writer: Writer, params: Any, shape: Shape, low: Value, x: Value, high: Value) -> Value:
    del params
    return writer.write("min", [writer.write("max", [x, low], shape), high], shape)


def _select(writer: Writer, params: Any, shape: Shape, which: Value, *cases: Value) -> Value:
    del params
    if len(cases) != 2:
        raise unknown(f"a choice of {len(cases)}")
    return writer.write("where", [which, cases[1], cases[0]], shape)


def _cast(writer: Writer, params: Any, shape: Shape, x: Value) -> Value:
    return writer.write("cast", [x], shape, dtype=str(params["new_dtype"]))


def _reshape(writer: Writer, params: Any, shape: Shape, x: Value) -> Value:
    del params
    return writer.reshape(x, shape)


def _transpose(writer: Writer, params: Any, shape: Shape, x: Value) -> Value:
    del shape
    return writer.transpose(x, params["permutation"])


def _broadcast(writer: Writer, params: Any, shape: Shape, x: Value) -> Value:
    dims = [1] * len(shape)
    for axis, size in zip(params["broadcast_dimensions"], np.shape(x), strict=True):
        dims[axis] = size
    return writer.broadcast(writer.reshape(x, tuple(dims)), shape)


def _concatenate(writer: Writer, params: Any, shape: Shape, *parts: Value) -> Value:
    return writer.write("concatenate", parts, shape, axis=int(params["dimension"]))


def _stack(writer: Writer, params: Any, shape: Shape, *parts: Value) -> Value:
    axis = int(params["axis"])
    one = (*shape[:axis], 1, *shape[axis + 1 :])
    rows = [writer.reshape(part, one) for part in parts]
    return writer.write("concatenate", rows, shape, axis=axis)


def _slice(writer: Writer, params: Any, shape: Shape, x: Value) -> Value:
    stop = [dim if isinstance(dim, int) else None for dim in params["limit_indices"]]
    step = params["strides"] or [1] * len(stop)
    return _cut(writer, shape, x, params["start_indices"], stop, step)


def _split(writer: Writer, params: Any, shape: Shape, x: Value) -> list[Value]:
    axis, start, parts = params["axis"], 0, []
    for size in params["sizes"]:
        starts, stops = [0] * len(shape), [None] * len(shape)
        starts[axis], stops[axis] = start, start + size
        to = (*shape[:axis], int(size), *shape[axis + 1 :])
        parts.append(_cut(writer, to, x, starts, stops, [1] * len(shape)))
        start += size
    return parts


def _cut(
    writer: Writer,
    shape: Shape,
    x: Value,
    start: Sequence[int],
    stop: Sequence[int | None],
    step: Sequence[int],
) -> Value:
    stops = [None if each is None else int(each) for each in stop]
    starts, steps = list(map(int, start)), list(map(int, step))
    return writer.write("slice", [x], shape, start=starts, stop=stops, step=steps)


def _reduce(do: str) -> Callable[..., Value]:
    def rule(writer: Writer, params: Any, shape: Shape, x: Value) -> Value:
        return writer.write(do, [x], shape, axes=list(map(int, params["axes"])))

    return rule


def _argmax(writer: Writer, params: Any, shape: Shape, x: Value) -> Value:
    (axis,) = params["axes"]
    found = writer.write("argmax", [x], shape, axis=int(axis))
    return writer.write("cast", [found], shape, dtype=str(params["index_dtype"]))


def _dot(writer: Writer, params: Any, shape: Shape, left: Value, right: Value) -> Value:
    """Returns a product of matrices after bringing their axes into order."""
    (of_left, of_right), (left_batch, right_batch) = params["dimension_numbers"]
    left_free = [i for i in range(len(left.shape)) if i not in (*of_left, *left_batch)]
    right_free = [i for i in range(len(right.shape)) if i not in (*of_right, *right_batch)]
    left = writer.transpose(left, [*left_batch, *left_free, *of_left])
    right = writer.transpose(right, [*right_batch, *of_right, *right_free])
    batch = left.shape[: len(left_batch)]
    rows, columns = shape[len(batch) :][: len(left_free)], shape[len(batch) + len(left_free) :]
    inner = left.shape[len(batch) + len(left_free) :]
    left = writer.reshape(left, (*batch, _size(rows), _size(inner)))
    right = writer.reshape(right, (*batch, _size(inner), _size(columns)))
    product = writer.write("matmul", [left, right], (*batch, _size(rows), _size(columns)))
    return writer.reshape(product, shape)


def _size(dims: Sequence[int]) -> int:
    return -1 if -1 in dims else math.prod(dims)


def _gather(writer: Writer, params: Any, shape: Shape, table: Value, numbers: Value) -> Value:
    """Returns rows of a table; refuses other gathers. Row numbers out of range are errors."""
    at, sizes, is_clipped = params["dimension_numbers"], params["slice_sizes"], params["mode"]
    width = table.shape[1:]
    is_of_rows = (
        at.collapsed_slice_dims == at.start_index_map == (0,)
        and tuple(sizes) == (1, *width)
        and at.offset_dims == tuple(range(len(shape) - len(width), len(shape)))
        and is_clipped != jax.lax.GatherScatterMode.CLIP
    )
    if not is_of_rows:
        raise unknown("an index that is not of rows")
    rows = writer.reshape(numbers, numbers.shape[:-1])
    return writer.write("take", [table, rows], shape)


RULES: dict[str, Callable[..., Value | list[Value]]] = {
    "argmax": _argmax,
    "broadcast_in_dim": _broadcast,
    "clamp": _clamp,
    "concatenate": _concatenate,
    "convert_element_type": _cast,
    "copy": _same,
    "dot_general": _dot,
    "gather": _gather,
    "integer_pow": _integer_pow,
    "logistic": _logistic,
    "optimization_barrier": _same,
    "reduce_max": _reduce("reduce_max"),
    "reduce_min": _reduce("reduce_min"),
    "reduce_sum": _reduce("reduce_sum"),
    "reshape": _reshape,
    "rsqrt": _rsqrt,
    "select_n": _select,
    "slice": _slice,
    "split": _split,
    "square": _square,
    "squeeze": _reshape,
    "stack": _stack,
    "stop_gradient": _same,
    "transpose": _transpose,
}
