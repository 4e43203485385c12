"""The compiled program: a population of members through many updates.

    jit( vmap over members ( scan over updates ( sample -> update ) ) )

The data is shared by all members. No Python runs between updates. On a CPU, where several members
at once would leave the cache, those on the same device make all their updates one after the other.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from rlp.algos.values import tolerance
from rlp.config import stack
from rlp.data.dataset import statistics_of
from rlp.nn import optim
from rlp.system import memory, target
from rlp.system.devices import MEMBERS, Placement
from rlp.training.packing import pack, unpack
from rlp.types import (
    NEVER,
    NOT_FINITE,
    UNKNOWN,
    Limits,
    Metrics,
    Precision,
    Sources,
    Spec,
    State,
    Statistics,
    Trainable,
    phases,
    reduction,
)

PREPARING = 0x70726570  # folded into a step's key: another stream than its update's
JAX_PRECISIONS = {"float32": "float32", "tf32": "tensorfloat32", "bf16": "bfloat16"}
T = TypeVar("T")
Alarms = dict[str, jax.Array]  # what happened, and the first step [M] at which it did, or NEVER


class Population(NamedTuple):
    """M members, one axis [M] in front of every leaf."""

    configs: Any
    keys: jax.Array  # a member's randomness is fold_in(its key, step), whatever the others are
    states: State


def init(
    algo: Trainable,
    configs: Sequence[Any],
    seeds: Sequence[int],
    spec: Spec,
    statistics: Statistics,
) -> Population:
    """Returns the population before its first update; member i has configs[i] and seeds[i]."""
    on_cpu = target.platform() == "cpu"  # where LLVM would take seconds over milliseconds
    options = {"xla_backend_optimization_level": 1} if on_cpu else None
    new = jax.jit(_new(algo, spec), compiler_options=options)
    return new(stack(configs), jnp.asarray(seeds, jnp.uint32), statistics)


def shapes(algo: Trainable, configs: Sequence[Any], seeds: Sequence[int], spec: Spec) -> Population:
    """Returns the shapes of what `init` returns."""
    return jax.eval_shape(_new(algo, spec), stack(configs), jnp.asarray(seeds, jnp.uint32), UNKNOWN)


def _new(algo: Trainable, spec: Spec) -> Callable[[Any, jax.Array, Statistics], Population]:
    """Returns a function from settings and seeds [M] and statistics to new members."""

    def one_member(config: Any, seed: jax.Array, statistics: Statistics) -> Population:
        init_key, key = jax.random.split(jax.random.key(seed))
        return Population(config, key, algo.init(config, init_key, spec, statistics))

    return jax.vmap(one_member, (0, 0, None))


@partial(
    jax.jit,
    static_argnames=("algo", "spec", "num_updates", "phase", "placement", "precision"),
    donate_argnames="states",
)
def train(
    algo: Trainable,
    spec: Spec,
    num_updates: int,
    configs: Any,
    keys: jax.Array,
    states: State,
    sources: Sources,
    first_step: jax.Array,
    phase: int = -1,
    placement: Placement | None = None,
    precision: Precision = "float32",
) -> tuple[State, Metrics, Alarms]:
    """Returns the states after `num_updates` more updates, the metrics [M] over them, and alarms.

    `states` is donated. `first_step` is the number of updates done before, on the device, so that a
    later call traces nothing again. Logged data is shared by all members; of the other sources each
    has its own [M], of a replay and of a model's rollouts without a placement. All updates are of
    the algorithm's phase number `phase` (-1: the last). Members are computed where `placement` has
    them (None: all at once, on one device), with matrix products of `precision`. Metrics are
    averaged over the updates, those named `max_*` and `min_*` are extremes. An alarm is a metric
    or, at the end, a state that was not finite, or a metric far beyond the algorithm's limits.
    Members are independent, so one that is not finite never touches the others.
    """
    assert placement is None or sources.replay is sources.model is None
    together = len(keys) // (placement.num_groups if placement else 1)
    pack_state, pack_metrics = _packings(together)
    sample, update = phases(algo)[phase].sample, phases(algo)[phase].update

    def one_member(
        config: Any, key: jax.Array, state: State, sources: Sources
    ) -> tuple[State, Metrics, Alarms]:
        def key_data(step: jax.Array) -> jax.Array:
            return jax.random.key_data(jax.random.split(jax.random.fold_in(key, step)))

        def body(carried: Any, now: tuple[jax.Array, jax.Array]) -> tuple[Any, Any]:
            state, (step, numbers) = unpack(carried), now
            sample_key, update_key = jax.random.wrap_key_data(numbers)
            with jax.named_scope("sample"):  # these names are for whoever looks at a profile
                batch = sample(config, sample_key, state, sources)
            if placement and placement.batch:
                batch = _shared_out(batch, placement.batch)
            state, metrics = update(config, state, step, update_key, batch)
            return pack_state(state), pack_metrics(metrics)

        steps = first_step + jnp.arange(num_updates)
        numbers = jax.vmap(key_data)(steps)  # of all updates at once: on a CPU one costs 50 us
        carried, packed = jax.lax.scan(body, pack_state(state), (steps, numbers))
        state, metrics = unpack(carried), jax.vmap(unpack)(packed)
        limits = algo.limits(config, spec, statistics_of(sources))
        alarms = _alarms(metrics, limits, steps)
        last = jnp.where(is_finite(state), NEVER, steps[-1])
        alarms[NOT_FINITE] = jnp.minimum(alarms[NOT_FINITE], last)
        return state, _reduce(metrics), alarms

    sharing = optim.shared(placement.batch) if placement and placement.batch else nullcontext()
    with sharing, jax.default_matmul_precision(JAX_PRECISIONS[precision]):
        states, metrics, alarms = _for_each(one_member, placement)(configs, keys, states, sources)
    if placement:
        states = jax.lax.with_sharding_constraint(states, placement.members)
    return states, metrics, alarms


@partial(
    jax.jit,
    static_argnames=("algo", "phase", "placement", "precision"),
    donate_argnames="states",
)
def prepare(
    algo: Trainable,
    configs: Any,
    keys: jax.Array,
    states: State,
    sources: Sources,
    step: jax.Array,
    phase: int,
    placement: Placement | None = None,
    precision: Precision = "float32",
) -> State:
    """Returns the states as a phase prepares them before update `step`, where that is due.

    This is not a part of `train`, because under `vmap` every update would cost as much.
    """
    preparation = phases(algo)[phase].preparation
    assert preparation is not None

    def one_member(config: Any, key: jax.Array, state: State, sources: Sources) -> State:
        own = jax.random.fold_in(jax.random.fold_in(key, step), PREPARING)
        return preparation.prepare(config, state, own, sources)

    with jax.default_matmul_precision(JAX_PRECISIONS[precision]):
        states = _for_each(one_member, placement)(configs, keys, states, sources)
    return jax.lax.with_sharding_constraint(states, placement.members) if placement else states


def _packings(together: int) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Returns how updates hand on states and metrics where so many members share a device.

    On an accelerator every metric would be a launch of its own, on a GPU every small array of one
    member's state; those of several members lie apart from each other in a vector.
    """
    is_alone_on_gpu = target.platform() == "gpu" and together == 1
    return (
        pack if is_alone_on_gpu else _same,
        _same if target.platform() == "cpu" else pack,
    )


