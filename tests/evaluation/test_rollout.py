from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import bc
from rlp.config import stack
from rlp.data.dataset import Normalizer
from rlp.envs import Bounds, Outcome
from rlp.evaluation import policy
from rlp.evaluation.rollout import (
    evaluate,
    evaluate_random,
    evaluation_seeds,
    most_steps,
    num_simulators,
    record,
    rollout,
)
from rlp.types import vectors
from tests.whole_runs import Ten


class Countdown:
    """Episode i ends after seeds[i] steps; the reward is the first action, the observation 5."""

    observation_dim, action_dim, max_episode_steps = 3, 2, 10
    action_space = Bounds(-np.ones(2), np.ones(2))

    def __init__(self, num_envs: int, terminates: bool = True) -> None:
        self.num_envs, self.terminates = num_envs, terminates

    def reset(
        self, seeds: Sequence[int] | None = None, which: Sequence[int] | None = None
    ) -> np.ndarray:
        assert which is None
        self.left = np.array(seeds)
        return np.full((self.num_envs, 3), 5.0)

    def physics(self) -> np.ndarray:
        return self.left[:, None].astype(np.float64)

    def step(self, action: np.ndarray) -> Outcome:
        assert action.shape == (self.num_envs, 2)
        self.left -= 1
        ended, no = self.left <= 0, np.zeros(self.num_envs, bool)
        flags = (ended, no) if self.terminates else (no, ended)
        return Outcome(np.full((self.num_envs, 3), 5.0), action[:, 0], *flags)


@pytest.mark.parametrize("terminates", [True, False])
def test_an_ended_episode_earns_nothing_more(terminates: bool):
    env = Countdown(3, terminates)
    steps = []
    found = rollout(lambda *_: np.ones((3, 2)), env, [4, 1, 2], steps.append)
    assert found.values.tolist() == [4, 1, 2]
    assert steps == [1, 2, 3, 4]


def test_the_last_reward_is_passed_to_the_policy():
    seen = []
    env = Countdown(1)

    def act(_: np.ndarray, reward: np.ndarray) -> np.ndarray:
        seen.append(float(reward[0]))
        return np.full((1, 2), len(seen))

    rollout(act, env, [3])
    assert seen == [0, 1, 2]


def test_members_act_with_their_own_parameters_on_normalised_observations():
    spec = vectors(3, 2, 4)
    configs = [bc.Config(hidden_dims=(), learning_rate=r) for r in (1e-3, 1e-4)]
    kernel = jnp.zeros((2, 3, 2)).at[1, 0, 0].set(1.0)
    params = {"output": {"kernel": kernel, "bias": jnp.zeros((2, 2))}}
    normalizer = Normalizer(jnp.full(3, 4.0), jnp.full(3, 2.0))  # (5 - 4) / 2
    members = policy.Policy(stack(configs), params, normalizer)
    found = evaluate(bc, spec, members, Countdown(6), [1, 2, 3])
    expected = [[0, 0, 0], np.tanh(0.5) * np.array([1, 2, 3])]
    np.testing.assert_allclose(found.values, expected, rtol=1e-5)
    assert found.measures == {}


class Judged(Countdown):
    """Says of an episode whether it had at least two steps, and how many."""

    def reset(
        self, seeds: Sequence[int] | None = None, which: Sequence[int] | None = None
    ) -> np.ndarray:
        self.lengths = np.array(seeds)
        return super().reset(seeds, which)

    def measures(self) -> dict[str, np.ndarray]:
        return {"success": self.lengths >= 2, "steps": self.lengths.copy()}


def test_what_an_environment_says_of_episodes_is_kept_round_by_round():
    spec = vectors(3, 2, 10)
    found = evaluate(bc, spec, two_members(), Judged(4), [1, 2, 3])  # two at once, then one
    assert found.measures["success"].tolist() == [[False, True, True]] * 2
    assert found.measures["steps"].tolist() == [[1, 2, 3]] * 2
    of_random = evaluate_random(Judged(2), [1, 2, 3])
    assert of_random.measures["steps"].tolist() == [1, 2, 3]


