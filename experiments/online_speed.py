"""How fast updates are online, while a simulator runs at the same time.

    python experiments/online_speed.py

SAC (2 layers of 256, batches of 256) in gym:HalfCheetah-v4 with one update per step. Rounds of the
online loop, and the same number of updates alone on the same replay, are measured in turn. Writes
results/online_speed_cpu.json.
"""

import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from rlp import cli, envs
from rlp.cli.tables import markdown
from rlp.cli.terminal import Silent
from rlp.config import Positive
from rlp.data.dataset import Dataset
from rlp.runs import provenance
from rlp.system import files
from rlp.training import online_start, population
from rlp.training.learner import Learner
from rlp.training.plan import Watch
from rlp.types import Sources, State

ENV = "gym:HalfCheetah-v4"
CASES = {"1 environment": (1, 1), "8 environments": (8, 1), "4 members, 8 environments": (8, 4)}


@dataclass(frozen=True)
class Settings:
    """The measurement."""

    num_updates: Positive = 800  # of each member in a round
    num_rounds: Positive = 5  # both are measured in each round; the median is reported
    json: str = str(Path(__file__).parent / "results" / "online_speed_cpu.json")  # file for figures


def measure(given: cli.Given) -> None:
    """Measures all cases, prints updates/s over all members and writes the seconds."""
    settings = cli.parse(Settings, given)
    found: dict[str, Any] = {}
    rows = []
    for name, (num_envs, num_members) in CASES.items():
        online, alone = _seconds(settings, num_envs, num_members)
        found[name] = {"online": online, "alone": alone, "updates": settings.num_updates}
        count = num_members * settings.num_updates
        speeds = [count / statistics.median(each) for each in (online, alone)]
        rows.append([name, *(f"{speed:.0f}" for speed in speeds), f"{speeds[0] / speeds[1]:.2f}"])
    files.write_json(Path(settings.json), {"seconds": found, **provenance.environment()})
    print(markdown(("SAC, updates/s", "online", "alone", "ratio"), rows))


def _seconds(
    settings: Settings, num_envs: int, num_members: int
) -> tuple[list[float], list[float]]:
    """Returns the seconds of each round, online and alone."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as held:
        values = {
            "num_seeds": num_members, "num_envs": num_envs, "updates_per_step": 1.0, "runs": folder,
            "num_steps": 100_000, "num_random_steps": 2_000,
        }  # fmt: skip
        run, plan, start, _ = online_start.begin("sac", ENV, values, held)
        env = envs.make(ENV, num_members * num_envs)
        learner = Learner(run, plan, env, start, Watch(), Silent())
        num_rounds = settings.num_updates // num_envs
        while learner.round < plan.num_idle_rounds + num_rounds:
            learner.take_round()  # random actions, and compilation
        online, alone = [], []
        states = jax.tree.map(jnp.copy, learner.members.states)
        for _ in range(settings.num_rounds):
            began = time.perf_counter()
            for _ in range(num_rounds):
                learner.take_round()
            jax.block_until_ready(learner.members.states)
            online.append(time.perf_counter() - began)
            data = learner.replays.data
            states = _train(learner, states, data, 1)
            began = time.perf_counter()
            states = _train(learner, states, data, num_rounds)
            alone.append(time.perf_counter() - began)
            learner.metrics()
    return online, alone


def _train(learner: Learner, states: State, data: Dataset, num_rounds: int) -> State:
    """Returns the states after only the updates of some rounds."""
    run, members, num_updates = learner.run, learner.members, learner.plan.num_envs
    for number in range(num_rounds):
        step = jnp.int32(number * num_updates)
        sources = Sources(replay=data)
        states, *_ = population.train(
            run.algo, run.spec, num_updates, members.configs, members.keys, states, sources, step
        )
    return jax.block_until_ready(states)


if __name__ == "__main__":
    command = cli.Command(measure, (Settings,), (__doc__ or "").splitlines()[0])
    cli.main("python experiments/online_speed.py", command)
