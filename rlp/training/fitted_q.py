"""Fitted Q evaluation of several policies at once: estimates their returns from logged data."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from rlp.algos import fqe
from rlp.algos.fqe import Config
from rlp.algos.values import q_bound, reward_scale
from rlp.data.dataset import fit_normalizer, make_dataset, statistics_of
from rlp.data.episodes import EpisodeSet, reward_factors
from rlp.system import devices, memory
from rlp.training import population
from rlp.training.start import spec_of
from rlp.types import NEVER, NOT_FINITE, Sources

CHUNK = 1000  # updates between two moves of the progress bar


def values(
    data_set: EpisodeSet,
    policy_action: np.ndarray,
    config: Config,
    seed: int = 0,
    show: Callable[[int], None] = lambda _: None,
) -> np.ndarray:
    """Returns Q of each policy in the first state of each episode [M, E], NaN if it diverged.

    That is the discounted sum of rewards that the policy would earn from there.

    Args:
        data_set: the episodes.
        policy_action: the policies' actions in the rows of the replay arrays, [M, N, A].
        config: of the evaluation.
        seed: of all critics.
        show: called with the number of updates so far.

    Raises:
        InputError: if the actions do not fit in memory.
    """
    hint = "estimate fewer policies at once"
    memory.check("actions of the policies", policy_action.nbytes, memory.of_devices(), hint)
    num_members, spec = len(policy_action), spec_of(data_set)
    normalizer = fit_normalizer(data_set)
    dataset = make_dataset(data_set, normalizer, factors=reward_factors(data_set))
    placement = devices.placement(num_members, batch_devices=1)
    members = population.init(
        fqe, [config] * num_members, [seed] * num_members, spec, dataset.statistics
    )
    members = devices.place(members, placement.members)
    sources = Sources(
        offline=devices.place(dataset, placement.everywhere),
        policy_action=devices.place(policy_action, placement.members),
    )
    diverged = np.full(num_members, NEVER, np.int32)
    for step in range(0, config.num_updates, CHUNK):
        states, _, alarms = population.train(
            fqe, spec, min(CHUNK, config.num_updates - step), members.configs, members.keys,
            members.states, sources, jnp.int32(step), placement=placement,
        )  # fmt: skip
        members = members._replace(states=states)
        diverged = np.minimum(diverged, np.asarray(alarms[NOT_FINITE]))
        show(min(step + CHUNK, config.num_updates))
    first_rows = jnp.asarray(data_set.first_rows)
    found = np.asarray(_values_in(config, members.states, sources, first_rows))
    return np.where((diverged == NEVER)[:, None], found, np.nan)


@jax.jit
def _values_in(config: Config, states: fqe.State, sources: Sources, rows: jax.Array) -> jax.Array:
    """Returns Q of each policy in some rows of the data [M, R], in units of the data's rewards."""
    statistics = statistics_of(sources)
    bound, scale = q_bound(config, statistics), reward_scale(config, statistics)
    observation = sources.offline.observation[rows]

    def of_policy(state: fqe.State, action: jax.Array) -> jax.Array:
        q = fqe.q_values(config, state.critic, bound, observation, action[rows])
        return jnp.mean(q, axis=0) / scale

    return jax.vmap(of_policy)(states, sources.policy_action)
