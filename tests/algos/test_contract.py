"""What every algorithm must do; a new one is picked up from the registry."""

import dataclasses
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AbstractMesh, AxisType

from rlp.algos import ALGOS, presets
from rlp.config import float_names, to_dict
from rlp.data.dataset import Dataset, make_dataset, unit_normalizer
from rlp.data.episodes import EpisodeSet
from rlp.nn import optim
from rlp.system.devices import BATCH, MEMBERS
from rlp.training import population
from rlp.types import UNKNOWN, Algo, Sources, vectors
from tests.conftest import make_episode
from tests.rounding import UNIT

SPEC = vectors(observation_dim=4, action_dim=2, max_episode_steps=12)
SMALL = {
    "batch_size": 8, "hidden_dims": (16, 16), "num_actions": 3, "policy_every": 1,
    "context": 4, "embed_dim": 8, "num_layers": 2, "warmup_updates": 1,
}  # fmt: skip


def small(algo: Algo, **changed: Any) -> Any:
    """Returns a setting that compiles fast, of whatever the algorithm has of these fields."""
    fields = {field.name for field in dataclasses.fields(algo.Config)}
    return algo.Config(**{k: v for k, v in SMALL.items() if k in fields} | changed)


@pytest.fixture(params=ALGOS)
def algo(request: pytest.FixtureRequest) -> Algo:
    return ALGOS[request.param]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    made = [make_episode(12, seed) for seed in range(5)]
    return make_dataset(EpisodeSet("made", "", made), unit_normalizer(4))


def test_presets_change_fields_that_exist(algo: Algo):
    for values in presets(algo).values():
        own = {name: value for name, value in values.items() if name != "normalize"}
        assert to_dict(algo.Config(**own)) == {**to_dict(algo.Config()), **own}
    of_data = {"normalize", "return_range"}
    assert presets(algo)["paper"].keys() <= of_data  # the other defaults are the authors'


@partial(jax.jit, static_argnames="algo")
def init_and_update(algo: Algo, config: Any, key: jax.Array, dataset: Dataset) -> Any:
    """Returns the state before and after one update, and its metrics."""
    init_key, sample_key, update_key = jax.random.split(key, 3)
    state = algo.init(config, init_key, SPEC, dataset.statistics)
    batch = algo.sample(config, sample_key, state, Sources(dataset))
    return state, *algo.update(config, state, jnp.int32(0), update_key, batch)


def test_normalized_rewards_have_no_size(algo: Algo):
    if "normalize_reward" not in {field.name for field in dataclasses.fields(algo.Config)}:
        pytest.skip("the algorithm learns no Q")
    made = [make_episode(12, seed) for seed in range(5)]
    larger = [episode._replace(reward=8 * episode.reward) for episode in made]
    small_ones, large_ones = (
        make_dataset(EpisodeSet("", "", each), unit_normalizer(4)) for each in (made, larger)
    )

    def learned(dataset: Dataset) -> Any:
        config = small(algo, normalize_reward=True)
        _, *outcome = init_and_update(algo, config, jax.random.key(0), dataset)
        return outcome, algo.limits(config, SPEC, dataset.statistics)

    chex.assert_trees_all_equal(learned(large_ones), learned(small_ones))


def updated(algo: Algo, dataset: Dataset, key: jax.Array) -> Any:
    return init_and_update(algo, small(algo), key, dataset)


def test_an_update_keeps_structure_shapes_and_dtypes(algo: Algo, dataset: Dataset):
    before, after, metrics = updated(algo, dataset, jax.random.key(0))
    chex.assert_trees_all_equal_structs(before, after)
    chex.assert_trees_all_equal_shapes_and_dtypes(before, after)
    chex.assert_tree_all_finite(after)
    assert metrics
    for value in metrics.values():
        chex.assert_shape(value, ())
        chex.assert_tree_all_finite(value)


def test_the_first_state_needs_no_lapack(algo: Algo):
    """On a CPU several of jaxlib's factorisations in one program wait for each other for ever."""
    init = jax.jit(algo.init, static_argnums=2)
    program = init.lower(small(algo), jax.random.key(0), SPEC, UNKNOWN).as_text()
    assert "lapack" not in program


def test_an_update_moves_the_actor(algo: Algo, dataset: Dataset):
    config = small(algo)
    before, after, _ = updated(algo, dataset, jax.random.key(0))
    moved = jax.tree.map(
        lambda a, b: float(jnp.abs(a - b).max()),
        algo.actor(config, before),
        algo.actor(config, after),
    )
    assert max(jax.tree.leaves(moved)) > 0


def test_the_same_key_gives_the_same_and_another_differs(algo: Algo, dataset: Dataset):
    first, again, other = (updated(algo, dataset, jax.random.key(seed))[1] for seed in (0, 0, 1))
    chex.assert_trees_all_equal(first, again)
    with pytest.raises(AssertionError):
        chex.assert_trees_all_equal(first, other)


