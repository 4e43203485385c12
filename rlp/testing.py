"""Checks that every algorithm must pass, for tests of your own.

    import pytest
    import rlp.testing
    from my_package import my_algorithm

    @pytest.mark.parametrize("check", rlp.testing.CHECKS)
    def test_contract(check):
        check(my_algorithm, my_algorithm.Config(batch_size=8, hidden_dims=(16,)))

A check takes the algorithm and a small setting of it, and raises AssertionError if it fails. The
data has observations of 4 numbers and actions of 2.
"""

import dataclasses
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from rlp.config import float_names
from rlp.data.dataset import Dataset, make_dataset, unit_normalizer
from rlp.data.episodes import Episode, EpisodeSet
from rlp.training import population
from rlp.types import Algo, Sources, Space, Spec, critics, vectors

SPEC = vectors(observation_dim=4, action_dim=2, max_episode_steps=12)


def spec_for(algo: Algo) -> Spec:
    """Returns the problem, with continuous actions of two numbers if supported, or two choices."""
    if "continuous" in algo.SUPPORTS:
        return SPEC
    return SPEC._replace(action=Space((2,), num_choices=2))


def dataset(spec: Spec = SPEC) -> Dataset:
    """Returns five episodes of 12 steps of noise; the third terminates."""
    rng = np.random.default_rng(0)
    length = SPEC.max_episode_steps
    made = [
        Episode(
            observation=rng.normal(size=(length + 1, SPEC.observation_dim)).astype(np.float32),
            action=_actions(rng, spec, length),
            reward=rng.uniform(size=length).astype(np.float32),
            terminated=number == 2,
        )
        for number in range(5)
    ]
    return make_dataset(EpisodeSet("noise", "", made), unit_normalizer(SPEC.observation_dim))


def _actions(rng: np.random.Generator, spec: Spec, length: int) -> np.ndarray:
    if spec.action.kind == "discrete":
        return np.eye(spec.action_dim, dtype=np.float32)[rng.integers(spec.action_dim, size=length)]
    return rng.uniform(-1, 1, (length, spec.action_dim)).astype(np.float32)


@partial(jax.jit, static_argnames="algo")
def updated(algo: Algo, config: Any, key: jax.Array, data: Dataset) -> tuple[Any, Any, Any]:
    """Returns the state before and after one update, and its metrics."""
    init_key, sample_key, update_key = jax.random.split(key, 3)
    state = algo.init(config, init_key, spec_for(algo), data.statistics)
    batch = algo.sample(config, sample_key, state, Sources(data))
    return state, *algo.update(config, state, jnp.int32(0), update_key, batch)


def check_an_update_keeps_structure_shapes_and_dtypes(algo: Algo, config: Any) -> None:
    """States can be carried through a scan, and metrics are finite scalars."""
    before, after, metrics = updated(algo, config, jax.random.key(0), dataset(spec_for(algo)))
    chex.assert_trees_all_equal_structs(before, after)
    chex.assert_trees_all_equal_shapes_and_dtypes(before, after)
    chex.assert_tree_all_finite(after)
    assert metrics, "update returns no metrics"
    for value in metrics.values():
        chex.assert_shape(value, ())
        chex.assert_tree_all_finite(value)


def check_an_update_moves_the_actor(algo: Algo, config: Any) -> None:
    """The parameters that act are those that learn."""
    before, after, _ = updated(algo, config, jax.random.key(0), dataset(spec_for(algo)))
    actors = (algo.actor(config, state) for state in (before, after))
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), *actors)
    assert max(jax.tree.leaves(moved)) > 0, "the actor is as before"


def check_the_same_key_gives_the_same_and_another_differs(algo: Algo, config: Any) -> None:
    """All randomness comes from the key."""
    keys = (jax.random.key(seed) for seed in (0, 0, 1))
    first, again, other = (updated(algo, config, key, dataset(spec_for(algo)))[1] for key in keys)
    chex.assert_trees_all_equal(first, again)
    leaves = zip(jax.tree.leaves(first), jax.tree.leaves(other), strict=True)
    assert any((a != b).any() for a, b in leaves), "the key has no effect"


