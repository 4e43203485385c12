"""Does Q explode? CQL-SAC for 100,000 updates on rewards as they are: Q against its bound.

    python experiments/cql_stability.py

No value can be above max |r| / (1 - discount): 100 for rewards up to 1 and a discount of 0.99.
Where Q passes it and goes on, the critics excite themselves, and the policy is soon random. Trains
seeds of CQL-SAC on walker data without any scaling of rewards: the authors' rates and weight, but 2
layers of 256, 4 sampled actions of each kind, and the penalty on 64 of 256 states, so that it takes
an hour on 2 cores. Draws the mean and the maximum of Q over every 1,000 updates beside the return
to docs/cql_stability.png, and writes both to results/cql_stability.json.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from rlp import cli, runs
from rlp.config import Positive
from rlp.runs import Run
from rlp.train import train

ROOT = Path(__file__).parents[1]
SETTING = {
    "preset": "paper",
    "hidden_dims": "256,256",
    "num_actions": "4",
    "num_penalised": "64",
}
METRICS = ("q", "max_q", "backup", "max_backup", "return")


@dataclass(frozen=True)
class Settings:
    """The experiment."""

    dataset: str = "walker-walk/medium+walker-walk/medium-replay"  # a bundled name or a path
    num_seeds: Positive = 3  # members
    num_updates: Positive = 100_000  # gradient updates
    runs: str = "runs"  # folder of the run
    quiet: bool = False  # print the result only


def experiment(given: cli.Given) -> None:
    """Trains, and writes and draws Q and returns."""
    settings = cli.parse(Settings, given)
    flags = {name: str(value) for name, value in vars(settings).items()}
    run = train("cqlsac", {**SETTING, **flags})
    curves = run.curves()
    result = runs.read_json(run.directory / "result.json")
    result["curves"] = {name: curves[name] for name in METRICS}
    path = ROOT / "experiments" / "results" / "cql_stability.json"
    runs.write_json(path, result)
    _draw(run, ROOT / "docs" / "cql_stability.png")
    bound = run.record["members"][0]["limits"]["max_q"]
    highest = max(value for points in curves["max_q"].values() for _, value in points)
    print(f"highest Q {highest:.1f}, bound {bound:.1f}; written to {path}")


def _draw(run: Run, path: Path) -> None:
    curves = run.curves()
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, member in enumerate(run.labels):
        colour = f"C{number}"
        left.plot(*zip(*curves["q"][member], strict=True), colour, label=f"mean, {member}")
        left.plot(*zip(*curves["max_q"][member], strict=True), colour, lw=0.6, alpha=0.6)
        right.plot(*zip(*curves["return"][member], strict=True), colour, marker=".", label=member)
    bound = run.record["members"][0]["limits"]["max_q"]
    left.axhline(bound, color="black", linestyle="--", label=f"bound {bound:.0f}")
    left.plot([], [], "grey", lw=0.6, label="maximum")
    left.set_ylabel("Q of the data's actions")
    right.set_ylabel("return, 10 episodes")
    for axes in (left, right):
        axes.set_xlabel("updates")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.suptitle(f"CQL-SAC on {run.record['data']['name']}")
    figure.savefig(path, dpi=120)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    doc = (__doc__ or "").splitlines()[0]
    cli.main("python experiments/cql_stability.py", cli.Command(experiment, (Settings,), doc), argv)


if __name__ == "__main__":
    main()
