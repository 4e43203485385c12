"""BotEvade of the package `cellworld_gym`, as `cellworld:botevade`: a prey, a robot, a goal.

An action is a place to go to: one of the 295 open cells, with `-35` one of 35 landmarks, with
`-continuous` any point (x, y) in the unit square. A step takes 0.25 seconds. It pays 1 at the goal
and -1 for a capture. `rlp.envs.botevade` is the same game in JAX, hundreds of times faster.

This module corrects the package (0.0.139, game 0.0.193), which returns the same array again and
again, takes no seed, keeps destinations, speeds and time of the previous episode, lets angles grow
without bound, has no time limit, and reads its files twice, for which it needs 9 GB. The robot's
own view is not computed: nothing depends on it, and it takes half of the time.
"""

import contextlib
import functools
import importlib
import io
import math
import os
import random
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from rlp.envs import Bounds, Choices, Outcome
from rlp.envs import cellworld_resources as resources
from rlp.envs.botevade import MAX_STEPS, OBSERVATION_DIM, SUBSTEP, VARIANTS
from rlp.envs.cellworld_resources import NO_CELL, RESOLUTION, World
from rlp.errors import InputError, nearest
from rlp.system import memory

ANGLES = (2, 5)  # indices of an observation's angles, in radians
REWARDS = {"puffed": -1, "finished": 1}  # factors of entries of the observation, in every step
BYTES_OF_PACKAGE = 1_000_000_000  # most of it is torch
BYTES = 100_000  # per environment
MODULES = (
    "torch", "cellworld.util", "cellworld_game", "cellworld_game.navigation",
    "cellworld_game.tasks.botevade", "cellworld_gym",
)  # fmt: skip
INSTALL = (
    "pip install torch pygame shapely networkx requests json-cpp pulsekit tcp-messages; "
    "pip install --no-deps cellworld==0.0.398 cellworld-game==0.0.193 cellworld-belief==0.0.35 "
    "cellworld-gym==0.0.139"
)


class BotEvade:
    """N games, stepped one after the other; a game that has ended waits for its reset."""

    def __init__(self, name: str, num_envs: int, bounds: Bounds | None = None) -> None:
        variant = name.partition(":")[2]
        if variant not in VARIANTS:
            known = [f"cellworld:{each}" for each in VARIANTS]
            raise InputError(f"no environment {name}{nearest(name, known)}")
        memory.check(
            f"{num_envs:,} environments {name}",
            BYTES_OF_PACKAGE + num_envs * BYTES,
            memory.of_machine(),
            "choose fewer members or episodes",
        )
        self._world = resources.read()
        self.games = [_make(variant) for _ in range(num_envs)]
        self.num_envs, self.max_episode_steps = num_envs, MAX_STEPS
        self.observation_dim = OBSERVATION_DIM
        if variant == "botevade-continuous":
            self.action_dim = 2
            self.action_space = bounds or Bounds(np.zeros(2), np.ones(2))
        else:
            self.action_dim = int(self.games[0].action_space.n)
            self.action_space = Choices(self.action_dim)
        self._random = [random.Random() for _ in range(num_envs)]
        self._observation = np.zeros((num_envs, self.observation_dim))
        self._running = np.zeros(num_envs, bool)

    def measures(self) -> dict[str, np.ndarray]:
        """Returns the number of captures, and success: the goal was reached without a capture."""
        prey = [env.model.prey_data for env in self.games]
        captures = np.array([each.puff_count for each in prey])
        at_goal = np.array([bool(each.goal_achieved) for each in prey])
        return {"success": at_goal & (captures == 0), "captures": captures}

    def reset(
        self, seeds: Sequence[int] | None = None, which: Sequence[int] | None = None
    ) -> np.ndarray:
        """Starts new episodes, all or those of `which`, and returns the observations [N, O]."""
        numbers = list(range(self.num_envs) if which is None else which)
        for i, seed in zip(numbers, seeds or (), strict=seeds is not None):
            self._random[i].seed(seed)
        for i in numbers:
            _forget(self.games[i].model)
            with _drawing_from(self._random[i]):
                self._observation[i] = _copied(self.games[i].reset()[0])
        self._running[numbers] = True
        return self._observation.copy()

    def step(self, action: np.ndarray) -> Outcome:
        """Applies actions [N, A] in [-1, 1], scaled to the bounds, or the largest as the choice."""
        reward = np.zeros(self.num_envs)
        terminated, truncated = np.zeros((2, self.num_envs), bool)
        for i in np.flatnonzero(self._running):
            with _drawing_from(self._random[i]):
                seen, reward[i], terminated[i], truncated[i], _ = self.games[i].step(
                    self._own(action[i])
                )
            self._observation[i] = _copied(seen)
        self._running &= ~(terminated | truncated)
        return Outcome(self._observation.copy(), reward, terminated, truncated & ~terminated)

    def physics(self) -> np.ndarray:
        """Returns the states [N, P], the numbers of `botevade.State` in its order."""
        return np.stack([state_numbers(env, self._world) for env in self.games])

    def _own(self, action: np.ndarray) -> Any:
        """Returns an action [A] in the package's form."""
        if isinstance(self.action_space, Choices):
            return int(np.argmax(action))
        low, high = self.action_space
        return low + (np.asarray(action, np.float64) + 1) / 2 * (high - low)


