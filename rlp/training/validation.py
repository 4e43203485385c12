"""Members judged on held-out episodes, without a simulator."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlp.algos.values import lowest, reward_scale
from rlp.data.dataset import Dataset
from rlp.data.episodes import EpisodeSet
from rlp.evaluation import logged
from rlp.runs import Run
from rlp.runs.checkpoint import Saved
from rlp.runs.ranking import METRICS
from rlp.training import restore
from rlp.types import Algo, Metrics, Spec, State, Statistics, critics

ACTION_ERROR, TD_ERROR, FIRST_Q = (
    METRICS["action_error"], METRICS["td_error"], METRICS["first_q"],
)  # fmt: skip
IN_WORDS = {
    ACTION_ERROR: "mean squared difference to the actions, of choices the share that differs",
    TD_ERROR: "root mean square of r + gamma Q(s', pi(s')) - Q(s, a), in units of the rewards",
    FIRST_Q: "mean Q(s, pi(s)) of the first states, in units of the rewards",
}


class HeldOut(NamedTuple):
    """Episodes that nothing is learned from."""

    episodes: EpisodeSet
    dataset: Dataset  # the same as replay arrays, normalised as those that are learned from


def measures(
    run: Run, saved: Saved, held_out: HeldOut, statistics: Statistics
) -> dict[str, np.ndarray]:
    """Returns what is found on held-out episodes by name, [M] each: those of IN_WORDS.

    Of algorithms without critics that is the error of the actions alone. A policy that aims for a
    return aims for that of each episode.

    Args:
        run: whose members they are.
        saved: their states.
        held_out: the episodes.
        statistics: of the rewards that are learned from.
    """
    actors, episodes = restore.policy_of(run, saved), held_out.episodes
    action = logged.actions(run.algo, run.spec, actors, episodes, episodes.returns)
    given = actors.config, saved.states, statistics, held_out.dataset
    arrays = jnp.asarray(action), jnp.asarray(episodes.first_rows)
    return jax.device_get(_measures(run.algo, run.spec, *given, *arrays))


@partial(jax.jit, static_argnames=("algo", "spec"))
def _measures(
    algo: Algo,
    spec: Spec,
    configs: Any,
    states: State,
    statistics: Statistics,
    dataset: Dataset,
    actions: jax.Array,
    first_rows: jax.Array,
) -> Metrics:
    def one_member(member: tuple[Any, State, jax.Array]) -> Metrics:
        config, state, action = member
        difference = jnp.square(action - dataset.action)
        is_choice = spec.action.kind == "discrete"  # two entries of a one-hot differ by 1
        error = difference.sum(axis=1) / 2 if is_choice else difference.mean(axis=1)
        found = {ACTION_ERROR: jnp.mean(error, where=dataset.is_step)}
        q_of = critics(algo)
        if q_of is None:
            return found

        def q(rows: jax.Array, action: jax.Array) -> jax.Array:
            observation = dataset.observation[rows].astype(jnp.float32)
            return lowest(q_of(config, state, statistics, observation, action[rows]))

        rows, scale = dataset.transition_rows, reward_scale(config, statistics)
        backup = scale * dataset.reward[rows]
        backup += config.discount * dataset.discount[rows] * q(rows + 1, action)
        td_error = jnp.sqrt(jnp.mean(jnp.square(backup - q(rows, dataset.action))))
        first_q = jnp.mean(q(first_rows, action))
        return {**found, TD_ERROR: td_error / scale, FIRST_Q: first_q / scale}

    return jax.lax.map(one_member, (configs, states, actions))
