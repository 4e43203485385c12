from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import bc
from rlp.data.episodes import EpisodeSet
from rlp.types import UNKNOWN, Step, vectors
from tests import probes


def bandit(action: np.ndarray) -> EpisodeSet:
    return probes.bandit(action, np.zeros(len(action)))


def learn(data: EpisodeSet, **setting: Any) -> tuple[bc.Config, Any]:
    config = bc.Config(batch_size=512, hidden_dims=(16,), learning_rate=3e-3, **setting)
    return config, probes.learn(bc, config, data, 1000)[0]


def act(config: bc.Config, state: Any, seed: int = 0, temperature: float = 0) -> float:
    return probes.act(bc, config, state, seed, temperature)


def test_the_deterministic_head_learns_the_mean_action():
    action = np.array([[-0.2], [0.6]] * 50, np.float32)
    config, state = learn(bandit(action))
    assert act(config, state) == pytest.approx(0.2, abs=0.03)
    assert act(config, state, temperature=1) == act(config, state)


def test_the_stochastic_head_learns_the_distribution():
    pre_tanh = np.random.default_rng(0).normal(0.5, 0.3, (2000, 1))
    config, state = learn(bandit(np.tanh(pre_tanh).astype(np.float32)), head="stochastic")
    assert act(config, state) == pytest.approx(np.tanh(0.5), abs=0.03)
    samples = [act(config, state, seed, temperature=1) for seed in range(300)]
    assert np.std(np.arctanh(samples)) == pytest.approx(0.3, abs=0.04)


def test_the_categorical_head_learns_the_shares_of_choices():
    chosen = np.array([0] * 100 + [1] * 600 + [2] * 300)
    config, state = learn(bandit(np.eye(3, dtype=np.float32)[chosen]), head="categorical")

    def choice(seed: int, temperature: float) -> int:
        action, _ = bc.policy.act(
            config, state.actor, (), jnp.ones(1), jnp.float32(0), jax.random.key(seed),
            jnp.float32(temperature),
        )  # fmt: skip
        assert sorted(action.tolist()) == [0, 0, 1]
        return int(jnp.argmax(action))

    assert choice(0, temperature=0) == 1
    drawn = [choice(seed, temperature=1) for seed in range(400)]
    np.testing.assert_allclose(np.bincount(drawn) / 400, [0.1, 0.6, 0.3], atol=0.08)


def test_input_noise_is_added_to_the_observation():
    batch = Step(jnp.ones((8, 3)), jnp.zeros((8, 2)))
    config = bc.Config(hidden_dims=(4,), input_noise=0.5)
    state = bc.init(config, jax.random.key(0), vectors(3, 2, 1), UNKNOWN)
    noise = bc.Noise(jax.random.normal(jax.random.key(1), (8, 3)))
    noisy, _ = bc._actor_loss(state.actor, config, batch, noise)
    shifted = batch._replace(observation=batch.observation + 0.5 * noise.observation)
    clean, _ = bc._actor_loss(state.actor, bc.Config(hidden_dims=(4,)), shifted, noise)
    assert float(noisy) == pytest.approx(float(clean), rel=1e-5)
    assert float(noisy) != float(
        bc._actor_loss(state.actor, bc.Config(hidden_dims=(4,)), batch, noise)[0]
    )
