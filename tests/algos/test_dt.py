"""What is the Decision Transformer's own: returns to go, the window, padding, dropout."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import dt
from rlp.data.episodes import Episode, EpisodeSet
from rlp.errors import InputError
from rlp.types import UNKNOWN, vectors
from tests.probes import bandit, learn

SMALL: dict[str, Any] = {
    "context": 3, "embed_dim": 16, "num_layers": 1, "return_scale": 1.0, "dropout": 0.0,
    "learning_rate": 3e-3, "warmup_updates": 1, "batch_size": 32,
}  # fmt: skip


def play(config: dt.Config, params: Any, target: float, observations: np.ndarray, reward: float):
    """Returns the actions [T, A] in observations [T, O], each answered with the same reward."""
    memory = dt.policy.init_memory(
        config, vectors(observations.shape[1], 1, 10), jnp.float32(target)
    )
    actions = []
    for t, observation in enumerate(observations):
        action, memory = dt.policy.act(
            config, params, memory, jnp.asarray(observation), jnp.float32(reward if t else 0),
            jax.random.key(0), jnp.float32(0),
        )  # fmt: skip
        actions.append(action)
    return np.stack(actions), memory


def test_it_achieves_the_return_that_it_is_asked_for():
    action = np.repeat([[-0.5], [0.5]], 100, axis=0)
    config = dt.Config(**{**SMALL, "context": 1})
    state, _ = learn(dt, config, bandit(action, 2 * action[:, 0]), 400)
    for target in (-1.0, 1.0):
        taken, _ = play(config, state.actor, target, np.ones((1, 1), np.float32), 0.0)
        assert taken.item() == pytest.approx(target / 2, abs=0.1)


def test_it_remembers_what_it_saw_before():
    """The last action repeats the first observation, which is out of sight by then."""
    rng = np.random.default_rng(0)
    made = []
    for sign in rng.choice([-1.0, 1.0], 100):
        observation = np.array([[sign], [0], [0], [0]], np.float32)
        action = np.array([[0], [0], [0.5 * sign]], np.float32)
        made.append(Episode(observation, action, np.zeros(3, np.float32), True))
    config = dt.Config(**SMALL)
    state, _ = learn(dt, config, EpisodeSet("", "", made), 400)
    for sign in (-1.0, 1.0):
        observations = np.array([[sign], [0], [0]], np.float32)
        taken, _ = play(config, state.actor, 0.0, observations, 0.0)
        np.testing.assert_allclose(taken[:, 0], [0, 0, 0.5 * sign], atol=0.1)


@pytest.mark.parametrize(("mode", "left"), [("normal", [9, 7, 5, 3]), ("delayed", [9, 9, 9, 9])])
def test_rewards_are_taken_off_the_return_to_go(mode: Any, left: list[float]):
    config = dt.Config(**SMALL, mode=mode)
    state = dt.init(config, jax.random.key(0), vectors(1, 1, 10), UNKNOWN)
    _, memory = play(config, state.actor, 9.0, np.ones((4, 1), np.float32), 2.0)
    assert memory.segment.return_to_go.tolist() == left[1:]  # the last 3 of 4 steps
    assert memory.segment.timestep.tolist() == [1, 2, 3]
    assert memory.segment.mask.all()


def test_padding_and_later_steps_are_not_seen():
    config = dt.Config(**SMALL)
    params = dt.init(config, jax.random.key(0), vectors(2, 1, 10), UNKNOWN).actor
    segment = jax.tree.map(jnp.ones_like, dt._empty(config, vectors(2, 1, 10)))
    segment = segment._replace(mask=jnp.array([False, True, True]))
    others = jnp.array([0.0, 1.0, 0.0])  # the first step is padding, the last is later
    other = segment._replace(
        observation=segment.observation * others[:, None],
        action=segment.action * others[:, None],
        return_to_go=segment.return_to_go * others,
    )
    first, second = (jnp.tanh(dt._predict(config, params, x)) for x in (segment, other))
    np.testing.assert_array_equal(first[1], second[1])
    assert first[2] != second[2]


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"context": 11}, "the longest episode has 10"), ({"num_heads": 3}, "must divide embed_dim")],
)
def test_settings_that_cannot_be(changed: dict[str, int], message: str):
    with pytest.raises(InputError, match=message):
        dt.init(dt.Config(**{**SMALL, **changed}), jax.random.key(0), vectors(1, 1, 10), UNKNOWN)
