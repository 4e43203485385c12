"""Batches of consecutive transitions, with their rewards and the values of what follows."""

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

    They begin at steps drawn uniformly, so episodes are weighted by their length. Trajectories of
    an unfinished episode are all padding, because its return is not known yet.

    Args:
        sources: where the data comes from.
        key: of the draw.
        batch_size: number of trajectories, B.
        length: transitions per trajectory, K.
        discount: of the rewards in a value.
        last_reward: replaces the reward of a step that terminates; 0: it keeps its own.
    """

    def draw(dataset: Dataset, key: jax.Array, size: int) -> Trajectory:
        start = draw_rows(key, size, dataset.step_rows, dataset.first, dataset.num_steps)
        reward = rewards(dataset, last_reward)
        value = values(dataset, reward, discount)
        return jax.vmap(lambda row: _trajectory(dataset, reward, value, row, length))(start)

    return from_each(sources, key, batch_size, draw)


def rewards(dataset: Dataset, last_reward: jax.Array | float) -> jax.Array:
    """Returns the rewards of all rows [N], with `last_reward` at terminations unless it is 0."""
    ends = dataset.is_step & (dataset.discount == 0)
    return jnp.where(ends & (jnp.asarray(last_reward) != 0), last_reward, dataset.reward)


def values(dataset: Dataset, reward: jax.Array, discount: jax.Array | float) -> jax.Array:
    """Returns the discounted rewards after each row, [N]: r(t+1) + discount r(t+2) + ...

    There is no bootstrap at a time limit: nothing is known after it.
    """

    def after(
        later: tuple[jax.Array, jax.Array], row: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        """Composes two maps of a row's value: value -> factor * value + reward."""
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
