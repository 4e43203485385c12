from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.data import from_episodes
from rlp.data.dataset import (
    STD_FLOOR,
    Dataset,
    Normalizer,
    fit_normalizer,
    hide_task,
    make_dataset,
    normalize,
    sample_sarsa,
    sample_segments,
    sample_steps,
    sample_transitions,
    unit_normalizer,
)
from rlp.data.episodes import Episode, EpisodeSet, join
from rlp.errors import InputError
from rlp.types import Sources


def expected_transitions(episodes: EpisodeSet) -> set[tuple[float, ...]]:
    """Every transition as one flat row, made step by step."""
    rows = set()
    for e in episodes.episodes:
        for t in range(len(e.action)):
            if t + 1 < len(e.observation):
                discount = 0.0 if e.terminated and t == len(e.action) - 1 else 1.0
                parts = (
                    e.observation[t],
                    e.action[t],
                    [e.reward[t], discount],
                    e.observation[t + 1],
                )
                rows.add(tuple(np.concatenate(parts).astype(np.float32).tolist()))
    return rows


def drawn_transitions(dataset: Dataset, num_draws: int = 2000) -> set[tuple[float, ...]]:
    batch = sample_transitions(Sources(dataset), jax.random.key(0), num_draws)
    columns = [np.asarray(c).reshape(num_draws, -1) for c in batch]
    return {tuple(row) for row in np.concatenate(columns, axis=1).tolist()}


@pytest.fixture
def dataset(episodes: EpisodeSet) -> Dataset:
    return make_dataset(episodes, unit_normalizer(4))


def test_transitions_are_aligned_and_never_cross_an_episode(episodes: EpisodeSet, dataset: Dataset):
    assert int(dataset.num_transitions) == 27
    assert drawn_transitions(dataset) == expected_transitions(episodes)


def test_only_termination_masks_the_bootstrap(dataset: Dataset):
    discount = np.asarray(dataset.discount)[np.asarray(dataset.transition_rows)]
    assert np.flatnonzero(discount == 0).tolist() == [7 + 3 - 1]  # the end of the second episode


def test_a_step_without_successor_is_no_transition_but_a_step(episodes: EpisodeSet):
    cut = [e._replace(observation=e.observation[:-1]) for e in episodes.episodes]
    dataset = make_dataset(replace(episodes, episodes=cut), unit_normalizer(4))
    assert int(dataset.num_steps) == 27
    assert int(dataset.num_transitions) == 27 - 3  # the terminated episode needs no successor
    unterminated = replace(episodes, episodes=[e for e in cut if not e.terminated])
    allowed = expected_transitions(unterminated)
    drawn = drawn_transitions(make_dataset(unterminated, unit_normalizer(4)))
    assert drawn == allowed


def test_the_least_value_is_discounted_and_goes_on_behind_a_time_limit():
    rewards = np.array([1.0, -2.0, 3.0], np.float32)
    ended, cut = (
        Episode(np.ones((4, 1)), np.zeros((3, 2)), rewards, terminated)
        for terminated in (True, False)
    )
    dataset = make_dataset(
        EpisodeSet("", "", [ended, cut]), unit_normalizer(1), factors=np.array([2.0]), discount=0.5
    )
    tail = 2 * -2 / (1 - 0.5)  # the lowest reward for ever
    of_end = [2 * (1 - 1 + 0.75), 2 * (-2 + 1.5), 6, 0]
    np.testing.assert_allclose(dataset.value_floor[:4], of_end)
    np.testing.assert_allclose(
        dataset.value_floor[4:], np.add(of_end, tail * 0.5 ** np.arange(3, -1, -1))
    )


def test_data_without_any_transition_is_refused(episodes: EpisodeSet):
    single = [
        e._replace(observation=e.observation[:1], action=e.action[:1], reward=e.reward[:1])
        for e in episodes.episodes
        if not e.terminated
    ]
    dataset = make_dataset(replace(episodes, episodes=single), unit_normalizer(4))
    with pytest.raises(InputError, match="no transition"):
        sample_transitions(Sources(dataset), jax.random.key(0), 2)


def test_the_action_that_followed_and_none_at_the_end_of_an_episode(
    episodes: EpisodeSet, dataset: Dataset
):
    followed = {
        (*e.observation[t].tolist(), *(e.action[t + 1].tolist() if t + 1 < len(e.action) else ()))
        for e in episodes.episodes
        for t in range(len(e.action))
    }
    batch = sample_sarsa(Sources(dataset), jax.random.key(0), 2000)
    observation, action, has_action = (
        np.asarray(x).tolist()
        for x in (batch.transition.observation, batch.next_action, batch.has_next_action)
    )
    drawn = {
        (*o, *(a if has else ())) for o, a, has in zip(observation, action, has_action, strict=True)
    }
    assert drawn == followed


def test_segments_are_stretches_of_an_episode_padded_on_the_left(
    episodes: EpisodeSet, dataset: Dataset
):
    batch = sample_segments(Sources(dataset), jax.random.key(0), 500, length=4)
    starts, steps = set(), {}
    for number, episode in enumerate(episodes.episodes):
        steps.update({tuple(o.tolist()): (number, t) for t, o in enumerate(episode.observation)})
    for observation, action, to_go, timestep, mask in zip(*map(np.asarray, batch), strict=True):
        real = np.flatnonzero(mask)
        assert real.tolist() == list(range(4 - len(real), 4))
        number, start = steps[tuple(observation[real[0]].tolist())]
        episode, length = episodes.episodes[number], len(real)
        assert length == min(4, len(episode.action) - start)
        np.testing.assert_array_equal(action[real], episode.action[start : start + length])
        np.testing.assert_array_equal(timestep[real], np.arange(start, start + length))
        left = [episode.reward[t:].sum() for t in range(start, start + length)]
        np.testing.assert_allclose(to_go[real], left, rtol=1e-5)
        starts.add((number, start))
    assert len(starts) == episodes.lengths.sum()  # every step begins one, the last one too


