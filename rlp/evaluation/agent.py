"""A policy for your own loop: numpy in and out, in the units of the environment."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlp.envs import Bounds
from rlp.errors import InputError
from rlp.evaluation import policy as policies
from rlp.evaluation.policy import Policy
from rlp.types import Algo, Memory, Spec


class Agent:
    """Policies of one or several members of a run, which act on observations.

    Call it with an observation. Call `reset` before each episode: a policy with memory, such as a
    Decision Transformer, would otherwise continue the last one.
    """

    def __init__(
        self,
        algo: Algo,
        spec: Spec,
        policy: Policy,
        members: Sequence[int],
        target_return: float = 0.0,
        bounds: Bounds | None = None,
    ) -> None:
        """Selects some members of a policy.

        Args:
            algo: the algorithm that acts.
            spec: the sizes it was built with.
            policy: the policies of all members.
            members: the numbers of the members that act.
            target_return: to aim for, if the algorithm does so.
            bounds: the environment's actions that -1 and 1 stand for; None: -1 and 1 themselves.
        """
        self._algo, self._spec, self._bounds = algo, spec, bounds
        self._policy = jax.device_put(policy.members(members))
        self._origin = np.asarray(policy.origin, np.float64)
        self._keys = jax.random.split(jax.random.key(0), len(members))
        self.target_return = target_return
        self._memory: Memory = None
        self._size, self._step = 0, 0

    def reset(self) -> None:
        """Starts an episode, or one for each observation of the next call."""
        self._memory, self._size, self._step = None, 0, 0

    def __call__(
        self, observation: np.ndarray, reward: np.ndarray | float = 0.0, temperature: float = 0.0
    ) -> np.ndarray:
        """Returns the action for an observation, or one for each of several.

        Args:
            observation: [O], or [N, O] of N parallel episodes.
            reward: [] or [N], for the last action; needed if the policy has memory.
            temperature: of sampling, if the policy is a distribution; 0: its mode.

        Returns:
            [A] or [N, A], in the environment's units; for discrete actions their numbers, [] or
            [N]. Several members add a leading axis.

        Raises:
            InputError: if the observation has another shape or is not finite, or N changes within
                an episode of a policy with memory.
        """
        rows, reward = _numbers("observation", observation), _numbers("reward", reward)
        temperature = float(_numbers("temperature", temperature))
        if temperature < 0:
            raise InputError(f"temperature={temperature:g}: must be at least 0")
        width = self._spec.observation_dim
        if rows.ndim not in (1, 2) or rows.shape[-1] != width or not rows.size:
            raise InputError(
                f"observation of shape {rows.shape}: must be ({width},) or (N, {width})"
            )
        many = np.atleast_2d(rows)
        if reward.ndim > 1 or reward.size not in (1, len(many)):
            raise InputError(f"reward of shape {reward.shape}: must be one number or {len(many)}")
        action = self._act(many, np.broadcast_to(reward, len(many)), temperature)
        action = in_units(action, self._spec, self._bounds)
        action = action if rows.ndim == 2 else action[:, 0]
        return action if len(self._keys) > 1 else action[0]

    def _act(self, rows: np.ndarray, reward: np.ndarray, temperature: float) -> np.ndarray:
        """Returns actions [M, N, A] of the policy, and updates its memory."""
        num_members = len(self._keys)
        remembers = jax.tree.leaves(self._memory)
        if remembers and self._step and len(rows) != self._size:
            raise InputError(
                f"{len(rows)} observations in an episode that began with {self._size}: "
                "call reset() before the next one"
            )
        if self._memory is None or len(rows) != self._size:
            targets = jnp.full(len(rows), self.target_return, jnp.float32)
            self._memory = policies.start(self._algo, self._spec, self._policy, targets)
            self._size = len(rows)
        each = ((rows - self._origin).astype(np.float32), reward.astype(np.float32))
        observation, reward = (np.broadcast_to(x, (num_members, *x.shape)) for x in each)
        action, self._memory = policies.act(
            self._algo, self._policy, self._memory, observation, reward, self._keys,
            self._step, temperature,
        )  # fmt: skip
        self._step += 1
        return np.asarray(action)


def in_units(action: Any, spec: Spec, bounds: Bounds | None) -> Any:
    """Returns a policy's actions [..., A] in the environment's units, or discrete numbers [...].

    Args:
        action: of the policy, an array of numpy or jax.
        spec: the sizes it was built with.
        bounds: the environment's actions that -1 and 1 stand for; None: -1 and 1 themselves.
    """
    if spec.action.kind == "discrete":
        return action.argmax(axis=-1)
    if bounds is None:
        return action
    low, high = (bound.astype(np.float32) for bound in bounds)
    return low + (action + 1) / 2 * (high - low)


def _numbers(name: str, value: Any) -> np.ndarray:
    """Returns numbers in float64.

    Raises:
        InputError: if they are not numbers, or not finite.
    """
    try:
        numbers = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name}: must be numbers, not {value!r:.60}") from None
    if not np.isfinite(numbers).all():
        raise InputError(f"{name}: NaN or infinite")
    return numbers
