"""The vocabulary of rlp: what flows between data, algorithms and environments.

Axis letters in shape comments, everywhere in the code:

    M members    E ensemble    B batch          K context
    N samples, environments or rows             O observation    A action

Shapes below are those of one example; batch axes come in front.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

import jax
import numpy as np

Params = Any  # a tree of arrays: what a network learns
Batch = Any  # what an algorithm's `sample` returns and its `update` takes
State = Any  # a NamedTuple of arrays: all that an algorithm carries from update to update
Memory = Any  # what a policy carries from step to step: () for Markov policies
Precision = Literal["float32", "tf32", "bf16"]  # of matrix products, whose sums are float32
Kind = Literal["continuous", "discrete"]  # of actions
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


class Trajectory(NamedTuple):
    """Up to K transitions of one episode that follow each other, padded on the right."""

    observation: jax.Array  # [K, O], normalised
    action: jax.Array  # [K, A] in [-1, 1]
    reward: jax.Array  # [K]
    value: jax.Array  # [K], the discounted sum of the rewards after the step's own
    is_step: jax.Array  # [K] bool, False behind the end of the episode
    mask: jax.Array  # [K] bool, False where it is not known what follows: behind a time limit


class Space(NamedTuple):
    """What observations or actions are: numbers, or one of several choices.

    Inside rlp the numbers of an action are in [-1, 1], and a choice is a one-hot of that shape.
    """

    shape: tuple[int, ...]
    num_choices: int = 0  # 0: numbers

    @property
    def kind(self) -> Kind:
        """Whether these are numbers or choices."""
        return "discrete" if self.num_choices else "continuous"


class Spec(NamedTuple):
    """What an algorithm needs to know of its problem to build its networks."""

    observation: Space
    action: Space
    max_episode_steps: int

    @property
    def observation_dim(self) -> int:
        """O, the numbers of an observation."""
        return math.prod(self.observation.shape)

    @property
    def action_dim(self) -> int:
        """A, the numbers of an action, or the choices that there are."""
        return math.prod(self.action.shape)


def vectors(observation_dim: int, action_dim: int, max_episode_steps: int) -> Spec:
    """Returns the spec of observations and actions that are vectors of numbers."""
    return Spec(Space((observation_dim,)), Space((action_dim,)), max_episode_steps)


class Statistics(NamedTuple):
    """What is known of the data: of its rewards, scalars."""

    mean_abs_reward: jax.Array | np.float32
    max_abs_reward: jax.Array | np.float32  # bounds every |Q|
    lowest_reward: jax.Array | np.float32  # bounds Q from below
    highest_reward: jax.Array | np.float32  # and from above
    return_range: (
        jax.Array | np.float32
    )  # best less worst of the whole episodes' returns; 0: not known
    data: Any = (
        None  # the replay arrays (`rlp.data.dataset.Dataset`), for whatever else `init` asks
    )


UNKNOWN = Statistics(*np.zeros(5, np.float32))  # where only shapes matter


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("offline", "replay", "model", "policy_action"),
    meta_fields=("offline_share",),
)
@dataclass(frozen=True)
class Sources:
    """Where a batch may come from: replay arrays (`rlp.data.dataset.Dataset`), or None."""

    offline: Any = None  # logged data, the same for all members
    replay: Any = None  # what a member has collected
    model: Any = None  # what a learned model has made up
    policy_action: Any = None  # [N, A], what a given policy does in the rows of the logged data
    offline_share: float = 0.5  # of a batch, where there is a replay, too


class Preparation(NamedTuple):
    """What an algorithm does now and then before an update, too large to be a part of it."""

    prepare: Callable[..., State]  # (config, state, key, sources) -> state
    every: Callable[[Any], int]  # of a config: updates from one to the next, first before the first


class Phase(NamedTuple):
    """A part of an algorithm's training, with an update of its own."""

    name: str
    sample: Callable[..., Batch]
    update: Callable[..., tuple[State, Metrics]]
    num_updates: Callable[[Any], int] | None = None  # of a config; None: all that are left
    preparation: Preparation | None = None


class Acting(NamedTuple):
    """How the policy of an algorithm acts."""

    init_memory: Callable[..., Memory]  # (config, spec, target return) -> memory
    act: Callable[..., tuple[jax.Array, Memory]]  # `Algo.policy` says of what
    aims: bool = False  # at a return that it is given
    samples: bool = True  # a temperature of 1 draws actions that explore
    options: tuple[str, ...] = ()  # fields of the config that an evaluation may change


def markov(act: Callable[..., jax.Array], samples: bool = True) -> Acting:
    """Returns how a policy acts that remembers nothing.

    Args:
        act: from config, parameters, an observation [O], a key and a temperature to an action [A].
        samples: whether a temperature of 1 draws actions that explore.
    """

    def without_memory(
        config: Any,
        params: Params,
        memory: Memory,
        observation: jax.Array,
        reward: jax.Array,
        key: jax.Array,
        temperature: jax.Array,
    ) -> tuple[jax.Array, Memory]:
        del reward
        return act(config, params, observation, key, temperature), memory

    return Acting(_no_memory, without_memory, samples=samples)


