"""What is the Trajectory Transformer's own: tokens, what they see of each other, and plans."""

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import beam_search, bins
from rlp.algos import trajectory_transformer as tt
from rlp.algos.beam_search import Prefix, Search
from rlp.commands import learn
from rlp.data.dataset import make_dataset, unit_normalizer
from rlp.data.episodes import Episode, EpisodeSet
from rlp.data.trajectories import _trajectory, rewards, values
from rlp.errors import InputError
from rlp.training import start
from rlp.types import UNKNOWN, vectors
from tests import probes
from tests.probes import bandit
from tests.whole_runs import refused

SMALL: dict[str, Any] = {
    "context": 4, "embed_dim": 16, "num_layers": 2, "num_heads": 2, "num_bins": 8, "dropout": 0.0,
    "learning_rate": 3e-3, "warmup_updates": 1, "decay_updates": 1000, "batch_size": 32,
    "beam_width": 8, "horizon": 2, "action_cut": 0.0, "last_reward": 0.0,
}  # fmt: skip
SPEC = vectors(2, 1, 10)
DIM = 5  # of a transition


def play(config: tt.Config, params: Any, spec: Any, observations: np.ndarray, reward: float):
    """Returns the actions [T, A] in observations [T, O], each answered with the same reward."""
    memory = tt.policy.init_memory(config, spec, jnp.float32(0))
    act, actions = jax.jit(tt.policy.act), []
    for t, observation in enumerate(observations):
        action, memory = act(
            config, params, memory, jnp.asarray(observation), jnp.float32(reward if t else 0),
            jax.random.key(t), jnp.float32(0),
        )  # fmt: skip
        actions.append(action)
    return np.stack(actions), memory


def test_bins_hold_equally_many_values_and_the_middle_of_one_is_in_it():
    rng = np.random.default_rng(0)
    columns = rng.standard_normal((100, 2)).astype(np.float32) ** 3
    counts = np.ones(100, bool)
    counts[::5] = False  # leaves 80
    edges = bins.quantile_edges(jnp.asarray(columns), jnp.asarray(counts), 8)
    ordered = np.sort(columns[counts], axis=0)
    np.testing.assert_array_equal(edges.T[:-1], ordered[::10])
    np.testing.assert_array_equal(edges.T[-1], ordered[-1])
    token = jax.vmap(partial(bins.tokens, edges))(jnp.asarray(columns[counts]))
    for column in np.asarray(token).T:
        assert np.bincount(column).tolist() == [10] * 8
    middles = bins.centers(edges).T  # [8, 2]
    again = jax.vmap(partial(bins.tokens, edges))(middles)
    np.testing.assert_array_equal(again, np.repeat(np.arange(8)[:, None], 2, axis=1))
    assert bins.tokens(edges, jnp.array([-1e9, 1e9])).tolist() == [0, 7]


def test_a_value_is_the_discounted_sum_of_later_rewards_and_an_end_has_tokens_of_its_own():
    made = [
        Episode(np.zeros((len(r) + 1, 1), np.float32), np.zeros((len(r), 1), np.float32), r, end)
        for r, end in (
            (np.array([1, 2, 4], np.float32), True),
            (np.array([8, 16], np.float32), False),
        )
    ]
    dataset = make_dataset(EpisodeSet("", "", made), unit_normalizer(1))
    reward = rewards(dataset, -6.0)
    assert reward.tolist() == [1, 2, -6, 0, 8, 16, 0]
    assert rewards(dataset, 0.0).tolist() == [1, 2, 4, 0, 8, 16, 0]
    value = values(dataset, reward, 0.5)
    assert value.tolist() == [2 - 3, -6, 0, 0, 16, 0, 0]
    terminated = _trajectory(dataset, reward, value, jnp.int32(1), 4)
    assert terminated.is_step.tolist() == [True, True, False, False]
    assert terminated.mask.tolist() == [True] * 4  # that nothing follows is known
    assert terminated.reward[:2].tolist() == [2, -6]
    edges = jnp.tile(jnp.linspace(-11.0, 9.0, 11), (4, 1))  # middles are even
    token = jax.vmap(partial(tt._tokens, edges))(terminated)
    assert token[:, 2].tolist() == [6, 2, 10, 10]
    cut = _trajectory(dataset, reward, value, jnp.int32(5), 4)
    assert cut.is_step.tolist() == cut.mask.tolist() == [True, False, False, False]


