"""dm_control's suite as a vector environment, bit for bit equal to stepping dm_control.

Observations keep dm_control's own order (walker: orientations, height, velocity). Sorting the
names, as gymnasium and shimmy do, would give other observations of the same shape. Simulators are
stepped in threads, because MuJoCo runs without Python's lock. Where dm_control raises a
PhysicsError, the episode terminates, as in its composer, and the other environments continue.
"""

import copy
import logging
import os
import re
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from rlp.envs import Bounds, Outcome
from rlp.envs.bodies import body_of
from rlp.envs.dm_control_readings import READINGS
from rlp.errors import InputError, nearest
from rlp.system import memory

with warnings.catch_warnings():
    # Without a display glfw warns at import; states need no display.
    warnings.filterwarnings("ignore", module="glfw")
    import mujoco
    from dm_control import suite
    from dm_control.rl.control import PhysicsError

FATAL: Any = mujoco.FatalError  # pyright: ignore[reportAttributeAccessIssue] - it is compiled

# MuJoCo warns of attributes in dm_control's models, and of invalid simulations, as rlp itself does.
SAID = re.compile("is deprecated|simulation is unstable")
logging.getLogger("absl").addFilter(lambda record: not SAID.search(record.getMessage()))

ROUNDING = 1e-5  # of observations in float32


