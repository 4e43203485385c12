"""Can policies be chosen without a simulator? Fitted Q evaluation of all policies of a study.

    python experiments/walker_multitask.py          # trains them; then
    python experiments/off_policy_evaluation.py     # some minutes

Evaluates the policies of every row and seed of `walker_multitask.py` on one task, with the data
that they learned from. The ranking by estimated values is compared with the returns of their last
evaluation, 100 episodes each. Nothing was chosen by these returns. Records and pictures are in
results/off_policy_evaluation.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rlp import cli, runs
from rlp.cli.tables import markdown
from rlp.cli.terminal import Terminal
from rlp.commands import fqe
from rlp.commands.fqe import Estimates
from rlp.system import files

RESULTS = Path(__file__).parent / "results" / "off_policy_evaluation"
SEED = 0  # of the critics


@dataclass(frozen=True)
class Settings:
    """The policies."""

    tasks: str = "walker-walk,walker-run"  # which, separated by commas
    runs: str = "runs/walker_multitask"  # folder of their runs
    quiet: bool = False  # print only the results


def main(given: cli.Given) -> None:
    """Estimates values, writes the records and pictures, and prints the table."""
    settings, lines = cli.parse(Settings, given), []
    for task in cli.chosen("tasks", settings.tasks, ("walker-walk", "walker-run")):
        paths = sorted(Path(settings.runs).glob(f"*_{task}"))
        found = [runs.load(path) for path in paths]
        estimates = fqe.estimate(found, fqe.Flags(fqe=True), SEED, Terminal(settings.quiet))
        record = {
            "policies": estimates.names,
            "values": estimates.values.mean(axis=1).tolist(),
            "returns": estimates.returns.tolist(),
            **{k: v for k, v in files.read_json(paths[0] / "fqe.json").items() if k != "values"},
        }
        files.write_json(RESULTS / f"{task}.json", record)
        with files.whole(RESULTS / f"{task}.png") as file:
            _picture(task, estimates).savefig(file, dpi=120)
        best = np.nanmax(estimates.returns)
        lines.append([
            task,
            str(estimates.both.sum()),
            f"{estimates.rank_correlation:.2f}",
            f"{best:.0f}",
            f"{estimates.regret:.0f} ({estimates.regret / best:.1%})",
        ])  # fmt: skip
    head = ["", "policies", "rank correlation", "best return", "the chosen one earns less by"]
    print(markdown(head, lines))


def _picture(task: str, estimates: Estimates) -> Any:
    """Draws returns against values, with a colour for each row of the study."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    means = estimates.values.mean(axis=1)
    rows = [Path(name.split()[0]).name.removesuffix(f"_{task}") for name in estimates.names]
    for row in dict.fromkeys(rows):
        of_row = np.array([each == row for each in rows])
        axes.scatter(means[of_row], estimates.returns[of_row], label=row, s=25)
    axes.set_xlabel("estimated value, discounted")
    axes.set_ylabel("return, mean of 100 episodes")
    axes.set_title(f"{task}: rank correlation {estimates.rank_correlation:.2f}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


if __name__ == "__main__":
    command = cli.Command(main, (Settings,), (__doc__ or "").splitlines()[0])
    cli.main("python experiments/off_policy_evaluation.py", command)