def _no_memory(config: Any, spec: Spec, target: jax.Array) -> Memory:
    del config, spec, target
    return ()


def state_actor(config: Any, state: State) -> Params:
    """Returns the state's field `actor`: the `actor` of most algorithms."""
    del config
    return state.actor


def no_limits(config: Any, spec: Spec, statistics: Statistics) -> Limits:
    """Returns nothing: the `limits` of an algorithm that does not bootstrap."""
    del config, spec, statistics
    return {}


class Trainable(Protocol):
    """What the compiled program needs of an algorithm: pure functions, written for one member.

    They know nothing of seeds, devices, files, loggers or environments, and are batched over the
    population with `vmap`.
    """

    Config: type
    """Hyperparameters, made by `rlp.config.config`; has `batch_size` and `num_updates`."""

    @staticmethod
    def init(config: Any, key: jax.Array, spec: Spec, statistics: Statistics) -> State:
        """Returns the state before the first update."""
        ...

    @staticmethod
    def sample(config: Any, key: jax.Array, state: State, sources: Sources) -> Batch:
        """Returns a batch of `config.batch_size` examples."""
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
    def limits(config: Any, spec: Spec, statistics: Statistics) -> Limits:
        """Returns the lowest and highest value of metrics; the first step beyond is reported."""
        ...


class Algo(Trainable, Protocol):
    """The contract of an algorithm: a module of pure functions, whose states have a policy.

    A module may have more names: `PRESETS`, settings by name (see `rlp.algos.presets`); `PHASES`,
    where training has several parts; `returns_discount`, where it learns from discounted returns
    (see below); `q_of(config, state, statistics, observation [B, O], action [B, A])`, where it has
    critics, which returns their values [E, B] in the units of the rewards that it learns;
    `NEEDS_EPISODES`, True where logged data must be there from the start, in whole episodes;
    `for_data(config, data_set)`, which returns the config with what the data settles, or raises
    InputError where it cannot learn from it; and `model_of(config, state)`, which returns the
    dynamics (`rlp.algos.dynamics.State`) of one that learns them.
    """

    SUPPORTS: frozenset[str]
    """The kinds of actions that it learns: continuous, discrete."""

    NEEDS_REWARDS: bool
    """Whether it learns from rewards; what clones does not."""

    policy: Acting
    """How it acts.

    Its `init_memory(config, spec, target)` is called at the start of an episode, with the return to
    aim for, and `act(config, params, memory, observation, reward, key, temperature)` for one
    observation [O]; temperature 0 is the mode. `markov` makes one of a policy without memory.
    """

    @staticmethod
    def actor(config: Any, state: State) -> Params:
        """Returns the part of the state that acts: all that leaves training."""
        ...


def phases(algo: Trainable) -> tuple[Phase, ...]:
    """Returns the parts of an algorithm's training, in their order: of most there is one."""
    return getattr(algo, "PHASES", (Phase("policy", algo.sample, algo.update),))


def returns_discount(algo: Algo, config: Any) -> float | None:
    """Returns the discount of the least values that an algorithm samples; None: it samples none."""
    of = getattr(algo, "returns_discount", None)
    return of(config) if of else None


def critics(algo: Algo) -> Callable[..., jax.Array] | None:
    """Returns an algorithm's `q_of`: None of one that has no critics."""
    return getattr(algo, "q_of", None)


def model_of(algo: Algo) -> Callable[..., Any] | None:
    """Returns an algorithm's `model_of`: None of one that learns no dynamics."""
    return getattr(algo, "model_of", None)


def needs_episodes(algo: Algo) -> bool:
    """Returns whether an algorithm learns from whole logged episodes, also where it acts online."""
    return getattr(algo, "NEEDS_EPISODES", False)


class Place(NamedTuple):
    """Where in the phases of training an update is."""

    number: int  # of the phase
    end: int | None  # of the phase: the first update behind it; None: it ends with the training
    is_prepared_for: bool  # whether the phase's preparation is due before the update
    next_preparation: int | None  # the next update before which it is, if there is one


def for_data(algo: Algo, config: Any, data_set: Any) -> Any:
    """Returns a config with what the data settles, of an algorithm that asks it something."""
    settle = getattr(algo, "for_data", None)
    return settle(config, data_set) if settle else config


def phase_at(algo: Trainable, config: Any, step: int) -> Place:
    """Returns where in the phases of training an update is."""
    start = 0
    for number, phase in enumerate(phases(algo)):
        end = start + phase.num_updates(config) if phase.num_updates else None
        if end is None or step < end:
            if phase.preparation is None:
                return Place(number, end, False, None)
            every, done = phase.preparation.every(config), step - start
            return Place(number, end, done % every == 0, step - done % every + every)
        start = end
    raise ValueError(f"no phase at update {step}: the last one must be of all that are left")
