"""Vector environments by name. A simulator is imported when its first environment is made."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from rlp.envs.bodies import body_of
from rlp.errors import InputError
from rlp.types import Space, Spec

if TYPE_CHECKING:
    from rlp.envs.jax_env import JaxEnv

GYM = "gym:"  # prefix of gymnasium's environments
OGBENCH = "og:"  # prefix of OGBench's environments and data sets
CELLWORLD = "cellworld:"  # prefix of cellworld_gym's games
JAX = "jax:"  # prefix of rlp's own environments in JAX
GYMNAX = "gymnax:"  # prefix of gymnax's environments


class Bounds(NamedTuple):
    """The actions of an environment that are -1 and 1 in rlp, [A] float64 each."""

    low: np.ndarray
    high: np.ndarray


class Choices(NamedTuple):
    """Discrete actions of an environment: their count, and the number of the first."""

    num: int
    first: int = 0


class Outcome(NamedTuple):
    """The result of a step of N environments."""

    observation: np.ndarray  # [N, O] float64
    reward: np.ndarray  # [N] float64
    terminated: np.ndarray  # [N] bool: the MDP ended, nothing follows
    truncated: np.ndarray  # [N] bool: a time limit cut the episode, bootstrap
    invalid: np.ndarray | bool = False  # [N]: terminated because the simulation became invalid


class VectorEnv(Protocol):
    """N environments stepped together; one that has ended does not reset itself."""

    num_envs: int
    observation_dim: int
    action_dim: int
    max_episode_steps: int

    @property
    def action_space(self) -> Bounds | Choices:
        """The action space."""
        ...

    def reset(
        self, seeds: Sequence[int] | None = None, which: Sequence[int] | None = None
    ) -> np.ndarray:
        """Starts new episodes in all environments, or only in those numbered `which`.

        Args:
            seeds: one for each of those environments; None: their random generators continue.
            which: distinct numbers of environments.

        Returns:
            The observations [N, O]; those of other environments are unchanged.
        """
        ...

    def physics(self) -> np.ndarray:
        """Returns the states of the simulators [N, P] float64."""
        ...

    def step(self, action: np.ndarray) -> Outcome:
        """Applies actions [N, A] in [-1, 1]. Results of ended environments have no meaning."""
        ...


@runtime_checkable
class Simulator(VectorEnv, Protocol):
    """A vector environment whose first simulator can be set to any state."""

    def step_from(self, physics: np.ndarray, action: np.ndarray) -> Outcome:
        """Returns the outcome [1, ...] of an action [A] in a state [P] of the simulator."""
        ...

    def observe(self, physics: np.ndarray) -> np.ndarray:
        """Returns the observation [O] of a state [P]."""
        ...

    def rebuild(self, observation: np.ndarray) -> np.ndarray | None:
        """Returns a state [P] with this observation [O], None if the observation is not enough."""
        ...


@runtime_checkable
class Visible(VectorEnv, Protocol):
    """A vector environment that can be rendered."""

    steps_per_second: float
    """Per second of simulated time."""

    def picture(self, number: int) -> np.ndarray:
        """Returns a picture of environment `number`, [height, width, 3] uint8."""
        ...

    def close(self) -> None:
        """Frees the resources for rendering; the environment cannot be used afterwards."""
        ...


def make(
    name: str,
    num_envs: int = 1,
    bounds: Bounds | None = None,
    picture_size: tuple[int, int] | None = None,
) -> VectorEnv:
    """Returns `num_envs` environments with this name.

    `walker-walk` is from dm_control, `gym:Hopper-v4` from gymnasium,
    `og:cube-single-singletask-task1-v0` from OGBench, `cellworld:botevade` from cellworld_gym and
    `gymnax:CartPole-v1` from gymnax. `jax:botevade` is rlp's own in JAX. `walker-walk+walker-run`
    alternates between tasks and appends a one-hot task to the observation.

    Args:
        name: of the environment.
        num_envs: number of environments.
        bounds: the environment's actions that -1 and 1 stand for (None: its lowest and highest).
        picture_size: width and height of the pictures of a `Visible` (some environments have a
            fixed size); None: no pictures. Call `rlp.system.graphics.choose` first.

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
    """Returns an environment's name without its prefixes, for use in names of files."""
    for prefix in (GYM, OGBENCH, CELLWORLD, JAX, GYMNAX):
        name = name.replace(prefix, "")
    return name


def action_space(name: str) -> Bounds | Choices:
    """Returns the lowest and highest actions of an environment ([A] or shared [1]), or its choices.

    In most domains of dm_control's suite they are -1 and 1, so no simulator is needed.

    Raises:
        InputError: if there is no such environment, its simulator is not installed, or its actions
            have no bounds.
    """
    first = name.split("+")[0]  # several tasks share one body
    if body_of(first).unit_actions:
        return Bounds(np.array([-1.0]), np.array([1.0]))
    made: Any = make(first)
    return made.action_space


def spec_of(env: VectorEnv) -> Spec:
    """Returns the sizes that an algorithm needs to know about an environment."""
    space = env.action_space
    num_choices = space.num if isinstance(space, Choices) else 0
    action = Space((env.action_dim,), num_choices)
    return Spec(Space((env.observation_dim,)), action, env.max_episode_steps)


def measures_of(env: VectorEnv) -> dict[str, np.ndarray]:
    """Returns measures of the last episodes other than their returns, [N] each, such as `success`.

    Most environments have none. Flags are bool, counts are numbers.
    """
    of_env: Any = getattr(env, "measures", dict)
    return of_env()


def check_widths(
    env: VectorEnv, name: str, observation_dim: int, action_dim: int, whose: str
) -> None:
    """Checks that an environment has the observation and action widths of `whose` data or run.

    Raises:
        InputError: if they differ.
    """
    if (env.observation_dim, env.action_dim) != (observation_dim, action_dim):
        raise InputError(
            f"{whose} has observations of {observation_dim} and actions of {action_dim} numbers, "
            f"environment {name} has {env.observation_dim} and {env.action_dim}"
        )
