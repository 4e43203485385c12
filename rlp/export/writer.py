"""Writes the operations of a program (`rlp.export.policy`), one after the other."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rlp.errors import InputError
from rlp.export.functions import BATCH
from rlp.export.policy import NUMBERS, operation

Shape = tuple[int, ...]  # -1 is the size of the batch


class Computed(NamedTuple):
    """A value that depends on the inputs."""

    name: str
    shape: Shape


Value = Any  # Computed, or a known array


class Operation(NamedTuple):
    """A step of a program."""

    do: str
    of: tuple[Any, ...]  # names of arrays, and numbers
    to: str
    parameters: dict[str, Any]


class Writer:
    """The operations written so far, and their constant arrays."""

    def __init__(self, batch: str, labels: dict[int, str]) -> None:
        """Makes a writer; `batch` names an input, `labels` names weights by their arrays' id."""
        self.operations: list[Operation] = []
        self.constants: dict[str, np.ndarray] = {}
        self._batch = Computed(batch, (-1,))
        self._labels = labels  # also labels arrays computed from a weight
        self._names: dict[int, str] = {}  # of constants, by their arrays' id
        self._kept: list[Any] = []  # keeps arrays alive, so no other array gets their id

    def operand(self, value: Value) -> Any:
        """Returns a value in the form of an operand: a name, or a number."""
        if isinstance(value, Computed):
            return value.name
        if id(value) in self._names:
            return self._names[id(value)]
        array = np.asarray(value)
        if array.shape == () and array.dtype in NUMBERS.values() and np.isfinite(array):
            return array.item()
        name = label = self._labels.get(id(value), "constant")
        if label in self.constants:
            name = f"{label}.{len(self.constants)}"
        self.constants[name], self._names[id(value)] = array, name
        self._kept.append(value)
        return name

    def inherit(self, value: Value, sources: Sequence[Value]) -> Value:
        """Returns an array computed from others, labelled after the first weight among them."""
        label = next((self._labels[id(x)] for x in sources if id(x) in self._labels), None)
        if label:
            self._labels[id(value)] = label
        self._kept.append(value)
        return value

    def write(self, do: str, inputs: Sequence[Value], to: Shape, **parameters: Any) -> Value:
        """Returns an operation's output of shape `to`; writes it, or computes it if it is known."""
        if not any(isinstance(value, Computed) for value in inputs):
            arrays = [np.asarray(value) for value in inputs]
            return self.inherit(operation(do, parameters)(*arrays), inputs)
        name, of = f"x{len(self.operations)}", tuple(map(self.operand, inputs))
        self.operations.append(Operation(do, of, name, parameters))
        return Computed(name, to)

    def reshape(self, x: Value, shape: Shape) -> Value:
        """Returns x in another shape."""
        if x.shape == shape:
            return x
        return self.write("reshape", [x], shape, shape=list(shape))

    def transpose(self, x: Value, axes: Sequence[int]) -> Value:
        """Returns x with its axes in another order."""
        if list(axes) == sorted(axes):
            return x
        shape = tuple(x.shape[axis] for axis in axes)
        return self.write("transpose", [x], shape, axes=list(map(int, axes)))

    def broadcast(self, x: Value, shape: Shape) -> Value:
        """Returns x repeated along axes of size 1."""
        if x.shape == shape:
            return x
        return self.write("broadcast", [x, self._batch], shape, shape=list(shape))


def shape_of(dims: Sequence[Any]) -> Shape:
    """Returns a shape of jax with -1 for the size of the batch.

    Raises:
        InputError: if an axis is neither the batch nor of known size.
    """
    for dim in dims:
        if not isinstance(dim, int) and str(dim) != BATCH:
            raise unknown(f"an axis of {dim} entries")
    return tuple(dim if isinstance(dim, int) else -1 for dim in dims)


def unknown(what: str) -> InputError:
    """Returns the exception for something without an operation."""
    return InputError(
        f"the policy uses {what}, which the numpy and ONNX formats do not support: "
        "--formats=stablehlo supports all of jax"
    )
