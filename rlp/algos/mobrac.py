"""ReBRAC in a learned model: MoBRAC (2504.11453, as the code EmptyJackson/unifloral, f2dc127).

First the dynamics are learned (`rlp.algos.dynamics`). Then ReBRAC's update, unchanged, learns from
batches of which a share are transitions of the data and the others steps in the model, taken by the
policy itself (`rlp.algos.model_rollouts`). As in their code, the actor also stays near the actions
of these steps. The critics' penalty counts on the data only: the action after a step in the model
is not stored.
"""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlp.algos import dynamics, model_rollouts, rebrac, td3, terminations
from rlp.algos.model_rollouts import Rollouts
from rlp.algos.values import lowest, scale_rewards
from rlp.config import Positive, config
from rlp.data.dataset import statistics_of
from rlp.data.episodes import EpisodeSet
from rlp.errors import InputError
from rlp.types import (
    Limits,
    Metrics,
    Params,
    Phase,
    Preparation,
    Sarsa,
    Sources,
    Spec,
    Statistics,
    Transition,
)

SUPPORTS = rebrac.SUPPORTS
NEEDS_REWARDS: bool = True


@config
class Config(rebrac.Config, dynamics.Config, model_rollouts.Config):
    """Hyperparameters of MoBRAC, and those of ReBRAC, of the dynamics and of rollouts in them.

    They are those of configs/unifloral/mobrac.yaml, which tunes the penalties for each data set.
    Differently from there, the model's training stops by held-out episodes, and it is part of the
    updates; observations go into it normalised, and the actor has no LayerNorm, as in ReBRAC.
    """

    termination: str = ""  # function that says when episodes end (default: the environment's)
    num_draws: Positive = 10  # of each network for a backup, which mobile compares


PRESETS: dict[str, dict[str, Any]] = {
    "light": {  # sized for two CPU cores
        **rebrac.PRESETS["light"],
        "num_updates": 30_000,
        "model_updates": 6_000,
        "check_every": 1_000,
        "num_critics": 2,
        "actor_penalty": 0.01,  # what the model costs where it is uncertain does most of the work
        "num_rollouts": 10_000,
        "num_kept": 2,
        "rollout_noise": 0.1,
        "real_share": 0.8,
    },
    "paper": rebrac.PRESETS["paper"],
}


class State(NamedTuple):
    """What training carries."""

    agent: td3.State
    model: dynamics.State
    rollouts: Rollouts


class Batch(NamedTuple):
    """Transitions of the data and steps in the model."""

    sarsa: Sarsa
    is_real: jax.Array  # [B] bool


def init(config: Config, key: jax.Array, spec: Spec, statistics: Statistics) -> State:
    """Returns the state before the first update.

    Raises:
        InputError: if there would be no update behind the model's, or a batch has no steps of one.
    """
    if config.model_updates >= config.num_updates:
        raise InputError(
            f"--model_updates={config.model_updates}: of --num_updates={config.num_updates} none "
            "is left for the policy"
        )
    agent_key, model_key = jax.random.split(key)
    return State(
        agent=rebrac.init(_of_agent(config), agent_key, spec, statistics),
        model=dynamics.init(config, model_key, spec, statistics),
        rollouts=model_rollouts.empty(config, spec),
    )


def _of_agent(config: Config) -> Config:
    """Returns the setting of the agent, whose updates begin behind the model's."""
    return replace(config, num_updates=config.num_updates - config.model_updates)


def _sample_for_model(
    config: Config, key: jax.Array, state: State, sources: Sources
) -> dynamics.Batch:
    return dynamics.sample(config, key, state.model, sources)


def _update_model(
    config: Config, state: State, step: jax.Array, key: jax.Array, batch: dynamics.Batch
) -> tuple[State, Metrics]:
    model, metrics = dynamics.update(config, state.model, step, key, batch)
    return state._replace(model=model), metrics


def _check_model(config: Config, state: State, key: jax.Array, sources: Sources) -> State:
    del key
    return state._replace(model=dynamics.check(config, state.model, sources))


def _roll_out(config: Config, state: State, key: jax.Array, sources: Sources) -> State:
    """Returns the state with new rollouts of the policy, after a last check of the model."""
    model_state = dynamics.check(config, state.model, sources)

    def act(observation: jax.Array, key: jax.Array) -> jax.Array:
        action = td3.policy_action(config, state.agent.actor, observation)
        noise = config.rollout_noise * jax.random.normal(key, action.shape)
        return jnp.clip(action + noise, -1, 1)

    model = dynamics.elite(config, model_state)
    rollouts = model_rollouts.extended(
        config, model, state.rollouts, act, key, statistics_of(sources)
    )
    return state._replace(model=model_state, rollouts=rollouts)


