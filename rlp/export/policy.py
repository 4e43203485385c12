"""Runs a policy that `rlp.export` wrote with numpy alone: this file does not need rlp.

    from policy import load

    policy = load()  # from the folder of this file
    action = policy(observation)

An observation is [O], or [N, O] for N parallel episodes. Actions are in the environment's units;
discrete ones are numbers. A policy with memory, such as a Decision Transformer, is called with its
memory, which the caller keeps:

    memory = policy.start()  # before episodes; or start(target_return=200.0, num_episodes=8)
    action, memory = policy.act(observation, reward, memory)  # reward: of the last action, or 0

act.json lists the operations of the policy on the arrays of act.npz; start.json computes its first
memory. Neither file runs code.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1  # version of the files; others are refused
NUMBERS = {bool: np.bool_, int: np.int32, float: np.float32}  # types of numbers in json

PLAIN: dict[str, Callable[..., Any]] = {
    "abs": np.abs, "add": np.add, "and": np.logical_and, "ceil": np.ceil, "cos": np.cos,
    "div": np.divide, "eq": np.equal, "exp": np.exp, "floor": np.floor, "ge": np.greater_equal,
    "gt": np.greater, "le": np.less_equal, "log": np.log, "log1p": np.log1p, "lt": np.less,
    "matmul": np.matmul, "max": np.maximum, "min": np.minimum, "mul": np.multiply,
    "ne": np.not_equal, "neg": np.negative, "not": np.logical_not, "or": np.logical_or,
    "pow": np.power, "sign": np.sign, "sin": np.sin, "sqrt": np.sqrt, "sub": np.subtract,
    "tanh": np.tanh, "where": np.where,
}  # fmt: skip


def _broadcast(shape: Sequence[int]) -> Callable[..., Any]:
    """Returns a function that repeats x along axes; -1 in `shape` is `like`'s number of rows."""
    return lambda x, like: np.broadcast_to(x, [len(like) if d == -1 else d for d in shape])


def _slice(start: Sequence[int], stop: Sequence[int | None], step: Sequence[int]) -> Any:
    parts = tuple(slice(*each) for each in zip(start, stop, step, strict=True))
    return lambda x: x[parts]


def _take() -> Callable[..., Any]:
    return lambda table, numbers: table.take(numbers, axis=0)


WITH_PARAMETERS: dict[str, Callable[..., Callable[..., Any]]] = {
    "argmax": lambda axis: lambda x: x.argmax(axis).astype(np.int32),
    "broadcast": _broadcast,
    "cast": lambda dtype: lambda x: x.astype(dtype),
    "concatenate": lambda axis: lambda *parts: np.concatenate(parts, axis),
    "reduce_max": lambda axes: lambda x: x.max(tuple(axes)),
    "reduce_min": lambda axes: lambda x: x.min(tuple(axes)),
    "reduce_sum": lambda axes: lambda x: x.sum(tuple(axes)),
    "reshape": lambda shape: lambda x: x.reshape(shape),  # -1: the size that fits
    "slice": _slice,
    "take": _take,
    "transpose": lambda axes: lambda x: x.transpose(axes),
}


def operation(do: str, parameters: dict[str, Any]) -> Callable[..., Any]:
    """Returns the function of arrays for an operation.

    Raises:
        ValueError: if there is no such operation.
    """
    if do in PLAIN and not parameters:
        return PLAIN[do]
    if do not in WITH_PARAMETERS:
        raise ValueError(f"no operation {do}: read it with the policy.py of its own folder")
    return WITH_PARAMETERS[do](**parameters)


class Program:
    """A list of operations that computes arrays from arrays."""

    def __init__(self, structure: dict[str, Any], constants: dict[str, np.ndarray]) -> None:
        """Makes a program from the contents of a json and an npz file."""
        self._inputs, self._outputs = structure["inputs"], structure["outputs"]
        self._constants: dict[str, Any] = dict(constants)
        self._steps = [
            (operation(do, parameters), [self._name(each) for each in of], to)
            for do, of, to, parameters in structure["operations"]
        ]

    def _name(self, value: Any) -> str:
        """Returns the name of an array, or a new name for a number."""
        if isinstance(value, str):
            return value
        name = repr(value)
        self._constants[name] = NUMBERS[type(value)](value)
        return name

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """Returns the outputs."""
        values = {**self._constants, **dict(zip(self._inputs, inputs, strict=True))}
        for function, names, to in self._steps:
            values[to] = function(*[values[name] for name in names])
        return [values[name] for name in self._outputs]


class Policy:
    """A policy that acts on observations in the environment's units."""

    def __init__(self, about: dict[str, Any], act: Program, start: Program | None) -> None:
        """Makes a policy from about.json and its programs; without memory `start` is None."""
        self.about = about
        self._act, self._start = act, start
        self._width = about["observation"]["shape"][0]
        self._origin = np.array(about["observation"]["origin"] or 0.0)

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """Returns the action [A] for an observation [O], or [N, A] for [N, O].

        Raises:
            ValueError: if the observation has another shape, or the policy has memory.
        """
        if self._start:
            raise ValueError("this policy remembers: call start, and then act with its memory")
        rows, is_one = self._rows(observation)
        (action,) = self._act(rows)
        return action[0] if is_one else action

    def start(self, target_return: float | None = None, num_episodes: int = 1) -> list[np.ndarray]:
        """Returns the memory for the start of episodes.

        Args:
            target_return: to aim for, if the policy does so; None: as in its evaluations.
            num_episodes: number of parallel episodes.
        """
        if self._start is None:
            return []
        target = self.about["target_return"] if target_return is None else target_return
        return self._start(np.full(num_episodes, target, np.float32))

    def act(
        self, observation: np.ndarray, reward: np.ndarray | float, memory: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Returns the action and the memory after it.

        Args:
            observation: [O], or [N, O] for N parallel episodes.
            reward: [] or [N], for the last action; 0 at the start of an episode.
            memory: from `start`, or the last call.

        Raises:
            ValueError: if the observation has another shape.
        """
        if self._start is None:
            return self(observation), []
        rows, is_one = self._rows(observation)
        rewards = np.broadcast_to(np.asarray(reward, np.float32), len(rows))
        action, *memory = self._act(rows, rewards, *memory)
        return action[0] if is_one else action, memory

    def _rows(self, observation: np.ndarray) -> tuple[np.ndarray, bool]:
        """Returns observations [N, O] for the program, and whether there was only one."""
        rows = np.asarray(observation)
        if rows.ndim not in (1, 2) or rows.shape[-1] != self._width:
            raise ValueError(
                f"observation of shape {rows.shape}: must be ({self._width},) or (N, {self._width})"
            )
        rows = (rows - self._origin).astype(np.float32)
        return (rows, False) if rows.ndim == 2 else (rows[None], True)


def load(folder: str | Path = Path(__file__).parent) -> Policy:
    """Returns the policy in a folder.

    Raises:
        ValueError: if its files have another format version.
    """
    folder = Path(folder)
    about = json.loads((folder / "about.json").read_text())
    if about["format"] != FORMAT:
        raise ValueError(f"{folder}: format {about['format']}, and this file reads {FORMAT}")
    has_memory = (folder / "start.json").exists()
    return Policy(
        about, read_program(folder, "act"), read_program(folder, "start") if has_memory else None
    )


def read_program(folder: Path, name: str) -> Program:
    """Returns the program with this name in a folder."""
    with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
        constants = dict(arrays)
    return Program(json.loads((folder / f"{name}.json").read_text()), constants)
