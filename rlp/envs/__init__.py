"""Vector environments by name. A simulator is imported when one of its environments is made."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from rlp.envs.bodies import body_of
from rlp.errors import InputError
from rlp.types import Space, Spec

if TYPE_CHECKING:
    from rlp.envs.jax_env import JaxEnv

GYM = "gym:"  # before the name of an environment of gymnasium
OGBENCH = "og:"  # before the name of one of OGBench, or of a data set of theirs
CELLWORLD = "cellworld:"  # of a game of cellworld_gym
JAX = "jax:"  # of an environment of rlp's own in JAX
GYMNAX = "gymnax:"  # of an environment of gymnax


class Bounds(NamedTuple):
    """The actions of an environment that rlp calls -1 and 1, [A] float64 each."""

    low: np.ndarray
    high: np.ndarray


class Choices(NamedTuple):
    """Discrete actions of an environment: how many, and the number of the first."""

    num: int
    first: int = 0


class Outcome(NamedTuple):
    """What a step of N environments gives."""

    observation: np.ndarray  # [N, O] float64
    reward: np.ndarray  # [N] float64
    terminated: np.ndarray  # [N] bool: the MDP ended, nothing follows
    truncated: np.ndarray  # [N] bool: a time limit cut the episode, bootstrap
    invalid: np.ndarray | bool = False  # [N]: the simulation became invalid, which terminated it


class VectorEnv(Protocol):
    """N environments stepped together; an ended one is not reset by itself."""

    num_envs: int
    observation_dim: int
    action_dim: int
    max_episode_steps: int

    @property
    def action_space(self) -> Bounds | Choices:
        """What actions there are."""
        ...

    def reset(
        self, seeds: Sequence[int] | None = None, which: Sequence[int] | None = None
    ) -> np.ndarray:
        """Begins new episodes in all environments, or only in those numbers `which`.

        Args:
            seeds: of each of those environments, or None: their randomness goes on.
            which: the numbers of the environments, different ones.

        Returns:
            The observations [N, O], of the others the last ones.
        """
        ...

    def physics(self) -> np.ndarray:
        """Returns the states of the simulators [N, P] float64."""
        ...

    def step(self, action: np.ndarray) -> Outcome:
        """Applies actions [N, A] in [-1, 1]. What an ended environment returns has no meaning."""
        ...


@runtime_checkable
class Simulator(VectorEnv, Protocol):
    """A vector environment whose first simulator can be set to any state."""

    def step_from(self, physics: np.ndarray, action: np.ndarray) -> Outcome:
        """Returns what follows [1, ...] on an action [A] in a state [P] of the simulator."""
        ...

    def observe(self, physics: np.ndarray) -> np.ndarray:
        """Returns the observation [O] of a state [P]."""
        ...

    def rebuild(self, observation: np.ndarray) -> np.ndarray | None:
        """Returns a state [P] with this observation [O], None where it does not tell enough."""
        ...


@runtime_checkable
class Visible(VectorEnv, Protocol):
    """A vector environment that can be looked at."""

    steps_per_second: float
    """In the time of the simulation."""

    def picture(self, number: int) -> np.ndarray:
        """Returns what environment `number` looks like, [height, width, 3] uint8."""
        ...

    def close(self) -> None:
        """Frees what it draws with; it cannot be used any more."""
        ...


def make(
    name: str,
    num_envs: int = 1,
    bounds: Bounds | None = None,
    picture_size: tuple[int, int] | None = None,
) -> VectorEnv:
    """Returns `num_envs` environments: dm_control's as `walker-walk`, `gym:Hopper-v4` gymnasium's.

    `og:cube-single-singletask-task1-v0` is OGBench's, `cellworld:botevade` a game of the package
    cellworld_gym, `jax:botevade` the same in JAX, and `gymnax:CartPole-v1` one of gymnax's.
    `walker-walk+walker-run` is several tasks, in turn, with a one-hot task behind the observation.

    Args:
        name: of the environment.
        num_envs: how many.
        bounds: the environment's actions that are called -1 and 1 (None: its lowest and highest).
        picture_size: width and height of the pictures of a `Visible` (some have a size of their
            own); `rlp.system.graphics` must have chosen what draws them (None: no pictures).

    Raises:
        InputError: if there is no such environment, or its simulator is not installed.
    """
    names = name.split("+")
    if len(names) > 1:
        from rlp.envs.tasks import Tasks

        return Tasks(
            name, [make(each, num_envs // len(names), bounds, picture_size) for each in names]
        )
    module, colon, rest = name.removeprefix(GYM).rpartition(":")
    if name.startswith(GYM) and colon:
        raise InputError(
            f"environment {name}: a name may not have gymnasium run the module {module}; import it "
            f"in your own program, and name the environment {GYM}{rest}"
        )
    try:
        if name.startswith(GYM):
            from rlp.envs.gymnasium import Gymnasium

            return Gymnasium(name, num_envs, bounds, picture_size)
        if name.startswith(OGBENCH):
            from rlp.envs import ogbench
            from rlp.envs.gymnasium import Gymnasium

            make_all, num_bytes = ogbench.make_all, ogbench.NUM_BYTES
            return Gymnasium(name, num_envs, bounds, picture_size, make_all, num_bytes)
        if name.startswith(CELLWORLD):
            from rlp.envs.cellworld import BotEvade

            return BotEvade(name, num_envs, bounds)
        if name.startswith((JAX, GYMNAX)):
            from rlp.envs.jax_env import JaxVector

            return JaxVector(make_jax(name, bounds), num_envs)
        from rlp.envs.dm_control import DmControl

        return DmControl(name, num_envs, bounds, picture_size)
    except ModuleNotFoundError as error:
        raise InputError(
            f"environment {name}: {error.name} is not installed "
            f"(pip install {error.name}, or --eval_every=0 to train without evaluation)"
        ) from error


def make_jax(name: str, bounds: Bounds | None = None) -> "JaxEnv":
    """Returns the pure functions of an environment in JAX, `jax:botevade` or `gymnax:CartPole-v1`.

    Raises:
        InputError: if there is no such environment, or its package is not installed.
    """
    if name.startswith(GYMNAX):
        from rlp.envs import gymnax

        return gymnax.make(name.removeprefix(GYMNAX), bounds)
    from rlp.envs import botevade

    return botevade.make(name.removeprefix(JAX), bounds)


def plain_name(name: str) -> str:
    """Returns an environment's name without what says whose it is, for the names of files."""
    for prefix in (GYM, OGBENCH, CELLWORLD, JAX, GYMNAX):
        name = name.replace(prefix, "")
    return name


