import re
from dataclasses import replace

import numpy as np
import pytest

from rlp.data.episodes import (
    Episode,
    EpisodeSet,
    check_set,
    delayed,
    drop_last_successors,
    evenly_spaced,
    fingerprint,
    join,
    problems,
    reward_factors,
    top_fraction,
)
from rlp.errors import DataWarning, InputError
from tests.conftest import make_episode


def test_returns_and_lengths(episodes: EpisodeSet):
    assert episodes.lengths.tolist() == [7, 3, 12, 5]
    expected = [float(np.sum(e.reward, dtype=np.float64)) for e in episodes.episodes]
    assert episodes.returns.tolist() == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observation": np.zeros((3, 4), np.float32)}, "7 actions do not fit 3 observations"),
        ({"reward": np.zeros(6, np.float32)}, "7 actions do not fit 8 observations and 6 rewards"),
        ({"reward": np.zeros((7, 1), np.float32)}, r"must be \[T \+ 1, O\]"),
        (
            {"reward": np.array([0, 1, np.nan, 0, 0, np.inf, 0])},
            "reward has 2 NaN .* first in its row 2",
        ),
        ({"action": np.full((7, 2), 1.5)}, r"actions reach 1.5, outside \[-1, 1\]"),
        ({"action": np.zeros((0, 2)), "reward": np.zeros(0)}, "no steps"),
        ({"reward": np.array(["a"] * 7)}, "reward is not numbers but <U1"),
        ({"reward": np.full(7, 1e300)}, "reward has 7 NaN or infinite"),
    ],
)
def test_impossible_episodes_are_named(change: dict[str, np.ndarray], message: str):
    assert re.search(message, "; ".join(problems(make_episode(7)._replace(**change))))


def test_sets_are_of_one_width():
    mixed = EpisodeSet("x", "", [make_episode(3), make_episode(3, observation_dim=5)])
    with pytest.raises(InputError, match=r"x: .*\(5, 2\) wide in episode 1, \(4, 2\) in episode 0"):
        check_set(mixed)
    with pytest.raises(InputError, match="no episodes"):
        check_set(EpisodeSet("x", "", []))


def test_join_puts_a_one_hot_task_behind_the_observations(episodes: EpisodeSet):
    walk, run = replace(episodes, env="walker-walk"), replace(episodes, env="walker-run")
    joined = join([walk, replace(walk, name="other")])
    assert (joined.name, joined.env, len(joined.episodes)) == ("made+other", "walker-walk", 8)
    both = join([walk, run, walk])
    assert both.env == "walker-walk+walker-run"
    assert both.tasks.tolist() == [0] * 4 + [1] * 4 + [0] * 4
    for number, task in ((0, [1, 0]), (4, [0, 1])):
        before, after = episodes.episodes[0].observation, both.episodes[number].observation
        np.testing.assert_array_equal(after[:, :-2], before)
        np.testing.assert_array_equal(after[:, -2:], [task] * len(before))
    assert walk.tasks.tolist() == [0] * 4
    with pytest.raises(InputError, match="made says no environment"):
        join([walk, run, replace(episodes, env="")])


def test_the_best_are_chosen_in_each_task(episodes: EpisodeSet):
    walk, run = replace(episodes, env="walk"), replace(episodes, env="run")
    alone, both = top_fraction(walk, 0.9), top_fraction(join([walk, run]), 0.9)
    assert len(alone.episodes) > 1
    assert both.tasks.tolist() == [0] * len(alone.episodes) + [1] * len(alone.episodes)
    assert both.returns.tolist() == [*alone.returns, *alone.returns]


@pytest.mark.parametrize(("fraction", "kept"), [(1.0, [0, 1, 2, 3]), (0.5, [0, 2]), (0.01, [0])])
def test_a_fraction_is_from_all_over_the_episodes(
    episodes: EpisodeSet, fraction: float, kept: list[int]
):
    found = evenly_spaced(episodes, fraction)
    assert found.returns.tolist() == episodes.returns[kept].tolist()


def test_delayed_rewards_come_in_the_last_step(episodes: EpisodeSet):
    found = delayed(episodes)
    np.testing.assert_allclose(found.returns, episodes.returns, rtol=1e-6)
    for before, after in zip(episodes.episodes, found.episodes, strict=True):
        assert after.reward.dtype == np.float32
        assert not after.reward[:-1].any()
        assert after[0] is before[0]


def test_a_delayed_reward_that_no_transition_has_is_warned_of(episodes: EpisodeSet):
    cut = drop_last_successors(episodes)
    with pytest.warns(DataWarning, match="of 3 episodes no observation follows the last action"):
        delayed(cut)  # the fourth terminates: nothing has to follow


def test_rewards_of_every_task_get_the_mean_size_of_all(episodes: EpisodeSet):
    walk = replace(episodes, env="walk")
    slow = [e._replace(reward=-e.reward / 4) for e in episodes.episodes[:2]]
    nothing = [e._replace(reward=0 * e.reward) for e in episodes.episodes]
    both = join([walk, replace(walk, env="run", episodes=slow)])
    sizes = reward_factors(both)[both.tasks] * [np.abs(e.reward).sum() for e in both.episodes]
    means = [sizes[both.tasks == k].sum() / both.lengths[both.tasks == k].sum() for k in (0, 1)]
    assert means == pytest.approx(
        [np.abs(np.concatenate([e.reward for e in both.episodes])).mean()] * 2
    )
    assert reward_factors(walk).tolist() == [1]
    assert reward_factors(replace(walk, episodes=nothing)).tolist() == [1]
    idle = join([walk, replace(walk, env="run", episodes=nothing)])
    assert reward_factors(idle) == pytest.approx([0.5, 1])


def test_fingerprint_sees_every_array(episodes: EpisodeSet):
    original = fingerprint(episodes)
    assert original == fingerprint(replace(episodes, name="elsewhere"))
    first = episodes.episodes[0]
    for field in Episode._fields[:4]:
        changed = first._replace(**{field: np.logical_not(first.terminated)})
        if field != "terminated":
            array = np.copy(getattr(first, field))
            array.flat[-1] += 1e-3
            changed = first._replace(**{field: array})
        assert (
            fingerprint(replace(episodes, episodes=[changed, *episodes.episodes[1:]])) != original
        )
