"""Data sets of environments in JAX, from mixtures of policies, rolled out on the device.

    python -m rlp.collect jax:botevade --policy=runs/NAME:0.5,planner:0.3,random:0.2

A policy is a run, of which the best member acts, or one of `rlp.evaluation.players`; behind the
colon is its share of the steps. Episodes that the last step cuts end there, as at a time limit.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlp import runs
from rlp.data.episodes import Episode
from rlp.envs.jax_env import JaxEnv
from rlp.errors import InputError
from rlp.evaluation import device_rollout, players
from rlp.evaluation.device_rollout import Steps
from rlp.evaluation.policy import Actor, Policy
from rlp.training import restore

FIRST_SEED = 3_000_000  # of the initial states, apart from those of evaluation


class Part(NamedTuple):
    """A policy, and its share of the steps."""

    name: str
    share: float


class _Playing(NamedTuple):
    """One policy, ready to act."""

    actor: Actor
    policy: Policy
    target: float


def parts(text: str) -> list[Part]:
    """Returns the policies that are named, `runs/a:0.5,planner:0.5`; without shares all have alike.

    Raises:
        InputError: if some shares are missing, or they are not positive numbers that add up to 1.
    """
    given = [each.rpartition(":") if ":" in each else (each, "", "") for each in text.split(",")]
    if not any(share for *_, share in given):
        return [Part(name, 1 / len(given)) for name, *_ in given]
    try:
        found = [Part(name, float(share)) for name, _, share in given]
    except ValueError:
        raise InputError(f"--policy={text}: behind each : must be a share of the steps") from None
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
    """Returns episodes of `num_steps` steps or a few more, of each policy its share.

    Args:
        env: the environment.
        where: its name.
        mixture: the policies.
        num_steps: in all.
        num_envs: that are stepped together.
        seed: of all randomness.
        temperature: of the actions of runs.
        noise: added to the actions of runs; of choices, the share that are others.
    """
    playing = [_read(part.name, env, where) for part in mixture]  # all, before the first plays
    episodes = []
    for number, (part, each) in enumerate(zip(mixture, playing, strict=True)):
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


def _read(name: str, env: JaxEnv, where: str) -> _Playing:
    """Returns a player, or the best member of a run."""
    if Path(name).is_dir():
        run = runs.load(Path(name))
        if run.spec != env.spec:
            raise InputError(f"{name} was trained for other observations or actions than {where}")
        best, _ = restore.load_policy(run)
        return _Playing(run.algo, best.members([run.best]), max(run.target_returns))
    if name not in players.PLAYERS and ("/" in name or "." in name):
        raise InputError(f"--policy: there is no run {name}")
    return _Playing(*players.read(name, env, where), target=0.0)


def split(steps: Steps) -> list[Episode]:
    """Returns the episodes of steps [T, N, ...] of environments."""
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
