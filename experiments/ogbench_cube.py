"""OGBench's cube-single, task 1, from regenerated play data: success of 5 seeds as one program.

    python experiments/ogbench_cube.py   # makes the data and all missing cells: an hour

The data is 100 episodes of 1,001 steps of OGBench's scripted oracle, a tenth of the published set's
size (`rlp.interop.ogbench_play`). If you have the published set, `python -m rlp.train fql
--dataset=og:cube-single-play-singletask-task1-v0 --preset=paper` trains on it. The last checkpoint
is evaluated over 50 episodes of each seed.
"""

import sys
from pathlib import Path

from rlp import study
from rlp.cli.terminal import Terminal
from rlp.interop import ogbench_play

NUM_EPISODES = 100
DATA = Path("data/ogbench/cube-single-play-v0.npz")
FLAGS = {
    "env": "og:cube-single-play-singletask-task1-v0",
    "final_episodes": "50",
    "eval_every": "1000000",
}
ROWS = ("bc", "fql", "iql", "rebrac")
STUDY = study.Study(
    results=Path(__file__).parent / "results" / "ogbench_cube",
    rows={row: (row, FLAGS) for row in ROWS},
    sets={"play": str(DATA)},
    num_seeds=5,
)


def make_data() -> None:
    """Makes the data if it is missing."""
    if not DATA.exists():
        with (
            Terminal(quiet=False) as terminal,
            terminal.bar("playing", NUM_EPISODES * 1001) as show,
        ):
            ogbench_play.write(DATA, "cube-single", NUM_EPISODES, on_step=show)


if __name__ == "__main__":
    if "--help" not in sys.argv:
        make_data()
    study.main("python experiments/ogbench_cube.py", __doc__ or "", STUDY)
