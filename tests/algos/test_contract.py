"""What every algorithm must do; a new one is picked up from the registry."""

import dataclasses
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AbstractMesh, AxisType

from rlp import testing
from rlp.algos import ALGOS, presets
from rlp.config import to_dict
from rlp.data.dataset import Dataset, make_dataset, unit_normalizer
from rlp.data.episodes import EpisodeSet
from rlp.nn import optim
from rlp.system.devices import BATCH, MEMBERS
from rlp.testing import SPEC
from rlp.training import population
from rlp.types import UNKNOWN, Algo, Sources
from tests.conftest import make_episode
from tests.rounding import UNIT

SMALL = {
    "batch_size": 8, "hidden_dims": (16, 16), "num_actions": 3, "policy_every": 1,
    "context": 4, "embed_dim": 8, "num_layers": 2, "warmup_updates": 1, "num_bins": 10,
    "horizon": 2, "beam_width": 3, "model_hidden_dims": (16, 16), "num_rollouts": 8,
    "real_share": 1.0,  # before there are rollouts in a model, all their steps are the same
    "learning_rate": 1e-4,  # Adam's steps are as large where a gradient is 0 but for rounding
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


@pytest.mark.parametrize("check", testing.CHECKS, ids=lambda check: check.__name__[6:])
def test_contract(check: Callable[[Algo, Any], None], algo: Algo):
    check(algo, small(algo))


def test_presets_change_fields_that_exist(algo: Algo):
    for values in presets(algo).values():
        own = {name: value for name, value in values.items() if name != "normalize"}
        assert to_dict(algo.Config(**own)) == {**to_dict(algo.Config()), **own}
    of_data = {"normalize", "return_range"}
    assert presets(algo).get("paper", {}).keys() <= of_data  # the other defaults are the authors'


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
        _, *outcome = testing.updated(algo, config, jax.random.key(0), dataset)
        return outcome, algo.limits(config, SPEC, dataset.statistics)

    chex.assert_trees_all_equal(learned(large_ones), learned(small_ones))


def test_the_first_state_needs_no_lapack(algo: Algo):
    """On a CPU several of jaxlib's factorisations in one program wait for each other for ever."""
    init = jax.jit(algo.init, static_argnums=2)
    program = init.lower(small(algo), jax.random.key(0), SPEC, UNKNOWN).as_text()
    assert "lapack" not in program


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
