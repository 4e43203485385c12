r"""How much episodes of another task help: the walker study of one task, with the data of both.

    python -m rlp.data relabel walker-run/medium+walker-run/medium-replay data/run-as-walk \
        --env=walker-walk
    python -m rlp.data relabel walker-walk/medium+walker-walk/medium-replay data/walk-as-run \
        --env=walker-run
    python experiments/shared_data.py    # all missing cells, and the table

The first two commands compute the rewards of each task for the episodes of the other, in 15 seconds
each. `rebrac-mirror` also learns from the mirror images of all episodes, with twice as many
updates. Everything else is as in `walker_multitask.py`.
"""

from pathlib import Path

from walker_multitask import STUDY as SEPARATE

from rlp import study

_, FAR = study.ALGORITHMS["rebrac-far"]
OTHERS = {"walker-walk": "data/run-as-walk", "walker-run": "data/walk-as-run"}
STUDY = SEPARATE._replace(
    results=Path(__file__).parent / "results" / "shared_data",
    rows={
        "rebrac-far": ("rebrac", FAR),
        "rebrac-mirror": ("rebrac", {**FAR, "mirror": "True", "num_updates": "60000"}),
    },
    sets={task: f"{SEPARATE.sets[task]}+{other}" for task, other in OTHERS.items()},
)

if __name__ == "__main__":
    study.main("python experiments/shared_data.py", __doc__ or "", STUDY)
