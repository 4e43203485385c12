"""How many actions per second a Trajectory Transformer plans.

    python experiments/planning_speed.py

The network is the authors' (4 layers of 128, a context of 10 transitions, 100 bins), untrained,
with observations and actions of HalfCheetah's size. The time of an environment is not included.
Writes results/planning_speed_cpu.json.
"""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from rlp import cli
from rlp.algos import trajectory_transformer as tt
from rlp.bench.workload import SPEC
from rlp.cli.tables import markdown
from rlp.config import Positive
from rlp.data.dataset import unit_normalizer
from rlp.evaluation import policy as policies
from rlp.runs import provenance
from rlp.system import files
from rlp.training import population
from rlp.types import UNKNOWN

CASES = ((16, 3), (32, 5), (128, 5))  # beam width and horizon


@dataclass(frozen=True)
class Settings:
    """The measurement."""

    num_episodes: Positive = 4  # planned for together
    num_plans: Positive = 5  # of each episode; the median time is reported
    json: str = str(
        Path(__file__).parent / "results" / "planning_speed_cpu.json"
    )  # file for figures


def measure(given: cli.Given) -> None:
    """Measures all cases, prints actions/s and writes the seconds."""
    settings = cli.parse(Settings, given)
    found: list[dict[str, Any]] = []
    rows = []
    for beam_width, horizon in CASES:
        seconds = _seconds(settings, beam_width, horizon)
        case = {"beam_width": beam_width, "horizon": horizon, "episodes": settings.num_episodes}
        found.append({**case, "seconds": seconds})
        speed = settings.num_episodes / statistics.median(seconds)
        rows.append([str(beam_width), str(horizon), f"{speed:.2f}"])
    files.write_json(Path(settings.json), {"cases": found, **provenance.environment()})
    print(markdown(("beam width", "horizon", "actions/s"), rows))


def _seconds(settings: Settings, beam_width: int, horizon: int) -> list[float]:
    """Returns the seconds of each step, in which all episodes plan an action."""
    config = tt.Config(beam_width=beam_width, horizon=horizon)
    members = population.init(tt, [config], [0], SPEC, UNKNOWN)
    normalizer = unit_normalizer(SPEC.observation_dim)
    policy = policies.from_states(tt, members.configs, members.states, normalizer)
    memory = policies.start(tt, SPEC, policy, jnp.zeros(settings.num_episodes))
    shape = (1, settings.num_episodes)
    seconds = []
    for step in range(settings.num_plans + 1):
        observation = jax.random.normal(jax.random.key(step), (*shape, SPEC.observation_dim))
        began = time.perf_counter()
        action, memory = policies.act(
            tt, policy, memory, observation, jnp.zeros(shape), members.keys, step
        )
        jax.block_until_ready(action)
        seconds.append(time.perf_counter() - began)
    return seconds[1:]  # the first compiles


if __name__ == "__main__":
    command = cli.Command(measure, (Settings,), (__doc__ or "").splitlines()[0])
    cli.main("python experiments/planning_speed.py", command)
