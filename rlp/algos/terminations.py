"""When episodes end, by what is observed: known for some environments, which models need."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from rlp.data.dataset import Normalizer, unnormalize
from rlp.errors import InputError

Ends = Callable[[jax.Array], jax.Array]  # observation [O] in its own units -> [] bool
NEVER_ENDS = "never"


def _hopper(observation: jax.Array) -> jax.Array:
    """Gymnasium's Hopper: it fell, leans, or something of its state is beyond 100."""
    height, angle = observation[0], observation[1]
    is_healthy = jnp.all(jnp.abs(observation[1:]) < 100)
    return ~(is_healthy & (height > 0.7) & (jnp.abs(angle) < 0.2))


def _walker(observation: jax.Array) -> jax.Array:
    """Gymnasium's Walker2d: it fell, jumps or leans."""
    height, angle = observation[0], observation[1]
    return ~((height > 0.8) & (height < 2.0) & (jnp.abs(angle) < 1.0))


ENDS: dict[str, Ends] = {  # by name
    NEVER_ENDS: lambda _: jnp.zeros((), bool),
    "hopper": _hopper,
    "walker2d": _walker,
}
OF_ENVS: Mapping[str, str] = {"gym:Hopper": "hopper", "gym:Walker2d": "walker2d"}


def register(name: str, ends: Ends) -> None:
    """Makes a function known by a name, for --termination=NAME.

    Args:
        name: of the function.
        ends: from an observation [O], in the environment's units, to whether an episode ends
            there; in JAX.

    Raises:
        InputError: if there is another function of that name.
    """
    if ENDS.get(name, ends) is not ends:
        raise InputError(f"{name}: there is another termination function of that name")
    ENDS[name] = ends


def of(name: str, env: str, has_terminations: bool) -> str:
    """Returns the name of the function that says when episodes of data end.

    Args:
        name: that is asked for; "": none is.
        env: of the data.
        has_terminations: whether episodes of the data terminate.

    Raises:
        InputError: if there is no function of that name, or none is known of the environment.
    """
    known = ", ".join(ENDS)
    if name and name not in ENDS:
        raise InputError(f"--termination={name}: there is no such function; {known} are known")
    if name:
        return name
    found = [each for start, each in OF_ENVS.items() if env.partition("-")[0] == start]
    if found:
        return found[0]
    if has_terminations:
        raise InputError(
            f"{env or 'the data'} ends episodes, and it is not known when, which a model must "
            f"know: give --termination, one of {known}, or your own by "
            "rlp.algos.terminations.register"
        )
    return NEVER_ENDS


def has_ended(name: str, normalizer: Normalizer | None, observation: jax.Array) -> jax.Array:
    """Returns whether episodes end at normalised observations [B, O], [B] bool."""
    if name in ("", NEVER_ENDS) or normalizer is None:
        return jnp.zeros(len(observation), bool)
    return jax.vmap(lambda each: ENDS[name](unnormalize(normalizer, each)))(observation)
