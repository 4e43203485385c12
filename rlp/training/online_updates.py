"""What a device does with a round of steps: it stores them, and makes the updates after them."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from rlp.data.dataset import Dataset, Normalizer, normalize
from rlp.data.replay import Layout, Replay, end_episodes, insert
from rlp.training import population
from rlp.training.population import Alarms
from rlp.types import Algo, Metrics, Sources, Spec, State, Transition


@partial(
    jax.jit,
    static_argnames=("algo", "spec", "layout", "num_updates", "offline_share"),
    donate_argnames=("states", "replays"),
)
def learn(
    algo: Algo,
    spec: Spec,
    layout: Layout,
    num_updates: int,
    configs: Any,
    keys: jax.Array,
    states: State,
    replays: Replay,
    offline: Dataset | None,
    normalizer: Normalizer,
    new: Transition,
    chosen: jax.Array | bool,
    first_step: jax.Array,
    offline_share: float,
) -> tuple[State, Replay, Metrics, Alarms]:
    """Returns states and replays after storing `new` [M, num_envs, ...] and `num_updates` updates.

    The updates are those of the algorithm's last phase. In replays that choose, they use only steps
    that are `chosen` [M, num_envs]. `states` and `replays` are donated.
    """
    seen = jax.vmap(jax.vmap(partial(normalize, normalizer)))
    new = new._replace(
        observation=seen(new.observation), next_observation=seen(new.next_observation)
    )
    chosen = jnp.broadcast_to(chosen, new.reward.shape)
    replays = jax.vmap(lambda *each: insert(each[0], layout, *each[1:]))(replays, new, chosen)
    if num_updates == 0:
        return states, replays, {}, {}
    sources = Sources(offline=offline, replay=replays.data, offline_share=offline_share)
    states, metrics, alarms = population.train(
        algo, spec, num_updates, configs, keys, states, sources, first_step
    )
    return states, replays, metrics, alarms


@partial(jax.jit, static_argnames=("layout", "discount"), donate_argnames="replays")
def end(replays: Replay, layout: Layout, ended: jax.Array, discount: float | None) -> Replay:
    """Returns the replays after the ends of episodes [M, num_envs]; `replays` is donated."""
    return jax.vmap(lambda replay, each: end_episodes(replay, layout, each, discount))(
        replays, ended
    )
