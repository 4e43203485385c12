"""Policies over choices: what the algorithms that have such a head share."""

import jax
import jax.numpy as jnp

from rlp.errors import InputError
from rlp.types import Spec

CATEGORICAL = "categorical"


def check_head(head: str, spec: Spec, others: str) -> None:
    """Checks that a head is one of such actions.

    Args:
        head: the head that is asked for.
        spec: of the problem.
        others: the heads of actions that are numbers, in words.

    Raises:
        InputError: if it is not.
    """
    if (head == CATEGORICAL) != (spec.action.kind == "discrete"):
        fitting = f"discrete: --head={CATEGORICAL} learns them"
        if spec.action.kind == "continuous":
            fitting = f"not discrete: --head={others} learns them"
        raise InputError(f"--head={head}: the actions are {fitting}")


def choice_log_prob(logits: jax.Array, action: jax.Array) -> jax.Array:
    """Returns the log-likelihood [...] in nats of choices [..., A], one-hots."""
    return jnp.sum(action * jax.nn.log_softmax(logits), axis=-1)


def choose(logits: jax.Array, key: jax.Array, temperature: jax.Array | float) -> jax.Array:
    """Returns a choice [A], a one-hot, for logits [A]; of temperature 0 the likeliest."""
    noise = jax.random.gumbel(key, logits.shape)
    return jax.nn.one_hot(jnp.argmax(logits + temperature * noise), len(logits))
