"""The walker table: algorithms on the bundled data sets, seeds 0 to 4 as one population.

    python experiments/walker.py                                  # all missing cells
    python experiments/walker.py --rows=bc --sets=walker-walk/medium

The last checkpoint is evaluated over 100 episodes of each seed from the same initial states. Prints
the table and its details as markdown; the records are in results/walker.
"""

from pathlib import Path

from rlp import study

STUDY = study.Study(
    results=Path(__file__).parent / "results" / "walker",
    rows={
        "bc": ("bc", {}),
        "cqlsac": ("cqlsac", {}),
    },
    sets={
        name: name
        for name in (
            "walker-walk/medium",
            "walker-walk/medium-replay",
            "walker-run/medium",
            "walker-run/medium-replay",
        )
    },
    num_seeds=5,
)

if __name__ == "__main__":
    study.main("python experiments/walker.py", __doc__ or "", STUDY)
