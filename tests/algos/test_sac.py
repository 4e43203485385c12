import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import sac
from rlp.algos.sac import Config
from rlp.errors import InputError
from rlp.types import UNKNOWN, Transition, vectors

SPEC = vectors(observation_dim=3, action_dim=2, max_episode_steps=10)


def batch(size: int) -> Transition:
    keys = jax.random.split(jax.random.key(1), 3)
    return Transition(
        jax.random.normal(keys[0], (size, 3)),
        jax.random.uniform(keys[1], (size, 2), minval=-1),
        jnp.ones(size),
        jnp.ones(size),
        jax.random.normal(keys[2], (size, 3)),
    )


def test_likeness_is_the_cosine_of_all_pairs_of_slopes():
    config = Config(hidden_dims=(8,), num_critics=3, diversify=True)
    state, some = sac.init(config, jax.random.key(0), SPEC, UNKNOWN), batch(5)

    def slope(critic: int, row: int) -> np.ndarray:
        def q(action: jax.Array) -> jax.Array:
            of_all = sac._q(config, state.critic, some.observation[row][None], action[None, None])
            return of_all[critic, 0, 0]

        return np.asarray(jax.grad(q)(some.action[row]))

    total = 0.0
    for row in range(5):
        slopes = [slope(critic, row) for critic in range(3)]
        units = [each / np.linalg.norm(each) for each in slopes]
        total += sum(units[i] @ units[j] for i in range(3) for j in range(3) if i != j)
    found = sac._likeness(config, state.critic, some)
    assert found == pytest.approx(total / 5 / 2, rel=1e-4)
    same = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape), state.critic)
    assert sac._likeness(config, same, some) == pytest.approx(3, rel=1e-4)


def test_diversity_keeps_critics_apart():
    def likeness(diversity: float) -> float:
        config = Config(
            hidden_dims=(16,), num_critics=4, batch_size=32, critic_learning_rate=1e-2,
            diversify=True, diversity=diversity,
        )  # fmt: skip
        state = sac.init(config, jax.random.key(0), SPEC, UNKNOWN)
        update, metrics = jax.jit(sac.update), {}
        for step in range(50):
            state, metrics = update(config, state, jnp.int32(step), jax.random.key(step), batch(32))
        return float(metrics["likeness"])

    assert likeness(5.0) < likeness(0.0) - 0.5


def test_one_critic_cannot_be_unlike_others():
    config = Config(num_critics=1, diversify=True)
    with pytest.raises(InputError, match="--diversify: it keeps several critics apart"):
        sac.init(config, jax.random.key(0), SPEC, UNKNOWN)