def test_steps_pair_the_observation_with_the_action_taken_there(
    episodes: EpisodeSet, dataset: Dataset
):
    pairs = {
        tuple(np.concatenate([o, a]).tolist())
        for e in episodes.episodes
        for o, a in zip(e.observation[:-1], e.action, strict=True)
    }
    batch = sample_steps(Sources(dataset), jax.random.key(1), 2000)
    assert {tuple(row) for row in np.concatenate(list(batch), axis=1).tolist()} == pairs


def test_a_growing_replay_is_sampled_up_to_its_size(dataset: Dataset):
    small = dataset._replace(num_transitions=np.int32(2), num_steps=np.int32(1))
    assert len(drawn_transitions(small)) == 2
    drawn = sample_steps(Sources(small), jax.random.key(0), 50)
    assert len(np.unique(np.asarray(drawn.action))) == 2


def test_factors_of_tasks_change_rewards_and_no_returns(episodes: EpisodeSet):
    both = join([replace(episodes, env="walk"), replace(episodes, env="run")])
    normalizer = unit_normalizer(6)
    plain, scaled = (make_dataset(both, normalizer, factors=f) for f in (None, np.array([2, 5])))
    half = len(plain.reward) // 2
    np.testing.assert_array_equal(scaled.reward[:half], 2 * plain.reward[:half])
    np.testing.assert_array_equal(scaled.reward[half:], 5 * plain.reward[half:])
    assert float(scaled.max_abs_reward) == 5 * float(plain.max_abs_reward)
    np.testing.assert_array_equal(scaled.return_to_go, plain.return_to_go)


def test_normalised_observations_have_mean_zero_and_deviation_one(episodes: EpisodeSet):
    normalizer = fit_normalizer(episodes)
    dataset = make_dataset(episodes, normalizer)
    rows = np.asarray(dataset.observation)[np.asarray(dataset.step_rows)]
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(rows.std(axis=0), 1, atol=1e-5)


def test_a_hidden_task_is_zeros_whatever_it_is():
    shown = Normalizer(jnp.full(5, 0.5), jnp.full(5, 0.5))
    observation = jnp.array([1.0, 2.0, 3.0, 0.0, 1.0])
    hidden = normalize(hide_task(shown, 2), observation)
    np.testing.assert_array_equal(hidden[:3], normalize(shown, observation)[:3])
    np.testing.assert_array_equal(hidden[3:], 0)


def test_a_constant_feature_does_not_explode(episodes: EpisodeSet):
    constant = [
        e._replace(
            observation=np.concatenate(
                [e.observation[:, :3], np.full((len(e.action) + 1, 1), 7.0, np.float32)], axis=1
            )
        )
        for e in episodes.episodes
    ]
    normalizer = fit_normalizer(replace(episodes, episodes=constant))
    unseen = normalize(normalizer, jnp.full(4, 7.0 + STD_FLOOR))
    assert float(unseen[3]) == pytest.approx(1, abs=1e-2)


def test_half_precision_halves_the_observations_and_batches_stay_float32(episodes: EpisodeSet):
    normalizer = fit_normalizer(episodes)
    full, half = (make_dataset(episodes, normalizer, d) for d in (np.float32, np.float16))
    assert 2 * half.observation.nbytes == full.observation.nbytes
    batches = [sample_transitions(Sources(each), jax.random.key(0), 100) for each in (full, half)]
    for exact, rounded in zip(*batches, strict=True):
        assert rounded.dtype == exact.dtype == jnp.float32
        np.testing.assert_allclose(rounded, exact, rtol=1e-3, atol=1e-6)
    large = [e._replace(observation=1e6 * e.observation) for e in episodes.episodes]
    with pytest.raises(InputError, match="made: an observation is too large for float16"):
        make_dataset(replace(episodes, episodes=large), unit_normalizer(4), np.float16)


def test_a_clocks_seconds_stay_apart_in_the_data_and_in_acting():
    """In float32 seconds since 1970 are 128 apart, so means are subtracted before."""
    seconds = 1.7e9 + 60 * np.arange(301.0)
    observation = np.column_stack([seconds, np.sin(np.arange(301))])
    made = from_episodes([Episode(observation, np.zeros((300, 1)), np.zeros(300), False)])
    dataset = make_dataset(made, fit_normalizer(made))
    clock = np.asarray(dataset.observation)[:300, 0]
    np.testing.assert_allclose(
        clock, (seconds[:300] - seconds[:300].mean()) / seconds[:300].std(), atol=1e-5
    )
    normalizer = fit_normalizer(made)
    acting = normalize(normalizer, jnp.asarray(observation[7] - made.origin, jnp.float32))
    np.testing.assert_allclose(acting, np.asarray(dataset.observation)[7], atol=1e-6)


def test_observations_stay_float32_where_that_is_precise_enough():
    observation = np.random.default_rng(0).standard_normal((11, 3)) + 100
    made = from_episodes([Episode(observation, np.zeros((10, 1)), np.zeros(10), False)])
    assert made.episodes[0].observation.dtype == np.float32
    assert not made.origin.any()
