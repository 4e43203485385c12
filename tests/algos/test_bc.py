from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp import population
from rlp.algos import bc
from rlp.data.dataset import make_dataset, unit_normalizer
from rlp.data.episodes import Episode, EpisodeSet
from rlp.optim import adam
from rlp.types import Spec, Step
from tests.vectors import assert_mlp_close, read_mlp


@pytest.mark.golden
def test_updates_agree_with_corl(golden: Callable[[str], Any]):
    vectors = golden("bc")
    actor = read_mlp(vectors, "init_actor")
    dims = tuple(actor[f"Dense_{i}"]["bias"].shape[0] for i in range(len(actor) - 1))
    config = bc.Config(hidden_dims=dims, learning_rate=float(vectors["hp_lr"]))
    state = bc.State(actor, adam(config.learning_rate).init(actor))
    num_steps = sum(name.endswith("_prediction") for name in vectors)
    assert num_steps > 0
    for step in range(num_steps):
        names = ("observations", "actions")
        batch = Step(*(jnp.asarray(vectors[f"step{step}_{n}"], jnp.float32) for n in names))
        noise = bc.Noise(jnp.zeros_like(batch.observation))
        grads, _ = jax.grad(bc._actor_loss, has_aux=True)(state.actor, config, batch, noise)
        assert_mlp_close(grads, vectors, f"step{step}_grad_actor", rtol=1e-5, atol=1e-5)
        mean, _ = bc._head(config, state.actor, batch.observation)
        expected = vectors[f"step{step}_prediction"]
        np.testing.assert_allclose(jnp.tanh(mean), expected, rtol=1e-5, atol=1e-5)
        state, metrics = bc._update(config, state, batch, noise)
        assert float(metrics["actor_loss"]) == pytest.approx(
            vectors[f"step{step}_actor_loss"], rel=1e-5
        )
        assert_mlp_close(state.actor, vectors, f"step{step}_after_actor", atol=1e-5)


def bandit(action: np.ndarray) -> EpisodeSet:
    """One-step episodes in one state with the given actions [N, 1]."""
    observation = np.ones((2, 1), np.float32)
    reward = np.zeros(1, np.float32)
    return EpisodeSet("bandit", "", [Episode(observation, a[None], reward, True) for a in action])


def learn(data: EpisodeSet, **setting: Any) -> tuple[bc.Config, Any]:
    dataset = make_dataset(data, unit_normalizer(1))
    config = bc.Config(batch_size=512, hidden_dims=(16,), learning_rate=3e-3, **setting)
    members = population.init(bc, [config], [0], Spec(1, 1, 1))
    states, *_ = population.train(
        bc, 1000, members.configs, members.keys, members.states, dataset, jnp.int32(0)
    )
    return config, jax.tree.map(lambda leaf: leaf[0], states)


def act(config: bc.Config, state: Any, seed: int = 0, temperature: float = 0) -> float:
    action, _ = bc.act(
        config,
        state.actor,
        (),
        jnp.ones(1),
        jnp.float32(0),
        jax.random.key(seed),
        jnp.float32(temperature),
    )
    return float(action[0])


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


def test_input_noise_is_added_to_the_observation():
    batch = Step(jnp.ones((8, 3)), jnp.zeros((8, 2)))
    config = bc.Config(hidden_dims=(4,), input_noise=0.5)
    state = bc.init(config, jax.random.key(0), Spec(3, 2, 1))
    noise = bc.Noise(jax.random.normal(jax.random.key(1), (8, 3)))
    noisy, _ = bc._actor_loss(state.actor, config, batch, noise)
    shifted = batch._replace(observation=batch.observation + 0.5 * noise.observation)
    clean, _ = bc._actor_loss(state.actor, bc.Config(hidden_dims=(4,)), shifted, noise)
    assert float(noisy) == pytest.approx(float(clean))
    assert float(noisy) != float(
        bc._actor_loss(state.actor, bc.Config(hidden_dims=(4,)), batch, noise)[0]
    )
