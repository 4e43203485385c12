"""The actions of policies in the states of logged episodes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from rlp.data.episodes import EpisodeSet
from rlp.evaluation import policy
from rlp.evaluation.policy import Policy
from rlp.types import Algo, Memory, Spec


def actions(
    algo: Algo, spec: Spec, actors: Policy, data_set: EpisodeSet, targets: np.ndarray
) -> np.ndarray:
    """Returns the modes of the actions [M, N, A] in every row of the data's replay arrays.

    Policies see each episode as it was logged, observations and rewards, so a policy with memory
    remembers what really happened. Rows without a known observation are zeros.

    Args:
        algo: the algorithm that acts.
        spec: the sizes it was built with.
        actors: the policies of M members.
        data_set: the episodes, T + 1 rows each.
        targets: the return to aim for in each episode [E]; only some policies use it.
    """
    longest = int(data_set.lengths.max()) + 1
    width = data_set.episodes[0].observation.shape[1]
    observation = np.zeros((longest, len(data_set.episodes), width), np.float32)
    before = np.zeros(observation.shape[:2], np.float32)  # the reward of the previous step
    for number, episode in enumerate(data_set.episodes):
        rows = (episode.observation - actors.origin).astype(np.float32)
        observation[: len(rows), number] = rows
        before[1 : len(episode.reward) + 1, number] = episode.reward
    through = _through(algo, spec, actors, *map(jnp.asarray, (observation, before, targets)))
    found = np.array(through)
    rows = []
    for number, episode in enumerate(data_set.episodes):
        of_episode = found[:, : len(episode.action) + 1, number]
        of_episode[:, len(episode.observation) :] = 0
        rows.append(of_episode)
    return np.concatenate(rows, axis=1)


@partial(jax.jit, static_argnames=("algo", "spec"))
def _through(
    algo: Algo,
    spec: Spec,
    actors: Policy,
    observation: jax.Array,
    reward: jax.Array,
    targets: jax.Array,
) -> jax.Array:
    """Returns actions [M, T, E, A] for observations [T, E, O] and the rewards before them."""
    count = actors.num_members
    keys = jax.random.split(jax.random.key(0), count)  # without effect at temperature 0

    def step(memory: Memory, now: tuple[jax.Array, ...]) -> tuple[Memory, jax.Array]:
        number, *seen = now
        of_all = (jnp.broadcast_to(each, (count, *each.shape)) for each in seen)
        action, memory = policy.act(algo, actors, memory, *of_all, keys, number)
        return memory, action

    memory = policy.start(algo, spec, actors, targets)
    _, found = jax.lax.scan(step, memory, (jnp.arange(len(reward)), observation, reward))
    return jnp.moveaxis(found, 1, 0)
