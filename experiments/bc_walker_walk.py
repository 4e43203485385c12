"""Behaviour cloning on the bundled walker-walk set: both heads, 4 seeds each in one program.

    python experiments/bc_walker_walk.py

Reproduces the table of the README. Seeds 0 to 3, last checkpoint, 10 episodes of each seed from the
same initial states; the learning rate was chosen on seeds 100 and 101. Expected: 878 +- 57 over the
seeds with the deterministic head, 775 +- 132 with the stochastic one (the data's mean is 963; an
episode that falls at its start scores less than 100). Takes about 5 minutes on 2 cores. Writes
results/bc_walker_walk.json.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rlp import cli, runs
from rlp.config import Positive
from rlp.train import train


@dataclass(frozen=True)
class Settings:
    """The experiment."""

    runs: str = "runs"  # folder of the runs
    num_seeds: Positive = 4  # seeds of each head
    num_updates: Positive = 20_000  # gradient updates
    quiet: bool = False  # print the results only


def experiment(given: cli.Given) -> None:
    """Trains both heads and writes the returns of their last checkpoints."""
    settings = cli.parse(Settings, given)
    results = []
    for head in ("deterministic", "stochastic"):
        run = train(
            "bc",
            {
                "head": head,
                "num_seeds": str(settings.num_seeds),
                "num_updates": str(settings.num_updates),
                "runs": settings.runs,
                "name": runs.default_name(f"bc-{head}", "walker-walk/medium"),
                "quiet": str(settings.quiet),
            },
        )
        results.append(runs.read_json(run.directory / "result.json"))
    path = Path(__file__).parent / "results" / "bc_walker_walk.json"
    runs.write_json(path, results)
    print(f"written to {path}")


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    doc = (__doc__ or "").splitlines()[0]
    cli.main(
        "python experiments/bc_walker_walk.py", cli.Command(experiment, (Settings,), doc), argv
    )


if __name__ == "__main__":
    main()