def _same(tree: T) -> T:
    return tree


def as_one(
    outcomes: Sequence[Any], sizes: Sequence[int] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns metrics and alarms [M] of several calls of `train`, as if they were of one.

    What only the updates of one phase have is of those.

    Args:
        outcomes: metrics and alarms of each call, fetched from the device.
        sizes: how many updates each made (None: all the same).
    """
    metrics, alarms = zip(*outcomes, strict=True)
    weights = sizes or [1] * len(metrics)

    def of_all(name: str) -> np.ndarray:
        values, counts = zip(
            *((each[name], n) for each, n in zip(metrics, weights, strict=True) if name in each),
            strict=True,
        )
        if reduction(name) == "mean":
            return np.average(values, axis=0, weights=counts)
        return getattr(np, reduction(name))(values, axis=0)

    names = dict.fromkeys(name for each in metrics for name in each)
    raised = dict.fromkeys(what for each in alarms for what in each)
    return (
        {name: of_all(name) for name in names},
        {what: np.min([each[what] for each in alarms if what in each], axis=0) for what in raised},
    )


def is_finite(state: State) -> jax.Array:
    """Returns whether all numbers of one member's state are finite, []."""
    leaves = jax.tree.leaves(state)
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))


def traced(
    algo: Trainable,
    spec: Spec,
    num_updates: int,
    members: Population,
    sources: Sources,
    placement: Placement,
    precision: Precision,
) -> jax.stages.Traced:
    """Returns the program that a call of `train` runs, to be compiled. Arrays may be shapes."""

    def shapes(tree: Any, sharding: NamedSharding) -> Any:
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree
        )

    configs, keys, states = shapes(members, placement.members)
    rest = shapes((sources, np.int32(0)), placement.everywhere)
    return train.trace(
        algo,
        spec,
        num_updates,
        configs,
        keys,
        states,
        *rest,
        placement=placement,
        precision=precision,
    )


