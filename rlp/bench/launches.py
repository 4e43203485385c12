"""What an update launches, counted in the text of a compiled program.

A program is computations, of one instruction a line. An instruction is launched unless it only
names memory; those within a fusion are launched together. Loops within an update count as often as
they run where the text says how often, else once, and of a conditional the branch that launches
the most.

Bytes are those that the launched instructions read and write: of what is sliced or gathered only
the slices, and every result as often as it is read, as if there were no cache.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

KINDS = ("gemms", "fusions", "copies", "collectives", "conditionals", "others")
FREE = frozenset({
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "opt-barrier",
    "partition-id", "replica-id", "domain", "add-dependency", "async-update",
})  # fmt: skip
COPIES = frozenset({"copy", "copy-start"})
COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "reduce-scatter", "collective-permute")
PRODUCTS = frozenset({"dot", "convolution"})
LIBRARIES = re.compile(r'custom_call_target="[^"]*(gemm|cublas|matmul)', re.IGNORECASE)
SLICES = frozenset({"slice", "dynamic-slice", "gather"})
SIZES = {"pred": 1, "bf16": 2}  # bytes; of other types the name says the bits

COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
INSTRUCTION = re.compile(r"^ +(ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\(([^)]*)\)(.*)$")
ARRAY = re.compile(r"\b(pred|bf16|[a-z]+(\d+)\w*)\[([\d,]*)\]")
NAME = re.compile(r"%?([\w.\-]+)")
CALLED = re.compile(r"(?:calls|to_apply|body|(?:true|false)_computation)=%?([\w.\-]+)")
BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')


class Instruction(NamedTuple):
    """A line of a computation."""

    is_root: bool
    name: str
    shape: str
    operation: str
    operands: list[str]  # names
    attributes: str

    @property
    def called(self) -> list[str]:
        """Names of the computations that it is made of, without a loop's condition."""
        branches = BRANCHES.search(self.attributes)
        names = NAME.findall(branches.group(1)) if branches else []
        return names + CALLED.findall(self.attributes)

    @property
    def num_bytes(self) -> int:
        """Bytes of its result."""
        return sum(
            (SIZES.get(kind) or math.ceil(int(bits) / 8)) * math.prod(map(int, filter(None, dims)))
            for kind, bits, dims in ((k, b, d.split(",")) for k, b, d in ARRAY.findall(self.shape))
        )


Program = dict[str, list[Instruction]]  # by the computations' names


def of_update(text: str) -> Counter[str]:
    """Returns how much of each of `KINDS` an update launches, and the `bytes` that it moves.

    The updates are the loop that launches the most of those that the program begins.
    """
    program, entry = _parsed(text)
    bodies = [each.called[0] for each in program[entry] if each.operation == "while"]
    return max((_total(program, body) for body in bodies), key=number, default=Counter())


def number(counts: Counter[str]) -> int:
    """Returns the launches of all kinds together."""
    return sum(counts[kind] for kind in KINDS)


def _parsed(text: str) -> tuple[Program, str]:
    """Returns the computations, and the name of the one that the program begins with."""
    program: Program = {}
    entry = name = ""
    for line in text.splitlines():
        if begins := COMPUTATION.match(line):
            name = begins.group(2)
            program[name] = []
            entry = name if begins.group(1) else entry
        elif found := INSTRUCTION.match(line):
            root, own, shape, operation, operands, attributes = found.groups()
            operands = NAME.findall(re.sub(r"/\*.*?\*/", "", operands))
            program[name].append(
                Instruction(bool(root), own, shape, operation, operands, attributes)
            )
    return program, entry


def _total(program: Program, name: str) -> Counter[str]:
    """Returns what one run of a computation launches and moves."""
    total: Counter[str] = Counter()
    for each in program[name]:
        inner = [_total(program, called) for called in each.called if _is_control(each)]
        if each.operation == "while":
            trips = TRIPS.search(each.attributes)
            total += _times(int(trips.group(1)) if trips else 1, inner[0])
        elif each.operation == "conditional":
            total += max(inner, key=number) + Counter(conditionals=1)
        elif inner:
            total += inner[0]
        elif kind := _kind(program, each):
            total += Counter({kind: 1, "bytes": _moved(program, name, each)})
    return total


def _is_control(instruction: Instruction) -> bool:
    return instruction.operation in ("while", "conditional", "call", "async-start")


def _times(number: int, counts: Counter[str]) -> Counter[str]:
    return Counter({kind: number * count for kind, count in counts.items()})


def _kind(program: Program, instruction: Instruction) -> str:
    """Returns which of `KINDS` an instruction is, "" if nothing is launched."""
    operation = instruction.operation
    if operation in FREE or operation.endswith("-done"):
        return ""
    if operation in PRODUCTS or LIBRARIES.search(instruction.attributes):
        return "gemms"
    if operation in COPIES:
        return "copies"
    if operation.startswith(COLLECTIVES):
        return "collectives"
    if operation != "fusion":
        return "others"
    has_product = any(each.operation in PRODUCTS for each in _within(program, instruction))
    return "gemms" if has_product else "fusions"


def _within(program: Program, instruction: Instruction) -> Iterator[Instruction]:
    """Yields the instructions of a fusion, and those of fusions within it."""
    for name in instruction.called:
        for each in program[name]:
            yield each
            yield from _within(program, each)


def _moved(program: Program, name: str, instruction: Instruction) -> int:
    """Returns the bytes that an instruction of the computation `name` reads and writes."""
    sizes = {each.name: each.num_bytes for each in program[name]}
    if instruction.operation != "fusion":
        read = sum(sizes.get(operand, 0) for operand in instruction.operands)
        return instruction.num_bytes + read
    body = program[instruction.called[0]]
    parameters = [each for each in body if each.operation == "parameter"]
    return sum(_read(body, each) for each in parameters) + _written(body)


def _read(body: list[Instruction], source: Instruction) -> int:
    """Returns the bytes of an instruction's result that a fusion reads."""
    users = [each for each in body if source.name in each.operands]
    parts = [_part(body, source, user) for user in users]
    whole = source.num_bytes
    return min(whole, sum(whole if part is None else part for part in parts))


def _part(body: list[Instruction], source: Instruction, user: Instruction) -> int | None:
    """Returns the bytes of a result that one instruction reads, None if all."""
    is_first = user.operands[0] == source.name
    if user.operation in SLICES and is_first:
        return user.num_bytes
    if user.operation == "dynamic-update-slice" and is_first:
        return 0  # it is changed where it is
    if user.operation == "bitcast" and not user.is_root:
        return _read(body, user)
    return None


def _written(body: list[Instruction]) -> int:
    """Returns the bytes that a fusion writes: of an array that is changed in place the change."""
    by_name = {each.name: each for each in body}

    def written(result: Instruction) -> int:
        if result.operation in ("tuple", "bitcast"):
            return sum(written(by_name[name]) for name in result.operands)
        if result.operation == "dynamic-update-slice":
            return by_name[result.operands[1]].num_bytes
        return result.num_bytes

    return sum(written(each) for each in body if each.is_root)