def test_actions_weigh_more_and_what_is_not_known_nothing():
    config = tt.Config(**SMALL)
    dataset = make_dataset(bandit(np.zeros((3, 1)), np.ones(3), False), unit_normalizer(1))
    step = _trajectory(dataset, dataset.reward, dataset.reward, jnp.int32(0), 2)
    weight = tt._weight(config, jax.tree.map(lambda leaf: leaf[None], step))
    assert weight.tolist() == [[[1, 5, 1, 1], [0, 0, 0, 0]]]


def test_tokens_see_what_came_before_but_no_value():
    seen = beam_search.visible(6, 3).astype(int).tolist()
    assert seen == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 1, 0, 0],
        [1, 1, 0, 1, 1, 0],
        [1, 1, 0, 1, 1, 0],
    ]
    config = tt.Config(**SMALL)
    read = partial(tt._network(config, 3).apply, tt._network(config, 3).init(jax.random.key(0)))
    token, mask = jnp.array([1, 2, 3, 4, 5, 6]), beam_search.visible(6, 3)
    logits, _ = read(token, jnp.arange(6), mask)
    other, _ = read(token.at[2].set(7), jnp.arange(6), mask)
    changed = np.abs(logits - other).max(axis=1) > 0
    assert changed.tolist() == [False, False, True, False, False, False]  # its own place


@pytest.mark.parametrize("num_past", [0, 1, 2])
def test_a_plan_is_worth_what_the_model_without_a_cache_says(num_past: int):
    """The value of the best sequence, computed anew by one pass over all of its tokens."""
    config = tt.Config(**{**SMALL, "context": 5, "horizon": 3, "discount": 0.9})
    edges = jnp.sort(jax.random.normal(jax.random.key(3), (DIM, 9)))
    network = tt._network(config, DIM).init(jax.random.key(0))
    network = jax.tree.map(lambda leaf: 3 * leaf, network)  # so that tokens matter
    read = partial(tt._network(config, DIM).apply, network)
    search = Search(config.horizon, 4, 2, 0.5, 0.9)
    past = jax.random.randint(jax.random.key(1), (num_past * DIM + 2,), 0, 8)
    padding = (2 - num_past) * DIM
    prefix = Prefix(jnp.pad(past, (padding, 0)), jnp.int32(padding))
    centers = bins.centers(edges)
    plan = jax.jit(
        lambda prefix: beam_search.plan(search, read, centers, 2, prefix, jax.random.key(2))
    )(prefix)
    token = jnp.append(past, plan.token)
    logits, _ = read(token, jnp.arange(len(token)), beam_search.visible(len(token), DIM))
    probability = jax.nn.softmax(logits)[:, :-1].reshape(-1, DIM, 8)  # of what follows each token
    reward, value = (
        np.asarray(probability[num_past:, place] @ centers[place + 1]) for place in (2, 3)
    )
    expected = reward @ 0.9 ** np.arange(3) + 0.9**3 * value[-1]
    np.testing.assert_allclose(plan.value, expected, atol=1e-4)
    likeliest, place = logits.argmax(axis=-1)[:-1], np.arange(1, len(token))
    is_drawn = (place < len(past)) | (place % DIM == 2)  # or given: all but actions are likeliest
    np.testing.assert_array_equal(token[1:][~is_drawn], likeliest[~is_drawn])


def test_the_least_likely_actions_are_not_drawn():
    logits = jnp.log(jnp.array([[0.1, 0.15, 0.25, 0.5], [0.4, 0.3, 0.2, 0.1]]))
    kept = beam_search._without_tail(logits, 0.35)
    assert (kept > -1000).tolist() == [[False, False, True, True], [True, True, False, False]]
    np.testing.assert_array_equal(beam_search._without_tail(logits, 0.0), logits)


