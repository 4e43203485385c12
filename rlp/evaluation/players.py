"""Players without learning, for environments in JAX: a planner, always the goal, random actions."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlp.data.dataset import unit_normalizer
from rlp.envs import botevade, botevade_planner
from rlp.envs import cellworld_resources as resources
from rlp.envs.jax_env import JaxEnv
from rlp.errors import InputError, nearest
from rlp.evaluation.policy import Policy
from rlp.types import Acting, Params, markov

PLAYERS = ("planner", "goal", "random")


class Player(NamedTuple):
    """Acts like the policy of an algorithm."""

    policy: Acting


def read(name: str, env: JaxEnv, where: str) -> tuple[Player, Policy]:
    """Returns a player, and its policy of one member for an environment.

    Args:
        name: of the player.
        env: the environment.
        where: the environment's name.

    Raises:
        InputError: if there is no such player, or it cannot play this environment.
    """
    player, config, params = _read(name, env, where)
    config, params = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], (config, params))
    return player, Policy(config, params, unit_normalizer(env.spec.observation_dim))


def _read(name: str, env: JaxEnv, where: str) -> tuple[Player, Any, Params]:
    if name not in PLAYERS:
        raise InputError(f"no player {name}{nearest(name, PLAYERS)}")
    if name == "random":
        like = jnp.zeros(env.spec.action_dim)
        return _OF_CHOICES if env.bounds is None else _OF_NUMBERS, (), like
    if not isinstance(env.params, botevade.Arena):
        raise InputError(f"{where}: the player {name} plays BotEvade only")
    config = botevade_planner.Config()
    world = botevade_planner.make(env, resources.read().lppo_cells)
    if name == "goal":
        return _TO_GOAL, (), world.actions[-1]
    return _PLANNER, config, world


def _go(
    config: Any, action: jax.Array, observation: jax.Array, key: jax.Array, temperature: jax.Array
) -> jax.Array:
    """Always returns the same action [A]."""
    del config, observation, key, temperature
    return action


def _choose(
    config: Any, like: jax.Array, observation: jax.Array, key: jax.Array, temperature: jax.Array
) -> jax.Array:
    """Returns a uniformly random choice as a one-hot [A]."""
    del config, observation, temperature
    return jax.nn.one_hot(jax.random.randint(key, (), 0, len(like)), len(like))


def _draw(
    config: Any, like: jax.Array, observation: jax.Array, key: jax.Array, temperature: jax.Array
) -> jax.Array:
    """Returns numbers [A], uniform in [-1, 1]."""
    del config, observation, temperature
    return jax.random.uniform(key, like.shape, minval=-1, maxval=1)


_PLANNER, _TO_GOAL, _OF_CHOICES, _OF_NUMBERS = (
    Player(acting)
    for acting in (botevade_planner.policy, markov(_go), markov(_choose), markov(_draw))
)
