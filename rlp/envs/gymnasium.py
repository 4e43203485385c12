"""Gymnasium's environments with vectors as observations, such as `gym:HalfCheetah-v5`.

Bit for bit equal to stepping gymnasium. The data of D4RL and CS285 was made with older versions:
Walker2d-v5 has other dynamics than -v4, so evaluate in the version that the data came from. When a
simulation becomes invalid, MuJoCo continues from its initial state; here the episode terminates.
"""

import importlib.util
import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from rlp.envs import GYM, Bounds, Choices, Outcome
from rlp.envs.gymnasium_states import LAGGING, candidates
from rlp.errors import InputError, nearest
from rlp.system import memory

LEAST_BYTES = 3_000  # per environment: CartPole's
RESETS = ("mjWARN_BADQPOS", "mjWARN_BADQVEL", "mjWARN_BADQACC", "mjWARN_BADCTRL")  # MuJoCo's names
VELOCITY_CLIP = 10.0  # in the observations of Hopper, Walker2d and InvertedDoublePendulum
ROUNDING = 1e-5  # of observations in float32
USUAL_SPEED = 30.0  # steps per second, for environments that do not state it


class Gymnasium:
    """N copies of one environment; a copy that has ended waits for its reset."""

    def __init__(
        self,
        name: str,
        num_envs: int,
        bounds: Bounds | None = None,
        picture_size: tuple[int, int] | None = None,
        make_all: Callable[[str, int, tuple[int, int] | None], list[Any]] | None = None,
        num_bytes: int = LEAST_BYTES,
    ) -> None:
        memory.check(
            f"{num_envs:,} environments {name}",
            num_envs * num_bytes,
            memory.of_machine(),
            "choose fewer members or episodes",
        )
        self._name, self.num_envs, self._ready = name, num_envs, False
        self._family = name.removeprefix("gym:").rsplit("-v", 1)[0]
        self._envs = (make_all or _make_all)(name, num_envs, picture_size)
        first = self._envs[0]
        seen, space = first.observation_space, first.action_space
        if not _is_vector(seen) or not (isinstance(space, Discrete) or _is_vector(space)):
            raise InputError(
                f"{name}: observations must be vectors, actions vectors or discrete, "
                f"not {seen} and {space}"
            )
        self.observation_dim = seen.shape[0]
        if isinstance(space, Discrete):
            self.action_space = Choices(int(space.n), int(space.start))
            self.action_dim = self.action_space.num
        else:
            self.action_dim = space.shape[0]
            low, high = self.action_space = bounds or Bounds(
                np.asarray(space.low, np.float64), np.asarray(space.high, np.float64)
            )
            if not np.isfinite([low, high]).all():
                raise InputError(f"{name}: its actions have no bounds to scale them by")
            self._center, self._scale = (high + low) / 2, (high - low) / 2
        if not first.spec.max_episode_steps:
            raise InputError(f"{name}: it has no time limit, so an evaluation might never end")
        self.max_episode_steps = first.spec.max_episode_steps
        self.steps_per_second = float(first.metadata.get("render_fps", USUAL_SPEED))
        self._observation = np.zeros((num_envs, self.observation_dim))
        self._running = np.zeros(num_envs, bool)
        self._is_invalid = np.zeros(num_envs, bool)
        self._success: np.ndarray | None = None  # None: the environment reports no success
        mujoco: Any = sys.modules.get("mujoco")  # imported by environments that use it
        self._failures = (mujoco.FatalError,) if mujoco else ()
        has_warnings = mujoco and hasattr(getattr(first.unwrapped, "data", None), "warning")
        self._resets = (
            [int(getattr(mujoco.mjtWarning, kind)) for kind in RESETS] if has_warnings else []
        )

    def reset(
        self, seeds: Sequence[int] | None = None, which: Sequence[int] | None = None
    ) -> np.ndarray:
        """Starts new episodes, all or those of `which`, and returns the observations [N, O]."""
        numbers = list(range(self.num_envs) if which is None else which)
        chosen = [None] * len(numbers) if seeds is None else seeds
        for i, seed in zip(numbers, chosen, strict=True):
            self._observation[i], _ = self._envs[i].reset(seed=seed)
        self._running[numbers] = True
        self._is_invalid[numbers] = False
        if self._success is not None:
            self._success[numbers] = False
        return self._observation.copy()

    def measures(self) -> dict[str, np.ndarray]:
        """Returns whether each episode was a success, if the environment reports it."""
        return {} if self._success is None else {"success": self._success.copy()}

    def physics(self) -> np.ndarray:
        """Returns positions and velocities [N, P] of MuJoCo environments."""
        states = [env.unwrapped.data for env in self._envs]
        return np.stack([np.concatenate([state.qpos, state.qvel]) for state in states])

    def picture(self, number: int) -> np.ndarray:
        """Returns a picture of an environment, [height, width, 3] uint8.

        Raises:
            InputError: if a package for rendering is missing.
        """
        try:
            return self._envs[number].render()
        except gymnasium.error.DependencyNotInstalled as error:
            raise InputError(f"environment {self._name}: {error}") from None

    def close(self) -> None:
        """Frees the environments' resources for rendering."""
        for env in self._envs:
            env.close()

    def step_from(self, physics: np.ndarray, action: np.ndarray) -> Outcome:
        """Returns the outcome [1, ...] of an action [A] in a state [P].

        The reward is NaN if it depends on more than these.
        """
        self._set(physics)
        observation, reward, terminated, *_ = self._envs[0].unwrapped.step(self._own(action))
        reward = np.nan if self._family in LAGGING else reward
        return Outcome(
            observation[None], np.array([reward]), np.array([terminated]), np.zeros(1, bool)
        )

    def observe(self, physics: np.ndarray) -> np.ndarray:
        """Returns the observation [O] of a state [P]."""
        self._set(physics)
        return self._envs[0].unwrapped._get_obs()

    def rebuild(self, observation: np.ndarray) -> np.ndarray | None:
        """Returns the state of a MuJoCo environment with this observation [O], None if not known.

        Positions without effect (how far a body has moved) are 0. Numbers after the state in the
        observation, such as contact forces, are not compared. The state is not known if a velocity
        was clipped.
        """
        model = getattr(self._envs[0].unwrapped, "model", None)
        if model is None:
            return None
        observation = observation.astype(np.float64)
        for state, num_seen in candidates(self._family, observation, model.nq + model.nv):
            observed = self.observe(state)[:num_seen]
            if np.allclose(observed, observation[:num_seen], rtol=ROUNDING, atol=ROUNDING):
                faster = np.concatenate([state[: model.nq], 2 * state[model.nq :]])
                is_same = observed == self.observe(faster)[:num_seen]
                is_clipped = is_same & (np.abs(observed) >= VELOCITY_CLIP)
                return None if is_clipped.any() else state
        return None

    def _own(self, action: np.ndarray) -> Any:
        """Returns an action [A] in the environment's form."""
        if isinstance(self.action_space, Choices):
            return self.action_space.first + int(np.argmax(action))
        return self._center + self._scale * np.asarray(action, np.float64)

    def _set(self, state: np.ndarray) -> None:
        simulator = self._envs[0].unwrapped
        if state.size != simulator.model.nq + simulator.model.nv:
            raise InputError(f"its states have {state.size} numbers, {self._name}'s have others")
        if not self._ready:
            self._envs[0].reset()
            self._ready = True
        simulator.set_state(state[: simulator.model.nq], state[simulator.model.nq :])

    def step(self, action: np.ndarray) -> Outcome:
        """Applies actions [N, A] in [-1, 1], scaled to the bounds, or the largest as the choice.

        An invalid simulation returns reward 0 and its last valid observation.
        """
        reward = np.zeros(self.num_envs)
        terminated, truncated = np.zeros((2, self.num_envs), bool)
        for i in np.flatnonzero(self._running).tolist():
            try:
                seen, *outcome, info = self._envs[i].step(self._own(action[i]))
            except self._failures:
                self._is_invalid[i] = True
                continue
            has_warned = (
                self._resets and self._envs[i].unwrapped.data.warning.number[self._resets].any()
            )
            self._judge(i, info)
            if not has_warned and np.isfinite([*seen, outcome[0]]).all():
                self._observation[i], (reward[i], terminated[i], truncated[i]) = seen, outcome
            else:
                self._is_invalid[i] = True
        terminated |= self._is_invalid
        self._running &= ~(terminated | truncated)
        return Outcome(
            self._observation.copy(),
            reward,
            terminated,
            truncated & ~terminated,
            self._is_invalid.copy(),
        )

    def _judge(self, number: int, info: dict[str, Any]) -> None:
        """Stores whether an environment reports success."""
        success = info.get("success", info.get("is_success"))
        if success is not None:
            if self._success is None:
                self._success = np.zeros(self.num_envs, bool)
            self._success[number] |= bool(success)


