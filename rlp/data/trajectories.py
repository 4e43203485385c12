"""Transitions that follow each other, with their rewards and what comes after, as batches."""

import jax
import jax.numpy as jnp

from rlp.data.dataset import NOT_KNOWN, Dataset, draw_rows, from_each
from rlp.types import Sources, Trajectory


def sample_trajectories(
    sources: Sources,
    key: jax.Array,
    batch_size: int,
    length: int,
    discount: jax.Array | float,
    last_reward: jax.Array | float,
) -> Trajectory:
    """Returns trajectories of `length` transitions, [B, K, ...].

    They begin at steps drawn uniformly, so that episodes weigh by their length. Of an episode that
    goes on, whose return is not known, all is padding.

    Args:
        sources: of the data.
        key: of the draw.
        batch_size: how many, B.
        length: of each, K.
        discount: of the rewards in a value.
        last_reward: of a step that terminates; 0: its own.
    """

    def draw(dataset: Dataset, key: jax.Array, size: int) -> Trajectory:
        start = draw_rows(key, size, dataset.step_rows, dataset.first, dataset.num_steps)
        reward = rewards(dataset, last_reward)
        value = values(dataset, reward, discount)
        return jax.vmap(lambda row: _trajectory(dataset, reward, value, row, length))(start)

    return from_each(sources, key, batch_size, draw)


def rewards(dataset: Dataset, last_reward: jax.Array | float) -> jax.Array:
    """Returns the rewards of all rows [N], with another one where the MDP terminated, if not 0."""
    ends = dataset.is_step & (dataset.discount == 0)
    return jnp.where(ends & (jnp.asarray(last_reward) != 0), last_reward, dataset.reward)


def values(dataset: Dataset, reward: jax.Array, discount: jax.Array | float) -> jax.Array:
    """Returns what follows on each row in its episode, [N]: r(t+1) + discount r(t+2) + ...

    A time limit does not bootstrap: nothing is known behind it.
    """

    def after(
        later: tuple[jax.Array, jax.Array], row: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        """Composes two maps of what follows on what is worth: value -> factor value + reward."""
        return row[0] * later[0], row[0] * later[1] + row[1]

    goes_on = jnp.append(dataset.is_step[1:], False)
    maps = (discount * goes_on, reward)
    _, worth = jax.lax.associative_scan(after, maps, reverse=True)
    return jnp.where(dataset.is_step & goes_on, jnp.append(worth[1:], 0), 0)


def _trajectory(
    dataset: Dataset, reward: jax.Array, value: jax.Array, start: jax.Array, length: int
) -> Trajectory:
    place = jnp.arange(length)
    is_step = dataset.is_step.at[start + place].get(mode="fill", fill_value=False)
    is_step = jnp.cumprod(is_step).astype(bool)
    last = start + jnp.sum(is_step) - 1
    row = jnp.minimum(start + place, last)
    is_known = dataset.return_to_go[start] != NOT_KNOWN
    return Trajectory(
        observation=dataset.observation[row].astype(jnp.float32),
        action=dataset.action[row],
        reward=reward[row],
        value=value[row],
        is_step=is_step,
        mask=(is_step | (dataset.discount[last] == 0)) & is_known,
    )
