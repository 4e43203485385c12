"""A member's policy as pure functions of arrays in the environment's units.

    act(observation [B, O])                      -> [action]
    act(observation, reward [B], *memory)        -> [action, *memory]    if the policy has memory
    start(target_return [B])                     -> memory

Temperature is 0: actions are the mode. The functions include everything between the environment and
the networks: the normaliser, the one-hot task, the clip, and the units of the actions.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from rlp.data.dataset import normalize
from rlp.envs import Bounds
from rlp.evaluation.agent import in_units
from rlp.evaluation.policy import Policy
from rlp.types import Algo, Spec

BATCH = "b"  # symbol for any batch size


class Port(NamedTuple):
    """An input or output array; its first axis is the batch."""

    name: str
    shape: tuple[int, ...]  # of one example
    dtype: np.dtype


class Function(NamedTuple):
    """A function of arrays with its weights as the first argument."""

    call: Callable[..., tuple[jax.Array, ...]]
    weights: Any  # a tree of arrays
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def shapes(self) -> list[jax.ShapeDtypeStruct]:
        """Returns the shapes of the inputs, with a batch of any size."""
        (batch,) = jax.export.symbolic_shape(BATCH)
        return [jax.ShapeDtypeStruct((batch, *port.shape), port.dtype) for port in self.inputs]


class Member(NamedTuple):
    """The parts of a member's policy."""

    algo: Algo
    spec: Spec
    policy: Policy  # leaves without an axis of members
    bounds: Bounds | None = None  # environment's actions for -1 and 1; None: -1 and 1 themselves
    task: tuple[float, ...] = ()  # one-hot appended to every observation; (): the caller appends it

    @property
    def origin(self) -> np.ndarray:
        """The value subtracted from the caller's observations before they become float32, [O]."""
        return self._origin[: self.observation_dim]

    @property
    def observation_dim(self) -> int:
        """The size of the caller's observations."""
        return self.spec.observation_dim - len(self.task)

    @property
    def _origin(self) -> np.ndarray:
        every = np.asarray(self.policy.origin, np.float64)
        return np.broadcast_to(every, self.spec.observation_dim)

    @property
    def behind(self) -> np.ndarray:
        """The one-hot task appended to the caller's observation, minus its origin."""
        return (np.array(self.task) - self._origin[self.observation_dim :]).astype(np.float32)


def act(member: Member, is_centered: bool = False) -> Function:
    """Returns the function with which a member acts.

    Args:
        member: the member.
        is_centered: whether the caller has subtracted the origin from observations, in float64.
    """
    memory, tree = jax.tree.flatten(_memory(member))

    def one(policy: Policy, observation: jax.Array, *rest: jax.Array) -> tuple[jax.Array, ...]:
        reward, *leaves = rest or (jnp.float32(0),)
        if member.origin.any() and not is_centered:
            observation -= member.origin.astype(np.float32)
        if member.task:
            observation = jnp.concatenate([observation, member.behind])
        observation = normalize(policy.normalizer, observation)
        action, after = member.algo.policy.act(
            policy.config, policy.params, tree.unflatten(leaves), observation, reward,
            jax.random.key(0), jnp.float32(0),
        )  # fmt: skip
        return in_units(action, member.spec, member.bounds), *jax.tree.leaves(after)

    inputs = [Port("observation", (member.observation_dim,), np.dtype(np.float32))]
    if memory:
        inputs += [Port("reward", (), np.dtype(np.float32)), *_ports(member, "memory")]
    return _batched(one, member.policy, inputs, ["action", *_names(member, "next_memory")])


def start(member: Member) -> Function | None:
    """Returns the function that starts a member's memory; None if it has no memory."""
    if not jax.tree.leaves(_memory(member)):
        return None

    def one(policy: Policy, target_return: jax.Array) -> tuple[jax.Array, ...]:
        memory = member.algo.policy.init_memory(policy.config, member.spec, target_return)
        return tuple(jax.tree.leaves(memory))

    inputs = [Port("target_return", (), np.dtype(np.float32))]
    return _batched(one, member.policy, inputs, _names(member, "memory"))


def _batched(
    one: Callable[..., tuple[jax.Array, ...]], policy: Policy, inputs: list[Port], names: list[str]
) -> Function:
    """Returns a function of a batch from a function of one example; `names` are its outputs'."""
    shapes = [jax.ShapeDtypeStruct(port.shape, port.dtype) for port in inputs]
    found = jax.eval_shape(one, policy, *shapes)
    outputs = [Port(n, each.shape, each.dtype) for n, each in zip(names, found, strict=True)]

    def call(policy: Policy, *arrays: jax.Array) -> tuple[jax.Array, ...]:
        return jax.vmap(lambda *each: one(policy, *each))(*arrays)

    return Function(call, policy, tuple(inputs), tuple(outputs))


def _memory(member: Member) -> Any:
    """Returns the shapes of a member's memory."""
    init, policy = member.algo.policy.init_memory, member.policy
    return jax.eval_shape(
        lambda target: init(policy.config, member.spec, target), jax.ShapeDtypeStruct((), "float32")
    )


def _names(member: Member, prefix: str) -> list[str]:
    paths = jax.tree_util.tree_leaves_with_path(_memory(member))
    return [f"{prefix}.{jax.tree_util.keystr(p, simple=True, separator='.')}" for p, _ in paths]


def _ports(member: Member, prefix: str) -> list[Port]:
    leaves = zip(_names(member, prefix), jax.tree.leaves(_memory(member)), strict=True)
    return [Port(name, leaf.shape, leaf.dtype) for name, leaf in leaves]