def state_numbers(env: Any, world: World) -> np.ndarray:
    """Returns the state [P] of one game: everything its future depends on, except random draws."""
    model = env.model
    agents, prey_data = (model.predator, model.prey), model.prey_data
    places = {tuple(place): number for number, place in enumerate(world.locations)}
    length = world.paths.shape[-1]

    def path(agent: Any) -> list[int]:
        cells = [places[place] for place in agent.path]
        return cells + [NO_CELL] * (length - len(cells))

    return np.concatenate(
        [
            np.ravel([agent.state.location for agent in agents]),
            [_wrapped(agent.state.direction, 180) for agent in agents],
            [agent.dynamics.forward_speed for agent in agents],
            [agent.dynamics.turn_speed for agent in agents],
            np.ravel([path(agent) for agent in agents]),
            [cell_at(world, agent.destination) for agent in agents],
            [cell_at(world, agent.new_destination) for agent in agents],
            [agent.destination_wait for agent in agents],
            [
                bool(prey_data.predator_visible),
                prey_data.predator_prey_distance,
                round(model.puff_cool_down / SUBSTEP),
                prey_data.puff_count,
                env.step_count,
            ],
        ]
    )


def cell_at(world: World, place: Sequence[float] | None) -> int:
    """Returns the open cell nearest to a place, NO_CELL for none."""
    if place is None:
        return NO_CELL
    x, y = (min(max(int(number * RESOLUTION), 0), RESOLUTION - 1) for number in place)
    return int(world.nearest[x, y])


def _forget(model: Any) -> None:
    """Clears what the package's reset keeps of the previous episode."""
    model.time = 0.0
    model.prey_data.reset()
    for agent in model.agents.values():
        agent.destination = agent.new_destination = None
        agent.destination_wait = agent.navigation_plan_update_wait = 0
        agent.dynamics.forward_speed = agent.dynamics.turn_speed = 0


def _copied(observation: np.ndarray) -> np.ndarray:
    """Returns a copy [O] float64 whose angles are in [-pi, pi]."""
    copied = np.array(observation, np.float64)
    for place in ANGLES:
        copied[place] = _wrapped(copied[place], math.pi)
    return copied


def _wrapped(angle: float, half: float) -> float:
    """Returns an angle wrapped to [-half, half]; both ends stay, as in the package."""
    return angle if abs(angle) <= half else (angle + half) % (2 * half) - half


@contextlib.contextmanager
def _drawing_from(generator: random.Random) -> Iterator[None]:
    """Lends a generator's state to Python's global one, from which the package draws."""
    kept = random.getstate()
    random.setstate(generator.getstate())
    try:
        yield
    finally:
        generator.setstate(random.getstate())
        random.setstate(kept)


class _PreysView:
    """The package's views of agents; an agent with view field 0 sees nothing, at no cost."""

    def __init__(self, visibility: Any) -> None:
        self._visibility = visibility

    def get_visibility_polygon(self, src: Any, direction: float, view_field: float) -> Any:
        if not view_field:
            return SimpleNamespace(intersects=lambda _: False)
        return self._visibility.get_visibility_polygon(src, direction, view_field)


class _Points:
    """The package's map of nearest cells, backed by rlp's own arrays."""

    def __init__(self, point_list: Sequence[Any]) -> None:
        self.point_list = point_list
        self._world = resources.read()

    def closest(self, point: Sequence[float]) -> int:
        return cell_at(self._world, point)


def _make(variant: str) -> Any:
    """Returns one game of the package."""
    cellworld_gym = _package()
    kinds = cellworld_gym.BotEvadeEnv.ActionType
    env = cellworld_gym.BotEvadeEnv(
        world_name=resources.WORLD,
        use_lppos=variant == "botevade-35",
        use_predator=True,
        max_step=MAX_STEPS,
        reward_function=cellworld_gym.Reward(REWARDS),
        action_type=kinds.CONTINUOUS if variant == "botevade-continuous" else kinds.DISCRETE,
    )
    env.model.visibility = _PreysView(env.model.visibility)
    env.model.predator.view_field = 0
    return env


@functools.cache
def _package() -> Any:
    """Returns `cellworld_gym`, changed to read its files only once, from the user's folder.

    Raises:
        InputError: if it is not installed.
    """
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # no display is needed
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints torch's devices
            modules: list[Any] = [importlib.import_module(name) for name in MODULES]
    except ModuleNotFoundError as error:
        raise InputError(f"cellworld: {error.name} is not installed ({INSTALL})") from error
    torch, util, game, navigation, task, gym = modules
    torch.set_num_threads(1)  # more are slower for operations this small
    util.cellworld_cache_folder = str(resources.folder())
    navigation.Points = _Points
    game.CellWorldLoader = task.CellWorldLoader = functools.cache(game.CellWorldLoader)
    return gym