def test_of_two_behaviours_the_better_is_planned():
    action = np.repeat([[-0.5], [0.5]], 100, axis=0)
    config = tt.Config(**{**SMALL, "context": 1, "horizon": 1})
    state, _ = probes.learn(tt, config, bandit(action, 2 * action[:, 0]), 300)
    taken, _ = play(config, state.actor, vectors(1, 1, 10), np.ones((1, 1), np.float32), 0.0)
    assert taken.item() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("horizon", [1, 3])  # by the value, and by the rewards seen ahead
def test_a_plan_gives_up_a_reward_for_a_larger_one_later(horizon: int):
    """The first action -0.5 earns 1 at once, 0.5 earns 3 two steps later; all with noise."""
    rng, made = np.random.default_rng(0), []
    for sign in rng.choice([-1.0, 1.0], 200):
        observation = np.array([[0], [sign], [2 * sign], [0]], np.float32)
        noise = rng.normal(0, 0.05, (2, 3)).astype(np.float32)
        action = np.array([sign / 2, 0, 0], np.float32) + noise[0]
        reward = np.array([sign < 0, 0, 3 * (sign > 0)], np.float32) + noise[1]
        made.append(Episode(observation, action[:, None], reward, True))
    changed = {"context": 3, "horizon": horizon, "num_bins": 16}
    config = tt.Config(**{**SMALL, **changed})
    state, _ = probes.learn(tt, config, EpisodeSet("", "", made), 300)
    start = np.zeros((1, 1), np.float32)
    taken, _ = play(config, state.actor, vectors(1, 1, 10), start, 0.0)
    assert taken.item() == pytest.approx(0.5, abs=0.2)


def test_the_past_is_remembered_with_its_rewards():
    config = tt.Config(**SMALL)
    state = tt.init(config, jax.random.key(0), SPEC, UNKNOWN)
    observations = np.array([[-0.9, 0], [-0.4, 0], [0.1, 0], [0.6, 0]], np.float32)
    actions, memory = play(config, state.actor, SPEC, observations, 0.3)
    assert memory.timestep == 4
    assert memory.token[:, 0].tolist() == [4, 6]  # the last two of the four
    assert memory.token[0, -2] == 5  # a reward of 0.3
    acted = jax.vmap(partial(bins.tokens, state.actor["edges"][2:3]))(jnp.asarray(actions[2:]))
    np.testing.assert_array_equal(memory.token[:, 2:3], acted)


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"horizon": 5}, "must fit the --context=4"), ({"num_heads": 3}, "must divide embed_dim")],
)
def test_settings_that_cannot_be(changed: dict[str, int], message: str):
    with pytest.raises(InputError, match=message):
        tt.init(tt.Config(**{**SMALL, **changed}), jax.random.key(0), SPEC, UNKNOWN)


def test_the_bins_are_those_of_the_data():
    action = np.linspace(-1, 1, 80)[:, None]
    data = make_dataset(bandit(action, 10 * action[:, 0], False), unit_normalizer(1))
    config = tt.Config(**SMALL)
    edges = tt.init(config, jax.random.key(0), vectors(1, 1, 10), data.statistics).actor["edges"]
    expected = np.append(action[::10], 1)
    np.testing.assert_allclose(edges[1], expected, atol=1e-6)
    np.testing.assert_allclose(edges[2], 10 * expected, atol=1e-5)
    np.testing.assert_array_equal(edges[3], np.zeros(9))  # nothing follows on one step


def test_data_without_rewards_and_learning_without_data_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.chdir(tmp_path)
    data = replace(bandit(np.zeros((3, 1)), np.zeros(3)), has_rewards=False)
    with ExitStack() as held, pytest.raises(InputError, match="cannot be known without rewards"):
        start.begin("tt", {"eval_every": 0}, held, data)
    error = refused(capsys, lambda: learn.main(["tt", "walker-walk", "--num_steps=20000"]))
    assert "tt needs logged data from the start" in error
    assert not list(tmp_path.iterdir())
