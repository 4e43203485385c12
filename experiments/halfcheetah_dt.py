"""Decision Transformer, cloning and critics on HalfCheetah: which performs better, and why?

    python experiments/gymnasium_data.py --policies=FOLDER    # the data
    python experiments/halfcheetah_dt.py            # all missing cells
    python experiments/halfcheetah_dt.py --quick    # the same steps with tiny sizes

All rows vary the quality of the data: episodes of an expert, of a medium policy, and of both. Four
rows also vary its size: all episodes, or 10 % and 1 % of them, evenly spaced (`@`).
`--d4rl_expert=FILE --d4rl_medium=FILE` use D4RL's own data, or Hugging Face's, instead of ours;
their results are in a separate folder.

`dt-blog` has the settings of Hugging Face's blog (edbeeching/decision_transformer_gym_replay) and
makes 6,000 updates, like its reproduction in CS188, which took 40 minutes. `dt-k1` is the same with
one step of context. `dt` and all other rows use the light presets with two layers of 256; none was
chosen on HalfCheetah. 5 seeds are one program. The last checkpoint is evaluated over 100 episodes
of each seed from the same initial states. decision_transformers.md has more about the transformers:
loss, speed, the return that they achieve for each target, and how reward and return to go change
within an episode.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import decision_transformers as dts
import numpy as np

from rlp import cli, study
from rlp.cli.tables import markdown
from rlp.commands.evaluate import evaluate_runs
from rlp.errors import InputError
from rlp.evaluation import video
from rlp.runs.results import Result
from rlp.study import Study
from rlp.system import files

ENV = "gym:HalfCheetah-v4"
BLOG = {
    "preset": "paper", "num_updates": "6000", "warmup_updates": "600", "log_every": "100",
    "eval_every": "2000",
}  # fmt: skip
TWO_LAYERS = {"hidden_dims": "256,256"}
WHOLE: study.Rows = {
    "dt-blog": ("dt", BLOG),
    "dt-k1": ("dt", {**BLOG, "context": "1"}),
    "dt": ("dt", {}),
    "bc": ("bc", TWO_LAYERS),
    "bc-10%": ("bc", {**TWO_LAYERS, "top_fraction": "0.1"}),
    "td3bc": ("td3bc", TWO_LAYERS),
    "iql": ("iql", TWO_LAYERS),
    "rebrac": ("rebrac", TWO_LAYERS),
    "cqlsac": ("cqlsac", TWO_LAYERS),
    "fql": ("fql", TWO_LAYERS),
}
SIZED = ("dt-blog", "bc", "iql", "rebrac")  # rows that also vary the size of the data
ROWS: study.Rows = {
    **WHOLE,
    **{
        f"{row}@{size}%": (WHOLE[row][0], {**WHOLE[row][1], "data_fraction": str(size / 100)})
        for row in SIZED
        for size in (10, 1)
    },
}
PAIRS = {row: "bc" for row in WHOLE if row not in ("bc", "dt-k1")} | {"dt-k1": "dt-blog"}
COMPARISONS = (  # paired by seed: the text, and the rows of the difference
    ("twenty steps of context beyond one", "dt-blog", "dt-k1"),
    ("a transformer beyond cloning", "dt-blog", "bc"),
    *((f"critics beyond cloning, {row}", row, "bc")
      for row in ("td3bc", "iql", "rebrac", "cqlsac", "fql")),
    *((f"{row} from {size} % of the episodes beyond all of them", f"{row}@{size}%", row)
      for row in SIZED for size in (10, 1)),
)  # fmt: skip
QUICK = ("dt-blog", "dt-k1", "bc", "bc@10%", "iql")  # rows
TINY = {
    "num_updates": "20", "log_every": "10", "eval_every": "20", "num_episodes": "1",
    "final_episodes": "1", "batch_size": "8",
}  # fmt: skip
OF_DT = ("dt-blog", "dt-k1", "dt")
PUBLISHED_MINUTES, PUBLISHED_UPDATES, GOAL = 40, 6_000, 0.9  # GOAL: of the data's mean return
SECONDS = "4"  # of the video


@dataclass(frozen=True)
class Settings(study.Settings):
    """The study."""

    d4rl_expert: str = ""  # D4RL's halfcheetah-expert-v2 or Hugging Face's, instead of ours
    d4rl_medium: str = ""  # likewise for the medium set
    quick: bool = False  # tiny sizes, which only show that everything runs


def main(given: cli.Given) -> None:
    """Runs the missing cells, measures the transformers and writes the pages."""
    settings = cli.parse(Settings, given)
    video.check(Path("x.gif"))  # before a simulator is imported
    cells = study_of(settings)
    study.run(cells, __doc__ or "", settings)
    folder, records = Path(settings.runs) / cells.results.name, cells.results / "transformers"
    for name, column in study.cells(cells).items():
        best = float(next(iter(column.values())).data.max())
        for row in (each for each in OF_DT if each in column):
            run, num_episodes = dts.run_of(folder, row, name), 1 if settings.quick else 20
            targets = [round(share * best) for share in dts.SHARES]
            path = records / f"{row} on {name}.json"
            dts.measure(path, run, targets, num_episodes, settings.quiet)
            film = cells.results / f"{row}_{name}.gif"
            if row == "dt-blog" and not film.exists():
                evaluate_runs({
                    "runs": str(run.directory), "num_episodes": "1", "video": str(film),
                    "video_seconds": SECONDS, "quiet": str(settings.quiet),
                })  # fmt: skip
    write(cells, dts.read(records))


def study_of(settings: Settings) -> Study:
    """Returns the study with these settings."""
    given = (settings.d4rl_expert, settings.d4rl_medium)
    if any(given) and not all(given):
        raise InputError("--d4rl_expert and --d4rl_medium: give both, a file each")
    expert, medium = given if all(given) else (
        f"data/gymnasium/halfcheetah-{kind}.npz" for kind in ("expert", "medium")
    )  # fmt: skip
    name = "halfcheetah_dt_d4rl" if any(given) else "halfcheetah_dt"
    sets = {"expert": expert, "medium-expert": f"{medium}+{expert}", "medium": medium}
    chosen, tiny = (QUICK, TINY) if settings.quick else (ROWS, {})
    rows = {row: ROWS[row] for row in chosen}
    return dts.study_of(name, ENV, rows, sets, 5, PAIRS, tiny, settings.runs)


def write(cells: Study, records: Mapping[str, dts.Record]) -> None:
    """Writes decision_transformers.md and its picture, and prints its text."""
    found = study.cells(cells)
    with files.whole(cells.results / "decision_transformers.png") as file:
        dts.picture(records).savefig(file, dpi=110)
    sections = [*(better(name, column) for name, column in found.items()), why(found, records)]
    sections.append(table(records))
    videos = [f"![{path.stem}]({path.name})" for path in sorted(cells.results.glob("*.gif"))]
    parts = ["# Which performs better, and why", *sections, PICTURE, *videos]
    files.write_text(cells.results / "decision_transformers.md", "\n\n".join(parts) + "\n")
    print("\n\n" + "\n\n".join(sections))


PICTURE = "![loss, return achieved, reward, return to go](decision_transformers.png)"


def better(name: str, column: Mapping[str, Result]) -> str:
    """Returns the order of rows on a whole data set, and what the transformers reach."""
    means = {row: cell.members.mean() for row, cell in column.items() if "@" not in row}
    ranked = sorted(means, key=lambda row: -means[row])
    data = next(iter(column.values())).data.mean()
    order = ", ".join(f"{row} {means[row]:,.0f}" for row in ranked)
    of_dt = ", ".join(
        f"{row} has {100 * means[row] / data:.0f} %"
        f" ({'reached' if means[row] >= GOAL * data else 'not reached'})"
        for row in OF_DT if row in means
    )  # fmt: skip
    return (
        f"**{name}**: {order}. Of the data's mean, {data:,.0f}, of which the goal is 90 %, {of_dt}."
    )


def why(found: Mapping[str, Mapping[str, Result]], records: Mapping[str, dts.Record]) -> str:
    """Returns a list of measurements of what context, targets, critics and data add."""
    lines = []
    for name, column in found.items():
        for label, row, other in COMPARISONS:
            if row in column and other in column:
                ours, theirs = (column[each].episodes.mean(axis=1) for each in (row, other))
                less = (ours - theirs)[np.isfinite(ours - theirs)]
                lines += [f"- {name}, {label}: {dts.text(less)}"] * bool(less.size)
    for name, record in records.items():
        returns = dts.achieved(record)
        pairs = ", ".join(f"{asked:,.0f}: {dts.text(each)}" for asked, each in returns.items())
        lines.append(f"- {name}, achieved for the return it is asked for: {pairs}")
    return "\n".join(lines)


def table(records: Mapping[str, dts.Record]) -> str:
    """Returns a line per transformer: its loss and training time, in markdown."""
    lines = []
    for name, record in records.items():
        curve = dts.losses(record)
        below = [update for update, loss in curve.items() if loss <= 0.01]
        lines.append([
            name, f"{curve[min(curve)]:.3f}", f"{curve[max(curve)]:.4f}",
            f"{min(below):,}" if below else "never",
            f"{dts.minutes(record, PUBLISHED_UPDATES):.1f} (published: {PUBLISHED_MINUTES})",
        ])  # fmt: skip
    head = ["", "first loss", "last loss", "updates to a loss of 0.01"]
    return markdown([*head, f"minutes of {PUBLISHED_UPDATES:,} updates of a seed"], lines)


if __name__ == "__main__":
    command = cli.Command(main, (Settings,), (__doc__ or "").splitlines()[0])
    cli.main("python experiments/halfcheetah_dt.py", command)