def _make_all(name: str, num_envs: int, picture_size: tuple[int, int] | None) -> list[Any]:
    return [_make(name, picture_size) for _ in range(num_envs)]


def _simulates_with_mujoco(name: str) -> bool:
    entry = gymnasium.spec(name.removeprefix(GYM)).entry_point
    return "mujoco" in str(entry) and importlib.util.find_spec("mujoco") is not None


def _quieten() -> None:
    """Sends MuJoCo's warnings to a logger; it would print some about gymnasium's own models.

    Invalid simulations are still counted, and reported elsewhere.
    """
    import mujoco

    handlers: Any = mujoco
    if handlers.get_mju_user_warning() is None:
        handlers.set_mju_user_warning(logging.getLogger("mujoco").info)


def _is_vector(space: Any) -> bool:
    return isinstance(space, Box) and len(space.shape) == 1


def _make(name: str, picture_size: tuple[int, int] | None) -> Any:
    options: dict[str, Any] = {"render_mode": "rgb_array"} if picture_size else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are allowed
        try:
            if _simulates_with_mujoco(name):
                _quieten()
                if picture_size:
                    options["width"], options["height"] = picture_size
                    options["camera_name"] = "track"  # follows the body, if there is one
            return gymnasium.make(name.removeprefix("gym:"), disable_env_checker=True, **options)
        except gymnasium.error.UnregisteredEnv:
            known = [f"gym:{each}" for each in gymnasium.registry]
            raise InputError(f"no environment {name}{nearest(name, known)}") from None
        except (gymnasium.error.Error, ModuleNotFoundError) as error:
            raise InputError(f"environment {name}: {error}") from None
