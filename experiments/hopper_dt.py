"""The Decision Transformer on Hopper, with immediate rewards and with all reward at the end.

    python experiments/gymnasium_data.py --policies=FOLDER   # the data
    python experiments/hopper_dt.py                          # all missing cells
    python experiments/hopper_dt.py --quick                  # the same steps with tiny sizes

The setting is that of HzcIrving/DecisionTransformer_StepbyStep (486fd19): the authors' with K = 20
and a warm-up of 1,000, for 50 times 1,000 updates, 3 seeds as one program. It is evaluated after
every 1,000 updates with 10 episodes, the last ten times with 100. It aims for 3,600, and at the end
also for 1,800. The reported figure is the mean of the last ten evaluations. Cloning, of all data
and of the best tenth, is evaluated in the same way.

In rows that end in `delayed`, the last step of an episode has the whole return as its reward. The
transformer's target is then constant; cloning does not see rewards. The rows with critics use the
light presets, and their last checkpoint is evaluated. Nothing was chosen on Hopper.

`--d4rl=FILE` uses D4RL's hopper-medium-v2 in any of its forms. Its results are in a separate
folder, next to those reported by the study and the paper (2106.01345).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import decision_transformers as dts
import numpy as np

from rlp import cli, study
from rlp.cli.tables import markdown
from rlp.envs.bodies import d4rl_score
from rlp.study import Study
from rlp.system import files

ENV = "gym:Hopper-v4"
TARGETS = (3_600.0, 1_800.0)
LAST = 10  # evaluations, whose mean is reported
PUBLISHED = {"the study, mean of its last ten": "51.3", "the paper": "67.6"}  # D4RL's score
GOAL = 0.9  # share of the transformer's return to keep with delayed rewards
SCHEDULE = {
    "num_updates": "50000", "eval_every": "1000", "num_episodes": "10", "final_episodes": "100",
    "final_evaluations": str(LAST),
}  # fmt: skip
DT = {**SCHEDULE, "preset": "paper", "warmup_updates": "1000", "target_return": "3600"}
CRITICS = ("td3bc", "iql", "rebrac", "cqlsac")
ROWS: study.Rows = {
    "dt": ("dt", DT),
    "dt-delayed": ("dt", {**DT, "mode": "delayed"}),
    "bc": ("bc", SCHEDULE),
    "bc-10%": ("bc", {**SCHEDULE, "top_fraction": "0.1"}),
    **{row: (row, {}) for row in CRITICS},
    **{f"{row}-delayed": (row, {"delayed": "True"}) for row in CRITICS},
}
PAIRS = {"dt-delayed": "dt", **{f"{row}-delayed": row for row in CRITICS}}
QUICK = ("dt", "dt-delayed", "bc", "bc-10%", "iql", "iql-delayed")  # rows
TINY = {
    "num_updates": "20", "log_every": "10", "eval_every": "10", "num_episodes": "1",
    "final_episodes": "2", "batch_size": "8",
}  # fmt: skip


@dataclass(frozen=True)
class Settings(study.Settings):
    """The study."""

    d4rl: str = ""  # D4RL's hopper-medium-v2, instead of ours
    quick: bool = False  # tiny sizes, which only show that everything runs


def main(given: cli.Given) -> None:
    """Runs the missing cells, measures the transformers and writes the pages."""
    settings = cli.parse(Settings, given)
    cells = study_of(settings)
    study.run(cells, __doc__ or "", settings)
    folder, records = Path(settings.runs) / cells.results.name, cells.results / "transformers"
    for row in ("dt", "dt-delayed"):
        if (cells.results / f"{row}_medium.json").exists():
            num_episodes = 1 if settings.quick else 100
            run, path = dts.run_of(folder, row, "medium"), records / f"{row}.json"
            dts.measure(path, run, TARGETS, num_episodes, settings.quiet)
    write(cells, dts.read(records), bool(settings.d4rl))


def study_of(settings: Settings) -> Study:
    """Returns the study with these settings."""
    name = "hopper_dt_d4rl" if settings.d4rl else "hopper_dt"
    chosen, tiny = (QUICK, TINY) if settings.quick else (ROWS, {})
    rows = {row: ROWS[row] for row in chosen}
    sets = {"medium": settings.d4rl or "data/gymnasium/hopper-medium.npz"}
    return dts.study_of(name, ENV, rows, sets, 3, PAIRS, tiny, settings.runs)


def write(cells: Study, records: Mapping[str, dts.Record], is_d4rl: bool) -> None:
    """Writes decision_transformers.md and its picture, and prints its text."""
    with files.whole(cells.results / "decision_transformers.png") as file:
        dts.picture(records).savefig(file, dpi=110)
    sections = [table(records, is_d4rl), delayed(cells, records)]
    title = "# The transformers: mean of the last ten evaluations, and targets"
    parts = [
        title,
        *sections,
        "![loss, return achieved, reward, return to go](decision_transformers.png)",
    ]
    files.write_text(cells.results / "decision_transformers.md", "\n\n".join(parts) + "\n")
    print("\n\n" + "\n\n".join(sections))


def table(records: Mapping[str, dts.Record], is_d4rl: bool) -> str:
    """Returns a line per transformer, and published results if the data is D4RL's."""
    lines = []
    for name, record in records.items():
        last = dts.over_last(record, LAST)
        score = d4rl_score(ENV, last)
        assert score is not None
        asked = [dts.text(each) for each in dts.achieved(record).values()]
        loss = dts.losses(record)
        lines.append(
            [name, dts.text(last), f"{score.mean():.1f}", *asked, f"{loss[max(loss)]:.4f}"]
        )
    if is_d4rl:
        lines += [[name, "", score, "", "", ""] for name, score in PUBLISHED.items()]
    head = ["", "return", "D4RL's score", *(f"asked for {t:,.0f}, last" for t in TARGETS)]
    return markdown([*head, "last loss"], lines)


def delayed(cells: Study, records: Mapping[str, dts.Record]) -> str:
    """Returns a list of the share of its return that each row keeps with delayed rewards."""
    column = study.cells(cells).get("medium", {})
    means = {row: cell.members for row, cell in column.items()}
    means |= {row: dts.over_last(record, LAST) for row, record in records.items()}
    lines = []
    for late, row in PAIRS.items():
        if late in means and row in means and len(means[late]) and len(means[row]):
            kept = np.mean(means[late]) / np.mean(means[row])
            reached = f", the goal is {100 * GOAL:.0f} %" if row == "dt" else ""
            lines.append(f"- {row} keeps {100 * kept:.0f} % of its return{reached}")
    return "\n".join(lines)


if __name__ == "__main__":
    command = cli.Command(main, (Settings,), (__doc__ or "").splitlines()[0])
    cli.main("python experiments/hopper_dt.py", command)