def num_bytes(program: jax.stages.Compiled, members: Population, placement: Placement) -> int:
    """Returns the bytes that a compiled `train` takes of each device beside the data."""
    carried = memory.num_bytes(members.states) // placement.num_groups
    sizes = program.memory_analysis()
    if sizes is None:  # a device that does not say
        return carried
    return (
        carried + sizes.temp_size_in_bytes + sizes.output_size_in_bytes - sizes.alias_size_in_bytes
    )


def _for_each(one_member: Callable[..., Any], placement: Placement | None) -> Callable[..., Any]:
    """Returns a function of configs, keys, states [M] and sources that computes all members."""
    if placement and target.platform() == "cpu":
        return _in_turn(one_member, placement.num_groups)

    def at_once(configs: Any, keys: jax.Array, states: State, sources: Sources) -> Any:
        axes = (0, 0, 0, replace(sources, offline=None, replay=0, model=0, policy_action=0))
        population = jax.vmap(one_member, axes, spmd_axis_name=MEMBERS if placement else None)
        return population(configs, keys, states, sources)

    return at_once


def _in_turn(one_member: Callable[..., Any], num_groups: int) -> Callable[..., Any]:
    """Returns a function of members [M] that computes those of a group one after the other."""

    def in_groups(configs: Any, keys: jax.Array, states: State, sources: Sources) -> Any:
        def one(member: tuple[Any, jax.Array, State, Sources]) -> Any:
            config, numbers, state, own = member
            own = replace(own, offline=sources.offline)
            return one_member(config, jax.random.wrap_key_data(numbers), state, own)

        # Keys as numbers: of those mapped twice JAX's check says that they are used twice.
        members = configs, jax.random.key_data(keys), states, replace(sources, offline=None)
        groups = jax.tree.map(lambda x: x.reshape(num_groups, -1, *x.shape[1:]), members)
        outcome = jax.vmap(partial(jax.lax.map, one), spmd_axis_name=MEMBERS)(groups)
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), outcome)

    return in_groups


def _shared_out(batch: Any, sharding: NamedSharding) -> Any:
    """Returns a batch with its rows on the devices of a member; what has no rows stays whole."""
    return jax.tree.map(
        lambda leaf: jax.lax.with_sharding_constraint(leaf, sharding) if leaf.ndim else leaf, batch
    )


def _reduce(metrics: Metrics) -> Metrics:
    """Returns one scalar a metric from its values [num_updates]."""
    return {name: getattr(jnp, reduction(name))(values) for name, values in metrics.items()}


def _alarms(metrics: Metrics, limits: Limits, steps: jax.Array) -> Alarms:
    finite = jnp.all(jnp.stack([jnp.isfinite(values) for values in metrics.values()]), axis=0)
    raised = {NOT_FINITE: ~finite}
    for name in [each for each in limits if each in metrics]:  # a model has no Q
        low, high = limits[name]
        slack = tolerance(low, high)
        raised[f"{name} a fifth above its bound"] = metrics[name] > high + slack
        raised[f"{name} far below its bound"] = metrics[name] < low - slack
    return {what: jnp.min(jnp.where(when, steps, NEVER)) for what, when in raised.items()}