class DmControl:
    """N copies of one task of the suite, named `domain-task`."""

    def __init__(
        self,
        name: str,
        num_envs: int,
        bounds: Bounds | None = None,
        picture_size: tuple[int, int] | None = None,
    ) -> None:
        names = ["-".join(task) for task in suite.ALL_TASKS]
        if name not in names:
            is_gyms = re.search(r"-v\d+$", name)
            hint = f" (did you mean gym:{name}?)" if is_gyms else nearest(name, names)
            raise InputError(
                f"no environment {name}{hint}; dm_control has tasks of "
                f"{', '.join(dict.fromkeys(domain for domain, _ in suite.ALL_TASKS))}"
            )
        domain, task = name.split("-", 1)
        first = suite.load(domain, task)
        first.reset()
        bytes_each = mujoco.mj_sizeModel(first.physics.model.ptr)  # pyright: ignore[reportAttributeAccessIssue] - it is compiled
        memory.check(
            f"{num_envs:,} simulators of {name}",
            num_envs * bytes_each,
            memory.of_machine(),
            "choose fewer members or episodes",
        )
        self._name, self._domain, self.num_envs = name, domain, num_envs
        try:
            self._envs = [first, *(_copy(first) for _ in range(num_envs - 1))]
        except mujoco.FatalError as error:  # pyright: ignore[reportAttributeAccessIssue] - it is compiled
            raise MemoryError(f"{num_envs:,} simulators of {name}") from error
        readings = READINGS.get(domain)
        self._readings = readings([env.physics for env in self._envs]) if readings else None
        num_threads = min(num_envs, os.cpu_count() or 1)
        self._threads = ThreadPoolExecutor(num_threads)
        self._shares = np.array_split(np.arange(num_envs), num_threads)
        self._num_taken = np.zeros(num_envs, int)  # steps since the reset
        self._is_invalid = np.zeros(num_envs, bool)  # since the reset
        spec: Any = first.action_spec()
        self.action_dim = int(np.prod(spec.shape))
        self.observation_dim = int(
            sum(np.prod(array.shape) for array in first.observation_spec().values())
        )
        self._observation = np.zeros((num_envs, self.observation_dim))  # the latest
        self.max_episode_steps = int(first._step_limit)
        self._picture_size = picture_size
        self.steps_per_second = 1 / first.control_timestep()
        low, high = self.action_space = bounds or Bounds(spec.minimum, spec.maximum)
        self._center, self._scale = (high + low) / 2, (high - low) / 2

    def reset(
        self, seeds: Sequence[int] | None = None, which: Sequence[int] | None = None
    ) -> np.ndarray:
        """Starts new episodes, all or those of `which`, and returns the observations [N, O]."""
        numbers = list(range(self.num_envs) if which is None else which)
        envs = [self._envs[number] for number in numbers]
        for env, seed in zip(envs, seeds or (), strict=seeds is not None):
            # The same as suite.load(task_kwargs={"random": seed}).
            env.task._random = np.random.RandomState(seed)
        self._num_taken[numbers] = 0
        self._is_invalid = self._is_invalid.copy()  # the previous outcome holds the old array
        self._is_invalid[numbers] = False
        self._observation = self._observation.copy()
        for number, first in zip(numbers, self._threads.map(_reset, envs), strict=True):
            self._observation[number] = _flat(first.observation)
        return self._observation

    def physics(self) -> np.ndarray:
        """Returns positions and velocities [N, P] of the simulators."""
        return np.stack([env.physics.get_state() for env in self._envs])

    def picture(self, number: int) -> np.ndarray:
        """Returns what the task's first camera sees, [height, width, 3] uint8."""
        assert self._picture_size, "made without pictures"
        width, height = self._picture_size
        return self._envs[number].physics.render(height, width, camera_id=0)

    def close(self) -> None:
        """Frees the simulators."""
        for env in self._envs:
            env.physics.free()

    def step(self, action: np.ndarray) -> Outcome:
        """Applies actions [N, A] in [-1, 1], scaled to the task's bounds.

        An invalid simulation returns reward 0 and its last valid observation, and is not stepped.
        """
        scaled, was_invalid = self._scaled(action), self._is_invalid
        has_failed = np.zeros(self.num_envs, bool)

        def advance(share: np.ndarray) -> None:
            for index in share:
                if not was_invalid[index]:
                    try:
                        _advance(self._envs[index], scaled[index])
                    except (FATAL, PhysicsError):
                        has_failed[index] = True

        others = self._threads.map(advance, self._shares[1:])
        advance(self._shares[0])  # in this thread, so one fewer has to wake
        list(others)
        has_failed |= _warnings(self._envs).any(axis=1)
        for index in np.flatnonzero(has_failed):
            self._envs[index].physics.reset()  # to a readable state
        self._is_invalid = was_invalid | has_failed
        self._num_taken += 1
        terminated = np.array([_is_terminated(env) for env in self._envs]) | self._is_invalid
        ended = self._num_taken >= self.max_episode_steps
        observation, reward = self._read()
        observation[self._is_invalid] = self._observation[self._is_invalid]
        reward[self._is_invalid] = 0
        self._observation = observation
        return Outcome(observation, reward, terminated, ended & ~terminated, self._is_invalid)

    def _read(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns observations [N, O] and rewards [N]."""
        if self._readings is None:
            found = [_read(env) for env in self._envs]
            return np.stack([each for each, _ in found]), np.array([each for _, each in found])
        task = self._envs[0].task
        observation = task.get_observation(self._readings).values()  # [..., N] each
        rows = [array.reshape(-1, self.num_envs) for array in observation]
        return np.concatenate(rows).T, task.get_reward(self._readings)

    def step_from(self, physics: np.ndarray, action: np.ndarray) -> Outcome:
        """Returns the outcome [1, ...] of an action [A] in a state [P].

        Raises:
            PhysicsError: if the simulation becomes invalid.
        """
        first = self._envs[0]
        self._set(physics)
        _advance(first, self._scaled(action))
        [counts] = _warnings([first])
        if counts.any():
            kinds: Any = mujoco.mjtWarning  # pyright: ignore[reportAttributeAccessIssue] - it is compiled
            raised = ", ".join(kinds(kind).name for kind in np.flatnonzero(counts))
            raise PhysicsError(f"the simulation has become invalid: {raised}")
        observation, reward = _read(first)
        terminated = np.array([_is_terminated(first)])
        return Outcome(observation[None], np.array([reward]), terminated, np.array([False]))

    def observe(self, physics: np.ndarray) -> np.ndarray:
        """Returns the observation [O] of a state [P]."""
        self._set(physics)
        return _read(self._envs[0])[0]

    def reward_of(self, physics: np.ndarray) -> float:
        """Returns the reward for reaching a state [P]; the suite's depend on nothing else."""
        self._set(physics)
        return _read(self._envs[0])[1]

    def rebuild(self, observation: np.ndarray) -> np.ndarray | None:
        """Returns a state [P] with this observation [O], None if none is found."""
        find_state = body_of(self._name).state
        if find_state is None:
            return None
        state = find_state(observation.astype(np.float64))
        return state if np.abs(self.observe(state) - observation).max() <= ROUNDING else None

    def _scaled(self, action: np.ndarray) -> np.ndarray:
        """Returns actions [..., A] in [-1, 1], scaled to the task's units."""
        return self._center + self._scale * np.asarray(action, np.float64)

    def _set(self, state: np.ndarray) -> None:
        if state.shape != self._envs[0].physics.get_state().shape:
            raise InputError(f"its states have {state.size} numbers, {self._name}'s have others")
        with self._envs[0].physics.reset_context():
            self._envs[0].physics.set_state(state)


def _copy(env: Any) -> Any:
    """Returns an independent copy, ten times faster than loading the task again."""
    twin = copy.copy(env)
    twin._physics = env.physics.copy(share_model=False)
    twin._task = copy.copy(env.task)
    return twin


def _reset(env: Any) -> Any:
    return env.reset()


def _advance(env: Any, action: np.ndarray) -> None:
    """Does what dm_control's step does before it checks the warnings."""
    env.task.before_step(action, env.physics)
    env.physics._step_with_up_to_date_position_velocity(env._n_sub_steps)
    env.task.after_step(env.physics)


def _warnings(envs: Sequence[Any]) -> np.ndarray:
    """Returns MuJoCo's counts of warnings [N, kinds]; dm_control treats any as invalid."""
    return np.stack([env.physics._warnings for env in envs])


def _read(env: Any) -> tuple[np.ndarray, float]:
    """Returns the observation [O] and the reward."""
    return _flat(env.task.get_observation(env.physics)), env.task.get_reward(env.physics)


def _is_terminated(env: Any) -> bool:
    return env.task.get_termination(env.physics) == 0


def _flat(observation: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([np.ravel(array) for array in observation.values()])
