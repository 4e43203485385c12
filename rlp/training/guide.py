"""A guide: another policy that acts instead of the learners, always at first, then less and less.

So the learners see good steps before they can take any themselves. In every step of every
environment the guide acts with a probability, the rate, which falls from 1 to 0. This is
planner-greedy exploration (hanshuo-shuo/plan_ep) or, if the guide is a run, the random switching of
jump-start RL (2204.02372, appendix A.6). The guide takes no part in evaluations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlp import envs, runs
from rlp.envs import Bounds, VectorEnv
from rlp.envs.jax_env import JaxEnv, JaxVector
from rlp.errors import InputError
from rlp.evaluation import players, policy
from rlp.evaluation.policy import Actor, Policy
from rlp.evaluation.rollout import by_member
from rlp.runs import Run
from rlp.training import restore
from rlp.training.plan import Plan
from rlp.types import Memory, Spec

ACTING, TURNS = 0x677569, 0x747572  # folded into keys for streams other than the learners'
LEAST = 0.01  # rate at the end of an exponential fall, before it becomes 0
NUM_FALLS = 10  # steps in which a rate falls with performance

Evaluations = Sequence[dict[str, Any]]  # from `Run.evaluations`


@dataclass(frozen=True)
class Guidance:
    """The guide."""

    guide: str = ""  # who acts at first: a run, or planner or goal in BotEvade; empty: nobody
    guide_fall: Literal["linear", "exponential", "performance"] = "linear"  # of its rate, from 1
    guide_steps: int = 0  # steps of each member until the rate is 0; 0: all steps
    guide_only: bool = False  # learn only from the guide's steps, and the first random ones


NO_GUIDE = Guidance()


class Playing(NamedTuple):
    """One policy that acts."""

    actor: Actor
    policy: Policy
    target: float  # return to aim for


def playing(name: str, spec: Spec, env: JaxEnv | None, where: str) -> Playing:
    """Returns the best member of a run, or a player without learning.

    Args:
        name: a run's directory, or a player of `rlp.evaluation.players`.
        spec: of the environment.
        env: the environment, if it is in JAX.
        where: its name.

    Raises:
        InputError: if there is no such run or player, or it does not fit the environment.
    """
    if Path(name).is_dir():
        run = runs.load(Path(name))
        if (run.spec.observation, run.spec.action) != (spec.observation, spec.action):
            raise InputError(f"{name} was trained for other observations or actions than {where}")
        best, _ = restore.load_policy(run)
        return Playing(run.algo, best.members([run.best]), max(run.target_returns))
    if name not in players.PLAYERS and ("/" in name or "." in name):
        raise InputError(f"there is no run {name}")
    if env is None:
        raise InputError(f"{where}: a simulator, where only a run can act, not {name}")
    return Playing(*players.read(name, env, where), target=0.0)


def find(name: str, env: VectorEnv, where: str) -> Playing:
    """Returns the guide for the learners' environments.

    Raises:
        InputError: if it does not exist, or its action bounds differ from the learners'.
    """
    if Path(name).is_dir():
        units, space = runs.load(Path(name)).units, env.action_space
        if isinstance(space, Bounds) and not (units and np.array_equal(units, space)):
            raise InputError(f"{name}: its actions have other bounds than the learners' in {where}")
    return playing(name, envs.spec_of(env), env.env if isinstance(env, JaxVector) else None, where)


def check(guidance: Guidance, plan: Plan, env: VectorEnv, where: str) -> None:
    """Checks that the guide exists and fits the environment, and that its rate can fall.

    Raises:
        InputError: if not.
    """
    if not guidance.guide:
        raise InputError("--guide_fall, --guide_steps, --guide_only: of whom? Give --guide=NAME")
    idle, end = plan.num_idle_rounds * plan.num_envs, _last_step(guidance, plan)
    if not idle < end <= plan.num_steps:
        raise InputError(
            f"--guide_steps={guidance.guide_steps}: must be above the {idle:,} steps before the "
            f"first update, and at most --num_steps={plan.num_steps}"
        )
    if guidance.guide_only and plan.capacity:
        raise InputError("--guide_only: the guide's steps are kept to the end; leave --capacity")
    find(guidance.guide, env, where)


def _last_step(guidance: Guidance, plan: Plan) -> int:
    """Returns the step from which on the guide does not act."""
    return guidance.guide_steps or plan.num_steps


def step_of(guidance: Guidance) -> int:
    """Returns the step of the guide's checkpoint; 0 if the guide is not a run.

    Raises:
        InputError: if the run has no checkpoint.
    """
    directory = Path(guidance.guide)
    return restore.load(runs.load(directory))[1] if directory.is_dir() else 0


class Guide:
    """The guide of all members in all their environments."""

    def __init__(
        self, guidance: Guidance, plan: Plan, env: VectorEnv, run: Run, keys: jax.Array
    ) -> None:
        """Prepares the guide for the first episodes of all environments.

        Args:
            guidance: the guide's settings.
            plan: of the learning.
            env: the environments of all members.
            run: of the learners.
            keys: of the members [M].
        """
        self._plan, self._guidance, self._spec = plan, guidance, run.spec
        self.actor, one, target = find(guidance.guide, env, run.record["env"])
        self.policy = one.members([0] * len(keys))
        self.targets = jnp.full(plan.num_envs, target)
        self.keys, self.turn_keys = (
            jax.vmap(partial(jax.random.fold_in, data=stream))(keys) for stream in (ACTING, TURNS)
        )
        self.memory = policy.start(self.actor, self._spec, self.policy, self.targets)
        self.acted = np.zeros((len(keys), plan.num_envs), bool)  # where it acted in the last round
        self.evaluations: Evaluations = ()  # of all members so far

    @property
    def end(self) -> int:
        """The first round in which it no longer acts."""
        return -(-_last_step(self._guidance, self._plan) // self._plan.num_envs)

    def rates(self, number: int) -> np.ndarray:
        """Returns the probability that it acts in round `number`, for each member [M] float32."""
        plan, num_members = self._plan, len(self.keys)
        if number < plan.num_random_rounds:
            return np.zeros(num_members, np.float32)
        first, step = plan.num_idle_rounds * plan.num_envs, number * plan.num_envs
        last = _last_step(self._guidance, plan)
        share = max(step - first, 0) / (last - first)
        if share >= 1:
            return np.zeros(num_members, np.float32)
        if self._guidance.guide_fall == "performance":
            falls = [num_falls(each) for each in _returns(self.evaluations, num_members)]
            return np.maximum(1 - np.array(falls, np.float32) / NUM_FALLS, 0)
        rate = 1 - share if self._guidance.guide_fall == "linear" else LEAST**share
        return np.full(num_members, rate, np.float32)

    def act(
        self, action: np.ndarray, observation: np.ndarray, reward: np.ndarray, number: int
    ) -> np.ndarray:
        """Returns the actions [M * num_envs, A] of round `number`: its own, or the learners'."""
        rates = self.rates(number)
        if number >= self._plan.num_random_rounds and not rates.any():  # it will not act again
            self.acted[:] = False
            return action
        size = len(self.keys)
        taken, self.memory, acted = guided(
            self.actor, self.policy, self.memory, by_member(action, size),
            by_member(observation - np.asarray(self.policy.origin), size),
            by_member(reward, size), self.keys, self.turn_keys, number, rates,
        )  # fmt: skip
        self.acted = np.array(acted)
        return np.asarray(taken).reshape(action.shape)

    def restart(self, begins: jax.Array) -> None:
        """Starts new episodes in some environments [M, num_envs] bool."""
        self.memory = policy.restart(
            self.actor, self._spec, self.policy, self.targets, self.memory, begins
        )

    @property
    def saved(self) -> tuple[Any, ...]:
        """The state for resuming; empty trees are not saved."""
        return (self.acted, self.memory) if jax.tree.leaves(self.memory) else (self.acted,)

    def restore(self, saved: tuple[Any, ...]) -> None:
        """Resumes from a saved state."""
        self.acted = np.asarray(saved[0])
        self.memory = saved[1] if len(saved) > 1 else self.memory


