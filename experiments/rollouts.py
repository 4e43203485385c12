"""How fast episodes run: rlp's and plain loops over dm_control, measured in turn.

    python experiments/rollouts.py

All play the same episodes of walker-walk, with the same policy (2 layers of 256):

    rlp         as in evaluations: simulators in threads, one formula and one policy call for all
    in step     a loop over dm_control's environments, one policy call for all
    one by one  a loop over episodes, one policy call per step

The policy is always compiled. The first two must have the same returns to the last bit. Writes
results/rollouts_cpu.json.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlp import cli, envs
from rlp.algos import bc
from rlp.config import Positive
from rlp.data.dataset import unit_normalizer
from rlp.envs.dm_control import suite  # without glfw's warning
from rlp.evaluation import policy, rollout
from rlp.runs import provenance
from rlp.system import files
from rlp.training import population
from rlp.types import UNKNOWN, vectors

TASK = "walker-walk"
Policy = Callable[[np.ndarray], np.ndarray]  # observations [N, O] -> actions [N, A]


@dataclass(frozen=True)
class Settings:
    """The measurement."""

    num_episodes: Positive = 16  # at once
    num_rounds: Positive = 5  # all ways are measured in each round; the median is reported
    json: str = str(Path(__file__).parent / "results" / "rollouts_cpu.json")  # file for figures


def measure(given: cli.Given) -> None:
    """Plays all ways in turn, prints their speeds and writes the seconds of every round."""
    settings = cli.parse(Settings, given)
    seeds = rollout.evaluation_seeds(settings.num_episodes)
    env = envs.make(TASK, settings.num_episodes)
    spec = vectors(env.observation_dim, env.action_dim, env.max_episode_steps)
    configs, _, states = population.init(
        bc, [bc.Config(hidden_dims=(256, 256))], [0], spec, UNKNOWN
    )
    of_one = policy.from_states(bc, configs, states, unit_normalizer(spec.observation_dim))
    plain_policy = _compiled(of_one)
    domain, task = TASK.split("-")
    twins = [suite.load(domain, task) for _ in seeds]
    ways: dict[str, Callable[[], np.ndarray]] = {
        "rlp": lambda: rollout.evaluate(bc, spec, of_one, env, seeds).values[0],
        "in step": lambda: _in_step(twins, seeds, plain_policy),
        "one by one": lambda: np.concatenate(
            [_in_step(twins[:1], [seed], plain_policy) for seed in seeds]
        ),
    }
    returns = {name: play() for name, play in ways.items()}  # compiles the policy, too
    np.testing.assert_array_equal(returns["rlp"], returns["in step"])
    rounds = [
        {name: _seconds(play) for name, play in ways.items()} for _ in range(settings.num_rounds)
    ]
    num_steps = settings.num_episodes * spec.max_episode_steps
    for name in ways:
        speed = statistics.median(num_steps / each[name] for each in rounds)
        ratio = statistics.median(each[name] / each["rlp"] for each in rounds)
        print(f"{name:10} {speed:8,.0f} steps/s; rlp has {ratio:.2f} times as many")
    figures = {"num_episodes": settings.num_episodes, "num_steps": num_steps, "seconds": rounds}
    files.write_json(Path(settings.json), {**figures, **provenance.environment()})


def _compiled(of_one: policy.Policy) -> Policy:
    """Returns a policy in the form that a plain loop calls."""

    @jax.jit
    def act(observation: jax.Array) -> jax.Array:
        keys, reward = jax.random.split(jax.random.key(0), 1), jnp.zeros((1, len(observation)))
        return policy.act(bc, of_one, (), observation[None], reward, keys, 0)[0][0]

    return lambda observation: np.asarray(act(observation.astype(np.float32)))


def _in_step(twins: Sequence[Any], seeds: Sequence[int], act: Policy) -> np.ndarray:
    """Returns the returns [N] of one episode in each of dm_control's environments."""
    for twin, seed in zip(twins, seeds, strict=True):
        twin.task._random = np.random.RandomState(seed)
    taken = [twin.reset() for twin in twins]
    returns = np.zeros(len(twins))
    while not taken[0].last():
        observations = [
            np.concatenate([*map(np.ravel, each.observation.values())]) for each in taken
        ]
        actions = act(np.stack(observations))
        taken = [twin.step(action) for twin, action in zip(twins, actions, strict=True)]
        returns += [each.reward for each in taken]
    return returns


def _seconds(play: Callable[[], np.ndarray]) -> float:
    start = time.perf_counter()
    play()
    return time.perf_counter() - start


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    doc = (__doc__ or "").splitlines()[0]
    cli.main("python experiments/rollouts.py", cli.Command(measure, (Settings,), doc), argv)


if __name__ == "__main__":
    main()