def two_members() -> policy.Policy:
    """Returns policies whose reward a step is 0 and tanh(5)."""
    configs = [bc.Config(hidden_dims=())] * 2
    kernel = jnp.zeros((2, 3, 2)).at[1, 0, 0].set(1.0)
    params = {"output": {"kernel": kernel, "bias": jnp.zeros((2, 2))}}
    return policy.Policy(stack(configs), params, Normalizer(jnp.zeros(3), jnp.ones(3)))


def test_environments_take_many_initial_states_in_rounds():
    spec, seeds, steps = vectors(3, 2, 4), [1, 2, 3, 4, 5], []
    acts = np.array([True, True])
    found = evaluate(bc, spec, two_members(), Countdown(4), seeds, steps.append, 0.0, acts)
    expected = [[0] * 5, np.tanh(5) * np.array(seeds)]
    np.testing.assert_allclose(found.values, expected, rtol=1e-5)
    assert steps == [1, 2, 11, 12, 13, 14, 21, 22, 23, 24, 25]  # two at once, of ten steps at most
    assert most_steps(Countdown(4), 2, 5) == 30
    alone = evaluate(bc, spec, two_members(), Countdown(4), seeds, acts=np.array([False, True]))
    np.testing.assert_array_equal(np.isnan(alone.values), [[True] * 5, [False] * 5])
    np.testing.assert_allclose(alone.values[1], expected[1], rtol=1e-5)


def test_the_environments_are_as_many_as_the_memory_has_room_for():
    assert num_simulators(4, 10) == 40
    assert num_simulators(4, 10, num_tasks=2) == 80
    assert num_simulators(64, 10) == 256
    assert num_simulators(1000, 10, num_tasks=2) == 2000  # one of each, at least


def test_an_invalid_simulation_costs_its_own_episode():
    broken, whole = (rollout(lambda *_: np.ones((3, 2)), Ten(3, b), [0, 1, 2]) for b in (1, -1))
    assert (broken.values.tolist(), whole.values.tolist()) == ([10, 2, 10], [10, 10, 10])
    assert broken.invalid.tolist() == [False, True, False]
    assert not whole.invalid.any()
    found = evaluate_random(Ten(3, 1), [0, 1, 2])
    expected = evaluate_random(Ten(3), [0, 1, 2])
    assert found.values[[0, 2]].tolist() == expected.values[[0, 2]].tolist()
    assert found.invalid.tolist() == [False, True, False]


def test_who_takes_no_part_has_no_return_and_does_not_act():
    def act(observation: np.ndarray, _: np.ndarray) -> np.ndarray:
        return np.where([[True], [False]], 1, np.nan) * np.ones_like(observation[:, :2])

    takes_part = np.array([True, False])
    found = rollout(act, Ten(2), [0, 1], takes_part=takes_part)
    np.testing.assert_array_equal(found.values, [10, np.nan])
    nobody = rollout(act, Ten(2), [0, 1], takes_part=np.zeros(2, bool))
    assert np.isnan(nobody.values).all()


def test_random_actions_are_reproducible_and_in_bounds():
    first, again = (evaluate_random(Countdown(4), [9] * 4).values for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first).max() < 9
    assert len(set(first.tolist())) == 4
    assert len(evaluate_random(Countdown(4), [9] * 10).values) == 10  # in three rounds


def test_evaluation_seeds_are_apart_from_training_seeds():
    assert min(evaluation_seeds(3)) > 100_000
    assert len(evaluation_seeds(3)) == 3


def test_recorded_episodes_have_their_own_length_and_physics():
    env = Countdown(2)
    recorded = record(lambda *_: np.full((2, 2), 0.5), env, [3, 1])
    assert [r.physics[:, 0].tolist() for r in recorded] == [[3, 2, 1, 0], [1, 0]]
    assert [r.episode.reward.tolist() for r in recorded] == [[0.5] * 3, [0.5]]
    assert [r.episode.observation.shape for r in recorded] == [(4, 3), (2, 3)]
    assert all(r.episode.terminated for r in recorded)
    assert not any(
        r.episode.terminated
        for r in record(lambda *_: np.ones((2, 2)), Countdown(2, False), [1, 2])
    )