@partial(jax.jit, static_argnames="actor")
def guided(
    actor: Actor,
    guide: Policy,
    memory: Memory,
    action: jax.Array,
    observation: jax.Array,
    reward: jax.Array,
    keys: jax.Array,
    turn_keys: jax.Array,
    number: jax.Array | int,
    rates: jax.Array,
) -> tuple[jax.Array, Memory, jax.Array]:
    """Returns the actions of round `number` [M, num_envs, A], the learners' or the guide's.

    Also returns the guide's memories, and in which environments it acts [M, num_envs] bool.
    """
    own, memory = policy.act(actor, guide, memory, observation, reward, keys, number)

    def draw(key: jax.Array, rate: jax.Array) -> jax.Array:
        return jax.random.uniform(jax.random.fold_in(key, number), reward.shape[1:]) < rate

    acts = jax.vmap(draw)(turn_keys, rates)
    return jnp.where(acts[..., None], own, action), memory, acts


def num_falls(returns: Sequence[float]) -> int:
    """Returns how many evaluations after the first were at least as good as all before them."""
    best = np.maximum.accumulate(returns)
    return int(np.sum(np.asarray(returns)[1:] >= best[:-1]))


def _returns(evaluations: Evaluations, num_members: int) -> list[list[float]]:
    """Returns the mean returns of each member's evaluations, in order."""
    means = [float(np.mean(np.array(each["returns"], float))) for each in evaluations]
    return [means[number::num_members] for number in range(num_members)]
