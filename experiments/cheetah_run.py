"""Every algorithm on cheetah-run: medium, medium-replay and expert, 5 seeds as one population.

    python -m rlp.collect cheetah-run --num_steps=200000   # makes the data, 10 minutes on 2 cores
    python experiments/cheetah_run.py                      # every cell that is missing: some hours

The rows are the light presets, most of which were chosen on the walker, and `cqlsac-filter`, which
clones more, but only the actions of the data that its critics prefer to the policy's, and whose
target critics follow four times as fast. How much it clones was chosen on medium-replay and expert,
how fast targets follow on medium-replay, with seeds 100 to 102 and other initial states. The last
checkpoint counts, over 100 episodes of each seed from the same initial states; each row is also
compared with cloning, seed by seed.
"""

from pathlib import Path

from rlp import study

STUDY = study.Study(
    results=Path(__file__).parent / "results" / "cheetah_run",
    rows=study.ALGORITHMS,
    sets={kind: f"data/cheetah-run/{kind}" for kind in ("medium", "medium-replay", "expert")},
    num_seeds=5,
    pairs={row: "bc" for row in study.ALGORITHMS if row != "bc"},
)

if __name__ == "__main__":
    study.main("python experiments/cheetah_run.py", __doc__ or "", STUDY)