def sample(config: Config, key: jax.Array, state: State, sources: Sources) -> Batch:
    """Returns a batch of transitions of the data and of steps in the model, mixed."""
    real_key, model_key = jax.random.split(key)
    size, statistics = config.batch_size, statistics_of(sources)
    of_data = rebrac.sample(_of_agent(config), real_key, state.agent, sources)
    step = model_rollouts.sample(state.rollouts, model_key, size)
    in_model = Sarsa(
        scale_rewards(config, statistics, step),
        jnp.zeros_like(step.action),
        jnp.zeros_like(of_data.has_next_action),
    )
    place = jnp.asarray(np.random.default_rng(0).permutation(size))
    is_real = place < jnp.round(config.real_share * size)
    return Batch(jax.tree.map(partial(_where, is_real), of_data, in_model), is_real)


def _where(is_real: jax.Array, real: jax.Array, other: jax.Array) -> jax.Array:
    return jnp.where(is_real.reshape(-1, *[1] * (real.ndim - 1)), real, other)


def update(
    config: Config, state: State, step: jax.Array, key: jax.Array, batch: Batch
) -> tuple[State, Metrics]:
    """Returns the state after one of ReBRAC's updates."""
    agent_key, penalty_key = jax.random.split(key)
    sarsa, is_real = batch
    if config.pessimism == "mobile":
        cost = jnp.where(is_real, 0, _backups_differ(config, state, sarsa.transition, penalty_key))
        reward = sarsa.transition.reward - config.penalty * cost
        sarsa = sarsa._replace(transition=sarsa.transition._replace(reward=reward))
    agent, metrics = rebrac.update(
        _of_agent(config), state.agent, step - config.model_updates, agent_key, sarsa
    )
    rewards = jnp.sum(sarsa.transition.reward, where=~is_real) / jnp.maximum(jnp.sum(~is_real), 1)
    return state._replace(agent=agent), {**metrics, "model_reward": rewards}


def _backups_differ(
    config: Config, state: State, transition: Transition, key: jax.Array
) -> jax.Array:
    """Returns the standard deviation over the networks of what they say of the next Q, [B].

    That is the mean of the least Q where each network expects to be (MOBILE, equation 8). What they
    draw is averaged over `num_draws`.
    """
    model = dynamics.elite(config, state.model)
    latent_key, noise_key = jax.random.split(key)
    size = config.num_draws, config.num_elites, len(transition.reward)
    latent = jax.random.normal(latent_key, (*size, config.latent_dim))
    observation, action = transition.observation, transition.action
    mean, std = jax.vmap(partial(dynamics.predict, config, model, observation, action))(latent)
    following = (mean + std * jax.random.normal(noise_key, mean.shape))[..., :-1]
    chosen = td3.policy_action(config, state.agent.target_actor, following)
    q = lowest(td3.q_values(config, state.agent.target_critic, following, chosen))
    return jnp.std(jnp.mean(q, axis=0), axis=0)


PHASES = (
    Phase(
        "model", _sample_for_model, _update_model, lambda config: config.model_updates,
        Preparation(_check_model, lambda config: config.check_every),
    ),
    Phase(
        "policy", sample, update,
        preparation=Preparation(_roll_out, lambda config: config.rollout_every),
    ),
)  # fmt: skip


def for_data(config: Config, data_set: EpisodeSet) -> Config:
    """Returns the config with the function that says when episodes of the data end.

    Raises:
        InputError: if none is known, no episode can be held out, nothing follows a step, or
            rollouts do not fit in memory.
    """
    if len(data_set.episodes) < 2:
        raise InputError(f"{data_set.name}: one episode; a model needs others to be judged on")
    if not any(len(each.observation) > 1 for each in data_set.episodes):
        raise InputError(f"{data_set.name}: no step has a known next observation to predict")
    first = data_set.episodes[0]
    model_rollouts.check_memory(config, first.observation.shape[1], first.action.shape[1])
    ends = any(each.terminated for each in data_set.episodes)
    return replace(config, termination=terminations.of(config.termination, data_set.env, ends))


def limits(config: Config, spec: Spec, statistics: Statistics) -> Limits:
    """Returns ReBRAC's bounds on Q and its backup, open below where rewards are lowered."""
    bounds = rebrac.limits(config, spec, statistics)
    if config.pessimism not in ("mopo", "mobile"):
        return bounds
    is_lowered = config.penalty > 0
    return {
        name: (jnp.where(is_lowered, -jnp.inf, low), high) for name, (low, high) in bounds.items()
    }


def actor(config: Config, state: State) -> Params:
    """Returns the agent's actor."""
    del config
    return state.agent.actor


def model_of(config: Config, state: State) -> dynamics.State:
    """Returns the dynamics that were learned."""
    del config
    return state.model


def q_of(
    config: Config, state: State, statistics: Statistics, observation: jax.Array, action: jax.Array
) -> jax.Array:
    """Returns Q [E, B] of the critics, see `rlp.types.Algo`."""
    return td3.q_of(config, state.agent, statistics, observation, action)


policy = td3.policy