def test_actions_are_in_bounds_and_the_mode_needs_no_key(algo: Algo):
    config = small(algo)
    state = jax.jit(algo.init, static_argnums=2)(config, jax.random.key(0), SPEC, UNKNOWN)
    params = algo.actor(config, state)
    memory = algo.policy.init_memory(config, SPEC, jnp.float32(1))
    act, actions = jax.jit(algo.policy.act), []
    for key, temperature in ((1, 0.0), (2, 0.0), (3, 1.0)):
        observation = jnp.full(4, 30.0)
        action, after = act(
            config,
            params,
            memory,
            observation,
            jnp.float32(0),
            jax.random.key(key),
            jnp.float32(temperature),
        )
        chex.assert_shape(action, (2,))
        chex.assert_trees_all_equal_structs(memory, after)
        assert np.abs(action).max() <= 1
        actions.append(action)
    np.testing.assert_array_equal(actions[0], actions[1])


def test_other_floats_do_not_trace_again(algo: Algo, dataset: Dataset):
    chex.clear_trace_counter()
    traced = chex.assert_max_traces(lambda *arguments: algo.update(*arguments), n=1)
    update = jax.jit(traced)
    for rate in (1e-3, 1e-4):
        floats = {name: rate for name in float_names(algo.Config) if name.endswith("_rate")}
        config = small(algo, **floats)
        state = jax.jit(algo.init, static_argnums=2)(config, jax.random.key(0), SPEC, UNKNOWN)
        batch = algo.sample(config, jax.random.key(1), state, Sources(dataset))
        update(config, state, jnp.int32(0), jax.random.key(2), batch)


@pytest.mark.parametrize("parts", [1, 4])
def test_however_a_batch_is_cut_it_has_one_gradient(
    algo: Algo, dataset: Dataset, parts: int, monkeypatch: pytest.MonkeyPatch
):
    def steepest(*_: Any) -> optax.GradientTransformation:
        return optax.sgd(1.0)  # Adam's first step has the gradient's sign only

    monkeypatch.setattr(optim, "adam", steepest)
    monkeypatch.setattr(optim, "adamw", steepest)
    config = small(algo, batch_size=4096)
    mesh = AbstractMesh((1, parts), (MEMBERS, BATCH), axis_types=(AxisType.Auto, AxisType.Auto))

    state = algo.init(config, jax.random.key(0), SPEC, UNKNOWN)
    batch = algo.sample(config, jax.random.key(2), state, Sources(dataset))

    def updated() -> list[Any]:
        update = jax.jit(lambda *arguments: algo.update(*arguments))  # compiled anew
        return jax.tree.leaves(update(config, state, jnp.int32(0), jax.random.key(1), batch))

    with jax.sharding.use_abstract_mesh(mesh):
        in_pieces = updated()
    monkeypatch.setattr(optim, "CACHED_ROWS", 10**6)
    at_once = updated()
    before = jax.tree.leaves(state) + [0.0] * (len(at_once) - len(jax.tree.leaves(state)))
    for start, piece, whole in zip(before, in_pieces, at_once, strict=True):
        moved = float(jnp.abs(whole - start).max())  # partial sums cancel most of their errors
        rounded = UNIT * float(jnp.abs(whole).max())
        np.testing.assert_allclose(piece, whole, rtol=0, atol=100 * UNIT * moved + rounded)


@pytest.mark.parametrize("num_members", [1, 2])
def test_products_of_bfloat16_train_nearly_as_those_of_float32(
    algo: Algo, dataset: Dataset, num_members: int
):
    members = population.init(algo, [small(algo)] * num_members, range(num_members), SPEC, UNKNOWN)
    init = jax.device_get(members.states)
    actors = {}
    for precision in ("float32", "bf16"):
        states, metrics, _ = population.train(
            algo, SPEC, 10, members.configs, members.keys, jax.device_put(init), Sources(dataset),
            jnp.int32(0),
            precision=precision,
        )  # fmt: skip
        chex.assert_tree_all_finite(metrics)
        actors[precision] = jax.vmap(algo.actor)(members.configs, states)
    chex.assert_trees_all_close(*actors.values(), atol=0.02)
    with pytest.raises(AssertionError):
        chex.assert_trees_all_close(*actors.values(), atol=1e-6)


def test_a_member_alone_equals_the_same_member_in_a_population(algo: Algo, dataset: Dataset):
    def trained(configs, seeds):
        members = population.init(algo, configs, seeds, SPEC, UNKNOWN)
        return population.train(algo, SPEC, 10, *members, Sources(dataset), jnp.int32(0))[:2]

    settings = [small(algo), small(algo)]
    many, many_metrics = trained([*settings, *settings], [0, 1, 2, 3])
    alone, alone_metrics = trained(settings[:1], [2])
    third = jax.tree.map(lambda leaf: leaf[2:3], (many, many_metrics))
    chex.assert_trees_all_close(third, (alone, alone_metrics), atol=1e-6, rtol=1e-5)
