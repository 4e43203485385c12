"""Policies over discrete actions: code shared by algorithms with a categorical head."""

import jax
import jax.numpy as jnp

from rlp.errors import InputError
from rlp.types import Spec

CATEGORICAL = "categorical"


def check_head(head: str, spec: Spec, others: str) -> None:
    """Checks that a head fits the kind of actions.

    Args:
        head: the requested head.
        spec: of the problem.
        others: the heads for continuous actions, in words.

    Raises:
        InputError: if it does not.
    """
    if (head == CATEGORICAL) != (spec.action.kind == "discrete"):
        fitting = f"discrete: --head={CATEGORICAL} learns them"
        if spec.action.kind == "continuous":
            fitting = f"not discrete: --head={others} learns them"
        raise InputError(f"--head={head}: the actions are {fitting}")


def choice_log_prob(logits: jax.Array, action: jax.Array) -> jax.Array:
    """Returns the log-likelihood [...] in nats of one-hot choices [..., A]."""
    return jnp.sum(action * jax.nn.log_softmax(logits), axis=-1)


def choose(logits: jax.Array, key: jax.Array, temperature: jax.Array | float) -> jax.Array:
    """Returns a one-hot choice [A] for logits [A]; at temperature 0 the likeliest."""
    noise = jax.random.gumbel(key, logits.shape)
    return jax.nn.one_hot(jnp.argmax(logits + temperature * noise), len(logits))
