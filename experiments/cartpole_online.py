"""Discrete actions: CartPole learned online by DQN and QR-DQN, 5 seeds as one program.

    python experiments/cartpole_online.py      # 10 minutes on 2 cores

Each learns for 100,000 steps. Then the policies play 100 episodes of CartPole-v1, which ends after
500 steps. Prints the table; the returns of every evaluation are in results/cartpole_online.json.
The settings were chosen on seeds 100 to 104.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlp import cli, statistics
from rlp.cli import tables
from rlp.commands.evaluate import evaluate_runs
from rlp.commands.learn import learn
from rlp.runs import evaluations
from rlp.system import files

RESULTS = Path(__file__).parent / "results" / "cartpole_online.json"
ENV = "gym:CartPole-v1"
FLAGS = {
    "env": ENV, "num_seeds": "5", "num_steps": "100000", "num_random_steps": "1000",
    "num_episodes": "20", "log_every": "5000",
}  # fmt: skip
ROWS = {"dqn": "double", "qr-dqn": "quantiles"}


@dataclass(frozen=True)
class Settings:
    """The runs."""

    runs: str = "runs/cartpole_online"  # folder of the runs
    quiet: bool = False  # print only the results


def main(given: cli.Given) -> None:
    """Learns, evaluates and writes the table."""
    settings = cli.parse(Settings, given)
    found, lines = {}, []
    for name, preset in ROWS.items():
        flags = {**FLAGS, "preset": preset, "runs": settings.runs, "name": name}
        run = learn("dqn", {**flags, "quiet": str(settings.quiet)})
        evaluate_runs({"runs": str(run.directory), "quiet": str(settings.quiet)})
        last = evaluations.read(run)[-1]
        found[name] = {"last": last, "evaluations": run.evaluations(), **run.record}
        means = np.array([np.mean(returns) for returns in last["returns"].values()])
        low, high = statistics.mean_interval(means)
        members = ", ".join(f"{mean:.0f}" for mean in means)
        lines.append([name, f"{means.mean():.0f}", f"{low:.0f} to {high:.0f}", members])
    files.write_json(RESULTS, found)
    print(tables.markdown(("", "return", "95 % interval", "of the seeds"), lines))


if __name__ == "__main__":
    doc = (__doc__ or "").splitlines()[0]
    command = cli.Command(main, (Settings,), doc)
    cli.main("python experiments/cartpole_online.py", command)
