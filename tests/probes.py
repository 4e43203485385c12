"""Problems with known answers, small enough to be learned in a second."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlp.data.dataset import make_dataset, unit_normalizer
from rlp.data.episodes import Episode, EpisodeSet
from rlp.training import population
from rlp.training.population import Alarms
from rlp.types import Algo, Sources, Space, phase_at, vectors


def chain(length: int, terminated: bool = True) -> EpisodeSet:
    """Episodes through numbered one-hot states, random actions, a reward of 1 in the last step."""
    rng = np.random.default_rng(0)
    observation = np.eye(length + 1, dtype=np.float32)
    reward = np.zeros(length, np.float32)
    reward[-1] = 1
    actions = rng.uniform(-1, 1, (50, length, 1)).astype(np.float32)
    return EpisodeSet("", "", [Episode(observation, a, reward, terminated) for a in actions])


def bandit(action: np.ndarray, reward: np.ndarray, terminated: bool = True) -> EpisodeSet:
    """Episodes of one step in one state, with the given actions [N, 1] and rewards [N]."""
    one = np.ones((2, 1), np.float32)
    made = [
        Episode(one, a[None].astype(np.float32), np.array([r], np.float32), terminated)
        for a, r in zip(action, reward, strict=True)
    ]
    return EpisodeSet("", "", made)


def learn(algo: Algo, config: Any, data: EpisodeSet, num_updates: int) -> tuple[Any, Alarms]:
    """Returns the state of one member after training, and its alarms."""
    width, action_dim = (array.shape[1] for array in data.episodes[0][:2])
    dataset = make_dataset(data, unit_normalizer(width))
    spec = vectors(width, action_dim, 10)
    if getattr(config, "head", "") == "categorical":
        spec = spec._replace(action=Space((action_dim,), num_choices=action_dim))
    members = population.init(algo, [config], [0], spec, dataset.statistics)
    phase = phase_at(algo, config, 0).number
    states, _, alarms = population.train(
        algo, spec, num_updates, *members, Sources(dataset), jnp.int32(0), phase
    )
    return jax.tree.map(lambda leaf: leaf[0], (states, alarms))


def act(algo: Algo, config: Any, state: Any, seed: int = 0, temperature: float = 0) -> float:
    """Returns the action in the state of `bandit`; temperature 0 is the mode."""
    action, _ = algo.policy.act(
        config, algo.actor(config, state), (), jnp.ones(1), jnp.float32(0),
        jax.random.key(seed), jnp.float32(temperature),
    )  # fmt: skip
    return float(action[0])