def check_actions_are_in_bounds_and_the_mode_needs_no_key(algo: Algo, config: Any) -> None:
    """Actions are in [-1, 1] for any observation, and at temperature 0 the key has no effect."""
    spec = spec_for(algo)
    data = dataset(spec)
    params = algo.actor(config, updated(algo, config, jax.random.key(0), data)[0])
    memory = algo.policy.init_memory(config, spec, jnp.float32(1))
    act, actions = jax.jit(algo.policy.act), []
    for key, temperature in ((1, 0.0), (2, 0.0), (3, 1.0)):
        action, after = act(
            config, params, memory, jnp.full(SPEC.observation_dim, 30.0), jnp.float32(0),
            jax.random.key(key), jnp.float32(temperature),
        )  # fmt: skip
        chex.assert_shape(action, (SPEC.action_dim,))
        chex.assert_trees_all_equal_structs(memory, after)
        assert np.abs(action).max() <= 1, "an action is outside of [-1, 1]"
        actions.append(action)
    np.testing.assert_array_equal(actions[0], actions[1])


def check_critics_value_each_row_by_itself(algo: Algo, config: Any) -> None:
    """Q of several rows equals Q of each alone, and depends on the action; only with critics."""
    q_of, spec = critics(algo), spec_for(algo)
    if q_of is None:
        return
    data = dataset(spec)
    _, state, _ = updated(algo, config, jax.random.key(0), data)
    value = jax.jit(partial(q_of, config, state, data.statistics))
    rows, others = data.step_rows[:3], data.step_rows[3:6]
    q = value(data.observation[rows], data.action[rows])
    assert q.shape[1:] == (3,), f"Q is {q.shape}, not [E, 3]"
    chex.assert_tree_all_finite(q)
    alone = value(data.observation[rows[:1]], data.action[rows[:1]])
    np.testing.assert_allclose(q[:, :1], alone, rtol=1e-4, atol=1e-6)
    assert (value(data.observation[rows], data.action[others]) != q).any(), "any action has that Q"


def check_other_floats_do_not_trace_again(algo: Algo, config: Any) -> None:
    """Floats of a config are data: one program serves all values."""
    chex.clear_trace_counter()
    update = jax.jit(chex.assert_max_traces(lambda *arguments: algo.update(*arguments), n=1))
    sources = Sources(dataset(spec_for(algo)))
    rates = [name for name in float_names(algo.Config) if name.endswith("_rate")]
    for rate in (1e-3, 1e-4):
        changed = dataclasses.replace(config, **dict.fromkeys(rates, rate))
        state, *_ = updated(algo, changed, jax.random.key(0), sources.offline)
        batch = algo.sample(changed, jax.random.key(1), state, sources)
        update(changed, state, jnp.int32(0), jax.random.key(2), batch)


def check_a_member_alone_equals_the_same_member_in_a_population(algo: Algo, config: Any) -> None:
    """Members do not affect each other."""
    spec = spec_for(algo)
    data = dataset(spec)

    def trained(seeds: list[int]) -> Any:
        members = population.init(algo, [config] * len(seeds), seeds, spec, data.statistics)
        return population.train(algo, spec, 10, *members, Sources(data), jnp.int32(0))[:2]

    many, many_metrics = trained([0, 1, 2, 3])
    alone, alone_metrics = trained([2])
    third = jax.tree.map(lambda leaf: leaf[2:3], (many, many_metrics))
    chex.assert_trees_all_close(third, (alone, alone_metrics), atol=1e-6, rtol=1e-5)


CHECKS = (
    check_an_update_keeps_structure_shapes_and_dtypes,
    check_an_update_moves_the_actor,
    check_the_same_key_gives_the_same_and_another_differs,
    check_actions_are_in_bounds_and_the_mode_needs_no_key,
    check_critics_value_each_row_by_itself,
    check_other_floats_do_not_trace_again,
    check_a_member_alone_equals_the_same_member_in_a_population,
)
