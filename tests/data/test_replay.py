"""The replay against a plain list of what was put into it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlp.data.dataset import NOT_KNOWN, sample_sarsa, sample_segments, sample_transitions
from rlp.data.replay import Layout, Replay, empty_replay, end_episodes, insert, layout
from rlp.types import Sources, Transition, vectors

SPEC = vectors(observation_dim=1, action_dim=1, max_episode_steps=5)
DISCOUNT = 0.9
put = jax.jit(insert, static_argnames="layout")
end = jax.jit(end_episodes, static_argnames=("layout", "discount"))


class Played:
    """Episodes of random lengths in several environments; every observation is another number."""

    def __init__(self, made: Layout, seed: int, share: float = 1) -> None:
        self.layout, self.rng, self.share = made, np.random.default_rng(seed), share
        replays = empty_replay(made, SPEC, 1, chooses=share < 1)
        self.replay: Replay = jax.tree.map(lambda x: x[0], replays)
        self.count, self.rounds = 0.0, 0
        self.steps: list[dict[str, Any]] = []  # all that were ever taken
        self.now = [self._number() for _ in range(made.num_envs)]
        self.episodes: list[list[dict[str, Any]]] = [[] for _ in range(made.num_envs)]

    def _number(self) -> float:
        self.count += 1
        return self.count

    def round(self) -> None:
        taken, ended = [], np.zeros(self.layout.num_envs, bool)
        for env, episode in enumerate(self.episodes):
            step = {
                "observation": self.now[env], "next": self._number(), "action": self.rng.uniform(),
                "reward": float(self.rng.integers(-3, 4)), "discount": 1.0, "round": self.rounds,
                "t": len(episode), "of": episode,
            }  # fmt: skip
            episode.append(step)
            terminates = self.rng.uniform() < 0.2
            step["discount"] = float(not terminates)
            ended[env] = terminates or len(episode) == self.layout.longest
            self.now[env] = step["next"]
            taken.append(step)
        columns = [
            jnp.array([[step[name]] for step in taken], jnp.float32)
            for name in ("observation", "action", "reward", "discount", "next")
        ]
        columns[2:4] = [column[:, 0] for column in columns[2:4]]
        chosen = np.ones(len(taken), bool)
        if self.share < 1:
            chosen = self.rng.uniform(size=len(taken)) < self.share
        for step, flag in zip(taken, chosen, strict=True):
            step["chosen"] = bool(flag)
        new = Transition(*columns)
        self.replay = put(self.replay, layout=self.layout, new=new, chosen=jnp.asarray(chosen))
        self.rounds += 1
        self.steps += taken
        if ended.any():
            self.replay = end(self.replay, self.layout, jnp.asarray(ended), DISCOUNT)
            self.floor(np.flatnonzero(ended).tolist())
        for env in np.flatnonzero(ended):
            for step in self.episodes[env]:
                rewards = [each["reward"] for each in self.episodes[env]]
                step["to_go"], step["return"] = sum(rewards[step["t"] :]), sum(rewards)
            self.episodes[env], self.now[env] = [], self._number()

    def floor(self, ended: list[int]) -> None:
        lowest = min(0.0, *(step["reward"] for step in self.steps))
        for env in ended:
            value = lowest / (1 - DISCOUNT)
            for step in reversed(self.episodes[env]):
                step["floor"] = value = step["reward"] + step["discount"] * DISCOUNT * value

    def kept(self) -> list[dict[str, Any]]:
        first = int(self.replay.first_round)
        return [step for step in self.steps if step["round"] >= first and step["chosen"]]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), rounds=st.integers(1, 60), rows=st.sampled_from([12, 14, 33]))
def test_a_replay_holds_the_last_rounds_as_they_were(seed: int, rounds: int, rows: int):
    played = Played(Layout(num_envs=2, rows_per_env=rows, longest=5), seed)
    for _ in range(rounds):
        played.round()
    data, kept = jax.device_get(played.replay.data), played.kept()
    assert int(data.num_transitions) == len(kept) >= min(2 * rounds, 2)
    if rounds >= rows:
        assert len(kept) >= 2 * (rows // 2 - 6)  # the worst: all episodes of one step
    places = (data.first + np.arange(len(kept))) % len(data.transition_rows)
    found = {data.observation[row, 0]: row for row in data.transition_rows[places]}
    assert len(found) == len(kept)
    for step in kept:
        row = found[np.float32(step["observation"])]
        assert data.is_step[row]
        assert data.observation[row + 1, 0] == np.float32(step["next"])
        assert data.action[row, 0] == np.float32(step["action"])
        assert (data.reward[row], data.discount[row]) == (step["reward"], step["discount"])
        assert data.timestep[row] == step["t"]
        assert data.return_to_go[row] == step.get("to_go", NOT_KNOWN)
        assert data.episode_return[row] == step.get("return", NOT_KNOWN)
        assert data.value_floor[row] == pytest.approx(step.get("floor", NOT_KNOWN), abs=1e-4)
    rewards = [step["reward"] for step in played.steps]
    assert (data.lowest_reward, data.highest_reward) == (min(rewards), max(rewards))
    mean = data.sum_abs_reward / data.num_steps
    np.testing.assert_allclose(mean, np.mean(np.abs(rewards)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("delayed", [False, True])
def test_batches_of_a_replay_that_went_round_are_of_one_episode_each(delayed: bool):
    played = Played(Layout(num_envs=3, rows_per_env=20, longest=5), 0)
    for _ in range(70):
        played.round()
    sources, keys = Sources(replay=played.replay.data), jax.random.split(jax.random.key(0), 3)
    steps = {np.float32(step["observation"]): step for step in played.kept()}
    batch = jax.device_get(sample_transitions(sources, keys[0], 400))
    drawn = {float(each) for each in batch.observation[:, 0]}
    assert drawn == set(map(float, steps))  # of some 40, all are drawn
    sarsa = jax.device_get(sample_sarsa(sources, keys[1], 100))
    for at, has_next in enumerate(sarsa.has_next_action):
        step = steps[sarsa.transition.observation[at, 0]]
        later = step["of"][step["t"] + 1 :]
        assert has_next == bool(later)
        if has_next:
            assert sarsa.next_action[at, 0] == np.float32(later[0]["action"])
    segment = jax.device_get(sample_segments(sources, keys[2], 100, 3, delayed))
    for at in range(100):
        for place in np.flatnonzero(segment.mask[at]):
            step = steps[segment.observation[at, place, 0]]
            assert segment.timestep[at, place] == step["t"]
            expected = step["return"] if delayed else step["to_go"]
            assert segment.return_to_go[at, place] == expected
    assert np.isfinite(segment.return_to_go).all()
    going_on = {s["observation"] for s in steps.values() if "to_go" not in s}
    assert not going_on & set(segment.observation[segment.mask][:, 0].tolist())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), rounds=st.integers(1, 60), share=st.sampled_from([0.0, 0.3]))
def test_only_chosen_steps_are_drawn(seed: int, rounds: int, share: float):
    played = Played(Layout(num_envs=2, rows_per_env=14, longest=5), seed, share)
    for _ in range(rounds):
        played.round()
    data, kept = jax.device_get(played.replay.data), played.kept()
    assert int(data.num_transitions) == int(data.num_steps) == len(kept)
    rows = data.transition_rows[(data.first + np.arange(len(kept))) % len(data.transition_rows)]
    expected = [step["observation"] for step in kept]
    np.testing.assert_array_equal(data.observation[rows, 0], np.array(expected, np.float32))
    if kept:
        batch = sample_transitions(Sources(replay=data), jax.random.key(seed), 30)
        assert set(np.asarray(batch.observation[:, 0])) <= set(np.array(expected, np.float32))


def test_episodes_of_one_length_fill_the_rows():
    assert layout(num_envs=2, capacity=24, longest=4) == Layout(2, 15, 4)
    assert layout(num_envs=2, capacity=1, longest=4).rows_per_env == 5
