"""DQN against its definitions, and on a problem whose values are known."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import dqn
from rlp.data.dataset import make_dataset, sample_n_steps, unit_normalizer
from rlp.data.episodes import Episode, EpisodeSet
from rlp.training import population
from rlp.types import UNKNOWN, Sources, Space, Spec, Transition

SPEC = Spec(Space((2,)), Space((3,), num_choices=3), 10)


def batch_of(reward: Any, discount: Any, choice: Any = (0,)) -> Transition:
    size = len(reward)
    states = jax.random.normal(jax.random.key(7), (2, size, 2))
    action = jax.nn.one_hot(jnp.array(choice), 3)
    return Transition(states[0], action, jnp.array(reward), jnp.array(discount), states[1])


def state_of(config: dqn.Config) -> dqn.State:
    first, second = (dqn.init(config, jax.random.key(seed), SPEC, UNKNOWN) for seed in (0, 1))
    return first._replace(target_critic=second.critic)


@pytest.mark.parametrize("double", [True, False])
def test_the_next_action_is_chosen_by_the_network_or_its_target(double: bool):
    config = dqn.Config(hidden_dims=(8,), double=double, discount=0.9)
    state, batch = state_of(config), batch_of([1.0, 2.0], [1.0, 0.0], (0, 1))
    ours, target = (
        dqn._quantiles(config, each, batch.next_observation)[..., 0]
        for each in (state.critic, state.target_critic)
    )
    assert (ours.argmax(1) != target.argmax(1)).any()  # else both would pass
    best = (ours if double else target).argmax(axis=1)
    expected = batch.reward + 0.9 * batch.discount * target[jnp.arange(2), best]
    np.testing.assert_allclose(dqn._backup(config, state, batch)[:, 0], expected, rtol=1e-6)


def test_the_loss_of_quantiles_is_that_of_the_paper():
    config = dqn.Config(hidden_dims=(8,), num_quantiles=4, huber=0.5)
    state, batch = state_of(config), batch_of([1.0, -2.0, 0.3], [1.0, 1.0, 0.0], (0, 1, 2))
    backup = jax.random.normal(jax.random.key(3), (3, 4))
    quantiles = np.asarray(dqn._quantiles(config, state.critic, batch.observation))
    expected = 0.0
    for row, choice in enumerate((0, 1, 2)):
        for i in range(4):
            for j in range(4):
                u = float(backup[row, j] - quantiles[row, choice, i])
                huber = u**2 / 2 if abs(u) <= 0.5 else 0.5 * (abs(u) - 0.25)
                expected += abs((i + 0.5) / 4 - (u < 0)) * huber / 0.5 / 4 / 3
    loss, metrics = dqn._loss(state.critic, config, batch, backup)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    gap = np.log(np.exp(quantiles.mean(-1)).sum(-1)) - quantiles.mean(-1)[[0, 1, 2], [0, 1, 2]]
    np.testing.assert_allclose(metrics["gap"], gap.mean(), rtol=1e-5)
    conservative = dataclasses.replace(config, cql_weight=2.0)
    penalised, _ = dqn._loss(state.critic, conservative, batch, backup)
    np.testing.assert_allclose(penalised - loss, 2 * gap.mean(), rtol=1e-4)


def test_the_target_moves_when_it_is_due():
    config = dqn.Config(hidden_dims=(8,), target_every=3, tau=1.0)
    state, batch = state_of(config), batch_of([1.0], [1.0])
    for step, is_due in ((0, False), (1, False), (2, True), (3, False)):
        after, _ = dqn.update(config, state, jnp.int32(step), jax.random.key(0), batch)
        new = jax.tree.leaves(after.critic) if is_due else jax.tree.leaves(state.target_critic)
        for a, b in zip(new, jax.tree.leaves(after.target_critic), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)


def chain(terminated: bool, known: bool = True) -> Any:
    """Returns an episode of 5 steps with rewards 1, 2, 4, 8, 16."""
    observation = np.arange(6.0 if known else 5.0, dtype=np.float32)[:, None]
    reward = 2.0 ** np.arange(5, dtype=np.float32)
    episode = Episode(observation, np.ones((5, 1), np.float32), reward, terminated)
    return make_dataset(EpisodeSet("", "", [episode]), unit_normalizer(1))


@pytest.mark.parametrize(("terminated", "known"), [(False, True), (True, True), (False, False)])
def test_steps_ahead_end_where_the_episode_does(terminated: bool, known: bool):
    sources = Sources(chain(terminated, known))
    drawn = jax.device_get(sample_n_steps(sources, jax.random.key(0), 100, 3, 0.5))
    rewards = 2.0 ** np.arange(5)
    last = 5 if known else 4
    for at, start in enumerate(drawn.observation[:, 0].astype(int)):
        steps = range(start, min(start + 3, last))
        total = sum(rewards[t] * 0.5 ** (t - start) for t in steps)
        assert drawn.reward[at] == total
        assert drawn.next_observation[at, 0] == steps[-1] + 1
        is_end = terminated and steps[-1] == 4
        assert drawn.discount[at] == (0 if is_end else 0.5 ** (len(steps) - 1))


@pytest.mark.slow
@pytest.mark.parametrize("changed", [{}, {"num_quantiles": 8}, {"num_steps_ahead": 3}])
def test_values_of_a_chain_are_found(changed: dict[str, Any]):
    """In a state 0 to 3 choice 1 goes on and choice 0 ends; the fourth pays 1."""
    rng, episodes = np.random.default_rng(0), []
    for _ in range(400):
        states, choices, rewards = [0], [], []
        while True:
            choice = int(rng.uniform() < 0.8)
            choices.append(choice)
            rewards.append(float(choice == 1 and states[-1] == 3))
            states.append(min(states[-1] + 1, 3))
            if choice == 0 or rewards[-1]:
                break
        episodes.append(
            Episode(
                np.eye(4, dtype=np.float32)[states],
                np.eye(2, dtype=np.float32)[choices],
                np.array(rewards, np.float32),
                terminated=True,
            )
        )
    data = make_dataset(EpisodeSet("", "", episodes, discrete=True), unit_normalizer(4))
    spec = Spec(Space((4,)), Space((2,), num_choices=2), 4)
    config = dqn.Config(hidden_dims=(32,), discount=0.9, learning_rate=3e-3, tau=0.02, **changed)
    members = population.init(dqn, [config], [0], spec, data.statistics)
    states, *_ = population.train(dqn, spec, 3000, *members, Sources(data), jnp.int32(0))
    critic = jax.tree.map(lambda leaf: leaf[0], states.critic)
    q = dqn._quantiles(config, critic, jnp.eye(4)).mean(axis=-1)
    if "num_steps_ahead" not in changed:  # whose rewards are those of the data's choices
        np.testing.assert_allclose(q[:, 1], 0.9 ** np.arange(3, -1, -1), atol=0.05)
    assert q.argmax(axis=1).tolist() == [1, 1, 1, 1]
    np.testing.assert_allclose(q[:, 0], 0, atol=0.05)
