import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import rebrac, td3
from rlp.types import UNKNOWN, Sarsa, Transition, vectors
from tests.probes import act, bandit, learn
from tests.rounding import of_updates


def test_the_backup_is_less_by_the_penalty_where_the_next_action_is_known():
    spec, keys = vectors(3, 2, 10), jax.random.split(jax.random.key(0), 4)
    transition = Transition(
        jnp.zeros((4, 3)), jnp.zeros((4, 2)), jnp.ones(4), jnp.array([1.0, 1.0, 0.0, 0.0]),
        jax.random.normal(keys[0], (4, 3)),
    )  # fmt: skip
    next_action = jax.random.uniform(keys[1], (4, 2))
    batch = Sarsa(transition, next_action, jnp.array([True, False, True, False]))
    noise = rebrac.Noise(10 * jax.random.normal(keys[2], (4, 2)))  # clipped, nearly all of it

    free, penalised = (
        rebrac.Config(hidden_dims=(8,), discount=0.5, critic_penalty=beta) for beta in (0.0, 3.0)
    )
    state = rebrac.init(free, keys[3], spec, UNKNOWN)
    action = td3.policy_action(free, state.actor, transition.next_observation)
    action = jnp.clip(action + jnp.clip(0.2 * noise.backup, -0.5, 0.5), -1, 1)
    distance = float(jnp.sum((action - next_action) ** 2, axis=-1)[0])
    less = rebrac._backup(free, state, batch, noise) - rebrac._backup(
        penalised, state, batch, noise
    )
    np.testing.assert_allclose(less, [0.5 * 3 * distance, 0, 0, 0], atol=1e-5)


@pytest.mark.parametrize("lowest", range(5))
def test_the_lowest_of_all_critics_counts(lowest: int):
    config = rebrac.Config(hidden_dims=(8,), num_critics=5, critic_penalty=0.0, discount=0.5)
    a, b = jax.random.uniform(jax.random.key(0), (2, 4, 3), minval=-1)
    transition = Transition(a, b[:, :2], jnp.zeros(4), jnp.ones(4), b)
    batch = Sarsa(transition, b[:, :2], jnp.ones(4, bool))
    state = rebrac.init(config, jax.random.key(1), vectors(3, 2, 10), UNKNOWN)  # every Q is near 0
    critic = jax.tree.map(
        lambda leaf: leaf.at[lowest].add(-10) if leaf.shape == (5, 1) else leaf,  # the last bias
        state.critic,
    )
    state = state._replace(critic=critic, target_critic=critic)
    backup = rebrac._backup(config, state, batch, rebrac.Noise(jnp.zeros((4, 2))))
    np.testing.assert_allclose(backup, -5, atol=0.1)
    _, metrics = rebrac._actor_loss(state.actor, config, state.critic, transition)
    assert metrics["actor_loss"] - metrics["distance"] == pytest.approx(
        1, rel=1e-5
    )  # -10 / -mean |-10|


def test_decayed_rates_are_whole_at_first_and_0_at_the_end():
    a, b, c, d = jax.random.uniform(jax.random.key(0), (4, 8, 3), minval=-1)
    batch = Sarsa(Transition(a, b[:, :2], b[:, 2], jnp.ones(8), c), d[:, :2], jnp.ones(8, bool))
    constant, decayed = (
        rebrac.Config(hidden_dims=(8,), num_updates=100, policy_every=1, decay_learning_rates=decay)
        for decay in (False, True)
    )
    state = rebrac.init(constant, jax.random.key(1), vectors(3, 2, 10), UNKNOWN)

    def change(config: rebrac.Config, step: int) -> list[float]:
        new, _ = rebrac.update(config, state, jnp.int32(step), jax.random.key(2), batch)
        old = jax.tree.leaves((state.actor, state.critic))
        pairs = zip(jax.tree.leaves((new.actor, new.critic)), old, strict=True)
        return [np.abs(x - y).max() for x, y in pairs]

    whole = change(constant, 50)
    np.testing.assert_allclose(change(decayed, 0), whole, **of_updates(1, 1e-3, num_terms=64))
    np.testing.assert_allclose(change(decayed, 50), np.divide(whole, 2), rtol=1e-2, atol=1e-6)
    assert max(change(decayed, 100)) == 0


def test_the_actors_penalty_holds_it_near_the_data():
    """The reward grows with the action, the data are near 0."""

    def learned(actor_penalty: float) -> float:
        config = rebrac.Config(
            hidden_dims=(32,), batch_size=64, actor_learning_rate=3e-3, critic_penalty=0.0,
            actor_penalty=actor_penalty,
        )  # fmt: skip
        state, _ = learn(rebrac, config, bandit(data, data[:, 0]), 1000)
        return act(rebrac, config, state)

    data = np.random.default_rng(0).uniform(-0.3, 0.3, (200, 1))
    assert learned(100.0) == pytest.approx(0, abs=0.1)
    assert learned(0.0) > 0.4
