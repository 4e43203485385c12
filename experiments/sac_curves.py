"""The collector's learner against published SAC learning curves: a plot and raw returns.

    python -m rlp.collect walker-walk --num_steps=200000 --num_seeds=3 --name=walker-walk
    python experiments/sac_curves.py runs/walker-walk --references=REFERENCE_CURVES

Our SAC has 2 layers of 256, learning rates of 1e-3 and half an update per environment step; the
references (pytorch_sac, and SAC in TD-MPC2's repository) have 2 layers of 1024 and 1e-4.
Expected at 200,000 steps over 3 seeds: at least 850 on walker-walk and 400 on walker-run. Writes
the returns of every evaluation to results/sac_<environment>.json and the plot to
docs/sac_<environment>.png.
"""

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from rlp import cli, runs
from rlp.system import files

ROOT = Path(__file__).parents[1]
Curve = dict[int, list[float]]  # environment step -> the mean return of each seed


@dataclass(frozen=True)
class Settings:
    """The comparison."""

    run: str  # the directory of a collection
    references: str = ""  # folder with pytorch_sac.csv and tdmpc2_sac_<environment>.csv


def compare(given: cli.Given) -> None:
    """Writes the returns of a collection and draws its curve over the references."""
    settings = cli.parse(Settings, given)
    run = runs.load(Path(settings.run))
    env = run.record["env"]
    path = ROOT / "experiments" / "results" / f"sac_{env}.json"
    files.write_json(path, {"evaluations": run.evaluations(), **run.record})
    ours: Curve = defaultdict(list)
    for entry in run.evaluations():
        ours[entry["step"]].append(float(np.mean(entry["returns"])))
    curves: dict[str, Curve] = {"rlp, 2 x 256": ours}
    if settings.references:
        curves |= _references(Path(settings.references), env, last_step=max(ours))
    _draw(ROOT / "docs" / f"sac_{env}.png", env, curves)
    last = np.array(ours[max(ours)])
    print(
        f"{env} at {max(ours):,} steps: {last.mean():.0f} +- {last.std():.0f} ({last.size} seeds)"
    )
    print(f"written to {path}")


def _references(folder: Path, env: str, last_step: int) -> dict[str, Curve]:
    """Returns the published curves up to a step, with at most one evaluation per 20,000 steps."""
    pytorch_sac: Curve = defaultdict(list)
    for row in csv.DictReader((folder / "pytorch_sac.csv").open()):
        if row["env"] == env.replace("-", "_") and int(row["step"]) <= last_step:
            pytorch_sac[int(row["step"])].append(float(row["episode_reward"]))
    tdmpc2: Curve = defaultdict(list)
    for row in csv.DictReader((folder / f"tdmpc2_sac_{env}.csv").open()):
        if int(row["step"]) <= last_step:
            tdmpc2[int(row["step"])].append(float(row["reward"]))
    return {"pytorch_sac, 2 x 1024": pytorch_sac, "TD-MPC2's SAC": tdmpc2}


def _draw(path: Path, env: str, curves: dict[str, Curve]) -> None:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        steps = sorted(curve)
        mean = np.array([np.mean(curve[step]) for step in steps])
        low, high = ([bound(curve[step]) for step in steps] for bound in (min, max))
        axes.plot(steps, mean, marker=".", label=f"{name} ({len(curve[steps[-1]])} seeds)")
        axes.fill_between(steps, low, high, alpha=0.15)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return (mean and range over seeds)")
    axes.set_title(env)
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    doc = (__doc__ or "").splitlines()[0]
    cli.main("python experiments/sac_curves.py", cli.Command(compare, (Settings,), doc), argv)


if __name__ == "__main__":
    main()
