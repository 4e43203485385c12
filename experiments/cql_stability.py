"""Does Q explode? CQL-SAC for 100,000 updates on unscaled rewards: Q against its bound.

    python experiments/cql_stability.py    # the missing settings; resumes if interrupted
    python experiments/cql_stability.py --settings=light

No value can exceed max |r| / (1 - discount). If Q passes this bound and keeps growing, the critics
reinforce their own errors. Trains seeds of two settings on walker data with unscaled rewards:

    authors  the authors' setting, but 2 layers of 256, 4 sampled actions of each kind and the
             penalty on 64 of 256 states, so that it takes half an hour on 2 cores
    light    the light preset with its bounded critics, but with unscaled rewards, an actor that
             follows Q alone, and four times the weight of the penalty, on twice as many states

Writes mean and maximum of Q over every 1,000 updates, and the returns, to
results/cql_stability_SETTING.json, and draws them to docs/cql_stability.png.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlp import cli
from rlp.commands.train import train
from rlp.config import Positive
from rlp.runs import Curves, records
from rlp.system import files

ROOT = Path(__file__).parents[1]
METRICS = ("q", "max_q", "backup", "max_backup", "return")
SETTINGS = {
    "authors": {
        "preset": "paper",
        "hidden_dims": "256,256",
        "num_actions": "4",
        "num_penalised": "64",
    },
    "light": {
        "preset": "light",
        "normalize_reward": "False",
        "discount": "0.97",
        "actor_bc": "0",
        "cql_weight": "2",
        "num_penalised": "64",
    },
}


@dataclass(frozen=True)
class Settings:
    """The experiment."""

    settings: str = ",".join(SETTINGS)  # which, separated by commas
    dataset: str = "walker-walk/medium+walker-walk/medium-replay"  # a bundled name or a path
    num_seeds: Positive = 3  # members
    num_updates: Positive = 100_000  # gradient updates
    runs: str = "runs"  # folder of the runs
    quiet: bool = False  # print only the result


def experiment(given: cli.Given) -> None:
    """Trains the settings without a result; writes and draws Q and returns."""
    settings = cli.parse(Settings, given)
    shared = {k: str(v) for k, v in vars(settings).items() if k != "settings"}
    for name in cli.chosen("settings", settings.settings, SETTINGS):
        if not _path(name).exists():
            directory = Path(settings.runs) / f"cql_stability_{name}"
            again = {"resume": str(directory)} if directory.exists() else {}
            run = train("cqlsac", {**shared, **SETTINGS[name], "name": directory.name, **again})
            result, curves = files.read_json(run.directory / "result.json"), run.curves()
            files.write_json(_path(name), {**result, "curves": {m: curves[m] for m in METRICS}})
    _draw(ROOT / "docs" / "cql_stability.png")


def _path(name: str) -> Path:
    return ROOT / "experiments" / "results" / f"cql_stability_{name}.json"


def _draw(path: Path) -> None:
    """Draws a column for each setting that has a result: Q above, returns below."""
    results = {name: files.read_json(_path(name)) for name in SETTINGS if _path(name).exists()}
    figure = Figure(figsize=(5.5 * len(results), 7), layout="constrained")
    columns = figure.subplots(2, len(results), squeeze=False, sharex="col").T
    for axes, (name, result) in zip(columns, results.items(), strict=True):
        _, bound = records.bounds(result["members"][0]["limits"]["max_q"])
        assert bound is not None
        _draw_setting(axes[0], axes[1], result["curves"], bound)
        axes[0].set_title(name)
        highest = max(v for points in result["curves"]["max_q"].values() for _, v in points)
        print(f"{name}: highest Q {highest:.1f}, bound {bound:.1f}")
    figure.savefig(path, dpi=120)


def _draw_setting(above: Axes, below: Axes, curves: Curves, bound: float) -> None:
    for number, member in enumerate(curves["q"]):
        colour = f"C{number}"
        above.plot(*zip(*curves["q"][member], strict=True), colour, label=f"mean, {member}")
        above.plot(*zip(*curves["max_q"][member], strict=True), colour, lw=0.6, alpha=0.6)
        below.plot(*zip(*curves["return"][member], strict=True), colour, marker=".", label=member)
    above.plot([], [], "grey", lw=0.6, label="maximum")
    above.axhline(bound, color="black", linestyle="--", label=f"bound {bound:.0f}")
    above.set_ylabel("Q of the data's actions")
    below.set_ylabel("return, mean of 10 episodes")
    below.set_xlabel("updates")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    doc = (__doc__ or "").splitlines()[0]
    cli.main("python experiments/cql_stability.py", cli.Command(experiment, (Settings,), doc), argv)


if __name__ == "__main__":
    main()
