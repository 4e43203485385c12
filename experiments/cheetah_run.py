"""Every algorithm on cheetah-run: medium, medium-replay and expert, 5 seeds as one population.

    python -m rlp.collect cheetah-run --num_steps=200000   # makes the data, 10 minutes on 2 cores
    python experiments/cheetah_run.py                      # every cell that is missing: many hours

The last checkpoint counts, over 10 episodes of each seed from the same initial states.
"""

from pathlib import Path

from rlp import study

STUDY = study.Study(
    results=Path(__file__).parent / "results" / "cheetah_run",
    rows=study.ALGORITHMS,
    sets={kind: f"data/cheetah-run/{kind}" for kind in ("medium", "medium-replay", "expert")},
    num_seeds=5,
)

if __name__ == "__main__":
    study.main("python experiments/cheetah_run.py", __doc__ or "", STUDY)