def action_space(name: str) -> Bounds | Choices:
    """Returns lowest and highest actions of an environment ([A] or, of all, [1]), or its choices.

    Those of most domains of the suite are -1 and 1: no simulator is needed to know them.

    Raises:
        InputError: if there is no such environment, its simulator is not installed, or its actions
            have no bounds.
    """
    first = name.split("+")[0]  # of several tasks, all are of one body
    if body_of(first).unit_actions:
        return Bounds(np.array([-1.0]), np.array([1.0]))
    made: Any = make(first)
    return made.action_space


def spec_of(env: VectorEnv) -> Spec:
    """Returns what an algorithm needs to know of an environment."""
    space = env.action_space
    num_choices = space.num if isinstance(space, Choices) else 0
    action = Space((env.action_dim,), num_choices)
    return Spec(Space((env.observation_dim,)), action, env.max_episode_steps)


def measures_of(env: VectorEnv) -> dict[str, np.ndarray]:
    """Returns by what the last episodes are judged beside their returns, [N] each, as `success`.

    Of most environments that is nothing. Flags are bool, counts are numbers.
    """
    of_env: Any = getattr(env, "measures", dict)
    return of_env()


def check_widths(
    env: VectorEnv, name: str, observation_dim: int, action_dim: int, whose: str
) -> None:
    """Checks that an environment has the observation and action widths of `whose` data or run.

    Raises:
        InputError: if it has others.
    """
    if (env.observation_dim, env.action_dim) != (observation_dim, action_dim):
        raise InputError(
            f"{whose} has observations of {observation_dim} and actions of {action_dim} numbers, "
            f"environment {name} has {env.observation_dim} and {env.action_dim}"
        )
