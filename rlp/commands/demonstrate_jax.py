"""Makes data sets in JAX environments with mixtures of policies, rolled out on the device.

    python -m rlp.collect jax:botevade --policy=runs/NAME:0.5,planner:0.3,random:0.2

A policy is a run, whose best member acts, or a player of `rlp.evaluation.players`. The number after
the colon is its share of the steps. Episodes that are running at the last step are cut there, as by
a time limit.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlp.data.episodes import Episode
from rlp.envs.jax_env import JaxEnv
from rlp.errors import InputError
from rlp.evaluation import device_rollout, players
from rlp.evaluation.device_rollout import Steps
from rlp.training.guide import playing

FIRST_SEED = 3_000_000  # of the initial states; differ from evaluation's


class Part(NamedTuple):
    """A policy and its share of the steps."""

    name: str
    share: float


def parts(text: str) -> list[Part]:
    """Returns the named policies, `runs/a:0.5,planner:0.5`; without shares all get the same.

    Raises:
        InputError: if some shares are missing, or they are not positive numbers that add up to 1.
    """
    given = [each.rpartition(":") if ":" in each else (each, "", "") for each in text.split(",")]
    if not any(share for *_, share in given):
        return [Part(name, 1 / len(given)) for name, *_ in given]
    try:
        found = [Part(name, float(share)) for name, _, share in given]
    except ValueError:
        raise InputError(f"--policy={text}: after each : must be a share of the steps") from None
    total = sum(part.share for part in found)
    if not abs(total - 1) < 1e-6 or min(part.share for part in found) <= 0:
        raise InputError(f"--policy={text}: the shares must be positive and add up to 1")
    return found


def play(
    env: JaxEnv,
    where: str,
    mixture: Sequence[Part],
    num_steps: int,
    num_envs: int,
    seed: int,
    temperature: float,
    noise: float,
) -> list[Episode]:
    """Returns episodes with `num_steps` steps or a few more, each policy with its share.

    Args:
        env: the environment.
        where: its name.
        mixture: the policies.
        num_steps: steps in total.
        num_envs: environments that are stepped together.
        seed: of all random numbers.
        temperature: of the actions of runs.
        noise: added to the actions of runs; if discrete, the share of random actions.
    """
    acting = [playing(part.name, env.spec, env, where) for part in mixture]  # checks all
    episodes = []
    for number, (part, each) in enumerate(zip(mixture, acting, strict=True)):
        first = FIRST_SEED + 10_000_000 * seed + 1_000_000 * number
        length = -(-round(part.share * num_steps) // num_envs)
        targets, keys = jnp.full(num_envs, each.target), jax.random.split(jax.random.key(first), 1)
        seeds = jnp.arange(first, first + num_envs, dtype=jnp.uint32)
        is_run = part.name not in players.PLAYERS
        steps = device_rollout.collect(
            each.actor, env.spec, each.policy, env, seeds, targets, keys, length,
            temperature * is_run, noise * is_run,
        )  # fmt: skip
        episodes += split(jax.tree.map(lambda x: np.asarray(x[:, 0]), steps))
    return episodes


def split(steps: Steps) -> list[Episode]:
    """Returns the episodes in steps [T, N, ...] of environments."""
    ended = steps.terminated | steps.truncated
    ended[-1] = True
    episodes = []
    for env in range(ended.shape[1]):
        first = 0
        for last in np.flatnonzero(ended[:, env]).tolist():
            part = slice(first, last + 1)
            seen = [*steps.observation[part, env], steps.next_observation[last, env]]
            episodes.append(
                Episode(
                    np.array(seen, np.float32),
                    np.asarray(steps.action[part, env]),
                    np.asarray(steps.reward[part, env]),
                    bool(steps.terminated[last, env]),
                    is_fragment=not (steps.terminated | steps.truncated)[last, env],
                )
            )
            first = last + 1
    return episodes
