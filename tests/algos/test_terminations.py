"""When episodes end, against gymnasium's own environments."""

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import terminations
from rlp.data.dataset import Normalizer
from rlp.errors import InputError


@pytest.mark.parametrize("name", ["Hopper-v5", "Walker2d-v5"])
def test_episodes_end_where_gymnasiums_do(name: str):
    env = gymnasium.make(name).unwrapped
    known = terminations.of("", f"gym:{name}", has_terminations=True)
    scale = Normalizer(
        jnp.full(env.observation_space.shape, 0.3), jnp.full(env.observation_space.shape, 2.0)
    )
    rng, found, expected = np.random.default_rng(0), [], []
    for seed in range(8):
        env.reset(seed=seed)
        terminated = False
        for _ in range(200):
            observation, _, terminated, _, _ = env.step(
                0.5 * rng.uniform(-1, 1, env.action_space.shape)
            )
            normalised = (jnp.asarray(observation, jnp.float32) - scale.mean) / scale.std
            found.append(bool(terminations.has_ended(known, scale, normalised[None])[0]))
            expected.append(bool(terminated))
            if terminated:
                break
    assert found == expected
    assert 0 < sum(expected) < len(expected)


def test_where_data_never_terminates_episodes_never_end():
    assert terminations.of("", "walker-walk", has_terminations=False) == "never"
    assert not terminations.has_ended("never", None, jnp.zeros((3, 2))).any()


def test_one_that_is_asked_for_is_taken():
    assert terminations.of("hopper", "gym:Ant-v5", has_terminations=True) == "hopper"


def test_what_is_not_known_is_refused():
    with pytest.raises(InputError, match="gym:Ant-v5 ends episodes, and it is not known when"):
        terminations.of("", "gym:Ant-v5", has_terminations=True)
    with pytest.raises(InputError, match="--termination=fell: there is no such function; never, h"):
        terminations.of("fell", "walker-walk", has_terminations=False)


def test_functions_of_others_are_registered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(terminations, "ENDS", dict(terminations.ENDS))
    terminations.register("high", lambda observation: observation[0] > 1)
    scale = Normalizer(jnp.zeros(2), jnp.ones(2))
    ended = terminations.has_ended("high", scale, jnp.array([[0.5, 0], [1.5, 0]]))
    assert ended.tolist() == [False, True]
    with pytest.raises(InputError, match="another termination function"):
        terminations.register("high", lambda observation: observation[0] > 2)
