"""Readings of many simulators at once, for the suite's own formulas.

Each class replaces the Physics of its domain. It answers what dm_control's tasks ask for N
simulators at once, [..., N], so one call of `get_observation` or `get_reward` serves all of them.
"""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np


class _Readings:
    def __init__(self, physics: Sequence[Any]) -> None:
        self._physics = physics
        self._velocity = self._views(lambda each: each.data.qvel)
        sensor = physics[0].model.name2id("torso_subtreelinvel", "sensor")
        address = physics[0].model.sensor_adr[sensor]
        self._speed = self._views(lambda each: each.data.sensordata[address : address + 1])

    def _views(self, view: Callable[[Any], np.ndarray]) -> list[np.ndarray]:
        """Returns views of the simulators' own memory, whose address steps do not change."""
        return [view(each) for each in self._physics]

    def velocity(self) -> np.ndarray:
        return np.stack(self._velocity, axis=-1)

    def speed(self) -> np.ndarray:
        return np.concatenate(self._speed)


class _Walkers(_Readings):
    def __init__(self, physics: Sequence[Any]) -> None:
        super().__init__(physics)
        torso = physics[0].model.name2id("torso", "body")
        self._height = self._views(lambda each: each.data.xpos[torso, 2:3])
        self._upright = self._views(lambda each: each.data.xmat[torso, 8:9])
        self._orientations = self._views(lambda each: each.data.xmat[1:, 0:3:2])  # xx and xz

    def torso_height(self) -> np.ndarray:
        return np.concatenate(self._height)

    def torso_upright(self) -> np.ndarray:
        return np.concatenate(self._upright)

    def horizontal_velocity(self) -> np.ndarray:
        return self.speed()

    def orientations(self) -> np.ndarray:
        return np.stack(self._orientations, axis=-1)


class _Cheetahs(_Readings):
    def __init__(self, physics: Sequence[Any]) -> None:
        super().__init__(physics)
        self._position = self._views(lambda each: each.data.qpos)

    @property
    def data(self) -> Any:
        return SimpleNamespace(qpos=np.stack(self._position, axis=-1))


READINGS: dict[str, type[_Readings]] = {"walker": _Walkers, "cheetah": _Cheetahs}
