from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import bc, dt
from rlp.data.dataset import Normalizer
from rlp.data.episodes import EpisodeSet
from rlp.evaluation import logged, policy
from rlp.evaluation.policy import Policy
from rlp.testing import SPEC
from rlp.training import population
from rlp.types import UNKNOWN

CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "without memory": (bc, {"hidden_dims": (8,)}),
    "with memory": (dt, {"embed_dim": 8, "num_layers": 1, "num_heads": 1, "context": 4}),
}


def policies(algo: Any, settings: dict[str, Any]) -> Policy:
    configs, _, states = population.init(algo, [algo.Config(**settings)] * 2, [0, 1], SPEC, UNKNOWN)
    normalizer = Normalizer(jnp.arange(4.0), jnp.full(4, 2.0))
    return policy.from_states(algo, configs, states, normalizer, np.full(4, 0.25))


@pytest.mark.parametrize("case", CASES)
def test_actions_are_those_of_a_policy_that_lives_through_the_episodes(
    case: str, episodes: EpisodeSet
):
    algo, settings = CASES[case]
    actors, aims = policies(algo, settings), np.array([1.0, 2.0, 3.0, 4.0])
    found = logged.actions(algo, SPEC, actors, episodes, aims)
    assert found.shape == (2, (episodes.lengths + 1).sum(), 2)
    keys, row = jax.random.split(jax.random.key(0), 2), 0
    for aim, episode in zip(aims, episodes.episodes, strict=True):
        memory = policy.start(algo, SPEC, actors, jnp.array([aim]))
        before = np.append(0, episode.reward)
        for t, observation in enumerate(episode.observation):
            seen = jnp.broadcast_to(observation - 0.25, (2, 1, 4))
            reward = jnp.full((2, 1), before[t])
            action, memory = policy.act(algo, actors, memory, seen, reward, keys, t)
            np.testing.assert_allclose(found[:, row], action[:, 0], atol=1e-5)
            row += 1
    assert len(np.unique(found.round(4))) > 50


def test_a_row_whose_observation_is_not_known_is_zeros(episodes: EpisodeSet):
    first, *others = episodes.episodes
    cut = first._replace(observation=first.observation[:-1])
    data = EpisodeSet("cut", "", [cut, *others])
    actors = policies(*CASES["without memory"])
    found = logged.actions(bc, SPEC, actors, data, np.zeros(4))
    whole = logged.actions(bc, SPEC, actors, episodes, np.zeros(4))
    number = len(first.action)
    assert (found[:, number] == 0).all()
    np.testing.assert_array_equal(np.delete(found, number, 1), np.delete(whole, number, 1))
