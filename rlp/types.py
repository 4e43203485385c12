"""The vocabulary of rlp: what flows between data, algorithms and environments.

Axis letters in shape comments, everywhere in the code:

    M members    E ensemble    B batch          K context
    N samples, environments or rows             O observation    A action

Shapes below are those of one example; batch axes come in front.
"""

from typing import Any, Literal, NamedTuple, Protocol

import jax

Params = Any  # a tree of arrays: what a network learns
Batch = Any  # what an algorithm's `sample` returns and its `update` takes
State = Any  # a NamedTuple of arrays: all that an algorithm carries from update to update
Memory = Any  # what a policy carries from step to step: () for Markov policies
Precision = Literal["float32", "tf32", "bf16"]  # of matrix products, whose sums are float32
NEVER = 2**31 - 1  # the step of an alarm that was not raised
NOT_FINITE = "NaN or infinite"  # the alarm that ends a member; the others are warnings
Metrics = dict[str, jax.Array]  # scalars; those of several updates or parts are one by `reduction`
Limits = dict[str, tuple[jax.Array, jax.Array]]  # of a metric, the lowest and highest it may be


def reduction(name: str) -> Literal["max", "min", "mean"]:
    """Returns what makes one value of several of a metric: `max_*` their maximum, most the mean."""
    if name.startswith("max_"):
        return "max"
    return "min" if name.startswith("min_") else "mean"


class Step(NamedTuple):
    """A state and the action taken in it; the successor need not be known."""

    observation: jax.Array  # [O], normalised
    action: jax.Array  # [A] in [-1, 1]


class Transition(NamedTuple):
    """A step whose successor is known."""

    observation: jax.Array  # [O], normalised
    action: jax.Array  # [A] in [-1, 1]
    reward: jax.Array  # []
    discount: jax.Array  # [], 0 where the MDP terminated, 1 otherwise: a time limit bootstraps
    next_observation: jax.Array  # [O], normalised


class Sarsa(NamedTuple):
    """A transition and the action that followed it."""

    transition: Transition
    next_action: jax.Array  # [A] in [-1, 1], zeros where none followed
    has_next_action: jax.Array  # [], False at the end of an episode


class Segment(NamedTuple):
    """Up to K steps of one episode that follow each other, padded on the left."""

    observation: jax.Array  # [K, O], normalised
    action: jax.Array  # [K, A] in [-1, 1]
    return_to_go: jax.Array  # [K], what is still to come, the step's own reward included
    timestep: jax.Array  # [K] int32, 0 in the first step of the episode
    mask: jax.Array  # [K] bool, False where it is padding


class Spec(NamedTuple):
    """The sizes an algorithm needs to build its networks."""

    observation_dim: int
    action_dim: int
    max_episode_steps: int


def state_actor(config: Any, state: State) -> Params:
    """Returns the state's field `actor`: the `actor` of most algorithms."""
    del config
    return state.actor


def no_limits(config: Any, dataset: Any) -> Limits:
    """Returns nothing: the `limits` of an algorithm that does not bootstrap."""
    del config, dataset
    return {}


def no_memory(config: Any, spec: Spec, target: jax.Array) -> Memory:
    """Returns nothing: the `init_memory` of a Markov policy."""
    del config, spec, target
    return ()


class Algo(Protocol):
    """The contract of an algorithm: a module of pure functions.

    It knows nothing of seeds, devices, files, loggers or environments. The functions are written
    for one member and batched over the population with `vmap`.
    """

    Config: type
    """Hyperparameters, made by `rlp.config.config`; has `batch_size` and `num_updates`."""

    NEEDS_REWARDS: bool
    """Whether it learns from rewards; what clones does not."""

    @staticmethod
    def sample(config: Any, key: jax.Array, dataset: Any) -> Batch:
        """Returns a batch of `config.batch_size` examples."""
        ...

    @staticmethod
    def init(config: Any, key: jax.Array, spec: Spec) -> State:
        """Returns the state before the first update."""
        ...

    @staticmethod
    def update(
        config: Any, state: State, step: jax.Array, key: jax.Array, batch: Batch
    ) -> tuple[State, Metrics]:
        """Returns the state after one gradient update of everything.

        `step` is not batched over members, so `cond` on it stays a branch under `vmap`.
        """
        ...

    @staticmethod
    def limits(config: Any, dataset: Any) -> Limits:
        """Returns the lowest and highest value of metrics; the first step beyond is reported."""
        ...

    @staticmethod
    def actor(config: Any, state: State) -> Params:
        """Returns the part of the state that acts: all that leaves training."""
        ...

    @staticmethod
    def init_memory(config: Any, spec: Spec, target: jax.Array) -> Memory:
        """Returns the memory at the start of an episode; `target` is the return to aim for."""
        ...

    @staticmethod
    def act(
        config: Any,
        params: Params,
        memory: Memory,
        observation: jax.Array,
        reward: jax.Array,
        key: jax.Array,
        temperature: jax.Array,
    ) -> tuple[jax.Array, Memory]:
        """Returns an action [A] in [-1, 1] for one observation [O]; temperature 0 is the mode."""
        ...
