"""The members of a run, between the stretches of their training.

They lie on the devices where they fit there together. Where they do not, slices of them take turns,
and those that wait lie in the memory of the machine.
"""

import math
from typing import NamedTuple

import jax
import numpy as np

from rlp.runs import Run
from rlp.system import devices, memory
from rlp.system.devices import Placement
from rlp.training import population
from rlp.training.population import Population
from rlp.types import Sources, State, Statistics, phase_at

Columns = dict[str, np.ndarray]  # by name, one value a member [M]
USABLE = 0.9  # of what is free: an allocator leaves gaps


class Room(NamedTuple):
    """How many members fit the devices together, and the program that says so."""

    at_once: int
    each: int  # bytes
    free: int  # bytes


def room(run: Run, num_updates: int, sources: Sources, placement: Placement) -> Room:
    """Returns how many members fit the devices together while they make `num_updates`.

    The compiled program says it, which their training then uses. At least one a device:
    whether that fits is seen when it is there.
    """
    num_members, groups = len(run.seeds), placement.num_groups
    members = population.shapes(run.algo, run.configs, run.seeds, run.spec)
    program = population.traced(
        run.algo, run.spec, num_updates, members, sources, placement, run.precision
    )
    num_bytes = population.num_bytes(program.lower().compile(), members, placement)
    each, free = num_bytes * groups // num_members, memory.free()
    fitting = groups * max(1, int(USABLE * free / each))
    most = -devices.highest(-min(num_members, fitting))  # the process with the least tells all
    num_slices = math.ceil(num_members / most)
    return Room(groups * math.ceil(num_members / groups / num_slices), each, free)


class Members:
    """All members of a run, of which `at_once` train together."""

    def __init__(
        self,
        run: Run,
        placement: Placement,
        at_once: int,
        statistics: Statistics,
        states: State = None,
    ) -> None:
        """Begins with these states [M], or new ones."""
        self._run, self._placement = run, placement
        self._slices = [slice(n, n + at_once) for n in range(0, len(run.seeds), at_once)]
        self._parts = [self._part(each, statistics, states) for each in self._slices]
        if self._are_together:
            self._parts = devices.place(self._parts, placement.members)

    def train(self, sources: Sources, step: int, stop: int) -> tuple[Columns, Columns]:
        """Makes the updates step to stop, of one phase, and returns their metrics and alarms."""
        phase = phase_at(self._run.algo, self._run.configs[0], step)
        first_step = devices.place(np.int32(step), self._placement.everywhere)
        outcomes = []
        for number, part in enumerate(self._parts):
            part = part if self._are_together else devices.place(part, self._placement.members)
            with jax.transfer_guard("disallow"):  # a hidden transfer would stall every stretch
                if phase.is_prepared_for:
                    prepared = population.prepare(
                        self._run.algo,
                        part.configs,
                        part.keys,
                        part.states,
                        sources,
                        first_step,
                        phase.number,
                        placement=self._placement,
                        precision=self._run.precision,
                    )
                    part = part._replace(states=prepared)
                states, *outcome = population.train(
                    self._run.algo,
                    self._run.spec,
                    stop - step,
                    part.configs,
                    part.keys,
                    part.states,
                    sources,
                    first_step,
                    phase.number,
                    placement=self._placement,
                    precision=self._run.precision,
                )
            self._parts[number] = self._rest(part._replace(states=states))
            outcomes.append(jax.device_get(devices.here(outcome)))
        metrics, alarms = jax.tree.map(lambda *values: np.concatenate(values), *outcomes)
        return metrics, alarms

    def states(self) -> State:
        """Returns the states [M], for this process to use; all processes must call this."""
        if self._are_together:
            return devices.here(self._parts[0].states)
        states = [part.states for part in self._parts]
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *states)

    @property
    def _are_together(self) -> bool:
        return len(self._slices) == 1

    def _part(self, which: slice, statistics: Statistics, states: State) -> Population:
        run = self._run
        new = population.init(run.algo, run.configs[which], run.seeds[which], run.spec, statistics)
        if states is not None:
            new = new._replace(states=jax.tree.map(lambda leaf: leaf[which], states))
        return self._rest(new)

    def _rest(self, part: Population) -> Population:
        """Returns a part with its states where they lie while the others train."""
        if self._are_together:
            return part
        return part._replace(states=jax.device_get(devices.here(part.states)))
