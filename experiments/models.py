"""Policies in learned models: what pessimism costs, beside the same agent without a model.

    python -m rlp.collect cheetah-run --num_steps=200000   # makes cheetah-run's data
    python experiments/models.py                           # all missing cells: many hours
    python experiments/models.py --sets=walker-run/medium-replay
    python experiments/models.py --quick                   # tiny sizes on one set: does it run

`none`, `mopo`, `morel` and `mobile` are MoBRAC with that pessimism, and differ in nothing else;
`no-model` is the same ReBRAC with as many updates, from the data alone. Five seeds as one program,
each with a model of its own; the last checkpoint is evaluated over 100 episodes. models.md says how
good the models are, on held-out episodes and off the data, after the same command as a user's:
`python -m rlp.model info runs/models/ROW_SET`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlp import cli, study
from rlp.algos import mobrac
from rlp.cli.tables import markdown
from rlp.commands.model import info
from rlp.study import Rows, Study
from rlp.system import files

NO_MODEL = "no-model"
LIGHT = mobrac.PRESETS["light"]
AGENT = {
    "num_updates": str(LIGHT["num_updates"] - LIGHT["model_updates"]),
    "num_critics": str(LIGHT["num_critics"]),
    "actor_penalty": str(LIGHT["actor_penalty"]),
}
IN_MODEL: Rows = {
    each: ("mobrac", {"pessimism": each}) for each in ("none", "mopo", "morel", "mobile")
}
ROWS: Rows = {**IN_MODEL, NO_MODEL: ("rebrac", AGENT)}
SETS = {
    f"{task}/{kind}": f"{place}{task}/{kind}"
    for task, place in {"walker-walk": "", "walker-run": "", "cheetah-run": "data/"}.items()
    for kind in ("medium", "medium-replay")
}
QUICK = "walker-run/medium-replay"  # whose cells are run with tiny sizes
TINY_AGENT = {
    "num_updates": "30", "batch_size": "16", "hidden_dims": "16", "eval_every": "30",
    "num_episodes": "1", "final_episodes": "1",
}  # fmt: skip
TINY_MODEL = {
    "model_updates": "20", "check_every": "10", "rollout_every": "5", "num_rollouts": "16",
    "model_hidden_dims": "16",
}  # fmt: skip
WHICH = ("model", "linear", "persistence")
STEPS = (1, 10, 50)  # without a look at the data, in the table of models


@dataclass(frozen=True)
class Settings(study.Settings):
    """The study."""

    quick: bool = False  # tiny sizes, which only show that everything runs


def main(given: cli.Given) -> None:
    """Runs the missing cells, judges the models, and writes the pages."""
    settings = cli.parse(Settings, given)
    cells = study_of(settings)
    study.run(cells, __doc__ or "", settings)
    folder = Path(settings.runs) / cells.results.name
    for _, run, record in models_of(cells, folder):
        if run.exists() and not record.exists():
            states = "10" if settings.quick else "300"
            info({"run": str(run), "num_states": states, "quiet": str(settings.quiet)})
            files.write_json(record, files.read_json(run / "model.json"))
    write(cells, folder)


def study_of(settings: Settings) -> Study:
    """Returns the study with these settings."""
    if not settings.quick:
        results = Path(__file__).parent / "results" / "models"
        pairs = dict.fromkeys(IN_MODEL, NO_MODEL)
        return Study(results, ROWS, SETS, 5, pairs)
    results = Path(settings.runs) / "results" / "models_quick"
    rows = {
        row: (algo, {**flags, **TINY_AGENT, **(TINY_MODEL if algo == "mobrac" else {})})
        for row, (algo, flags) in ROWS.items()
    }
    return Study(results, rows, {QUICK: SETS[QUICK]}, 2)


def models_of(cells: Study, folder: Path) -> Iterator[tuple[str, Path, Path]]:
    """Yields the name of each cell with a model that has run, its run, and the model's record."""
    for name, column in study.cells(cells).items():
        for row in (each for each in column if each in IN_MODEL):
            stem = study.record_of(cells, row, name).stem
            yield f"{row}, {name}", folder / stem, cells.results / "models" / f"{stem}.json"


def write(cells: Study, folder: Path) -> None:
    """Writes models.md, and prints it."""
    records = {
        name: files.read_json(record)
        for name, _, record in models_of(cells, folder)
        if record.exists()
    }
    text = f"# How good the models are\n\n{table(records)}\n"
    files.write_text(cells.results / "models.md", text)
    print(f"\n{text}")


def table(records: Mapping[str, Any]) -> str:
    """Returns a line per cell, means over the members, in markdown.

    Errors are of the median number of an observation, in its standard deviations over the data.
    """
    lines = []
    for name, record in records.items():
        members = list(record["members"].values())
        at = [members[0]["horizons"].index(step) for step in STEPS]
        errors = [
            " / ".join(f"{_median(members, which, step):.2f}" for which in WHICH) for step in at
        ]
        coverage = np.mean([each["coverage"][-1] for each in members])
        ranks = [
            f"{np.mean([each['rank_correlations'][kind] for each in members]):.2f}"
            for kind in members[0]["rank_correlations"]
        ]
        lines.append([name, *errors, f"{coverage:.1%}", " / ".join(ranks)])
    head = ["", *(f"{step} steps: model / linear / nothing changes" for step in STEPS)]
    kinds = "in the data / random actions / the policy's"
    return markdown([*head, "within 95 %", f"rank correlation: {kinds}"], lines)


def _median(members: list[Any], which: str, step: int) -> float:
    """Returns the error after some steps of the median number of an observation."""
    return float(np.mean([np.median(np.array(each[which][step], float)) for each in members]))


if __name__ == "__main__":
    command = cli.Command(main, (Settings,), (__doc__ or "").splitlines()[0])
    cli.main("python experiments/models.py", command)
