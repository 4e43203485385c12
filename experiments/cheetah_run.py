"""Every algorithm on cheetah-run: medium, medium-replay and expert, 5 seeds as one population.

    python -m rlp.collect cheetah-run --num_steps=200000   # makes the data, 10 minutes on 2 cores
    python experiments/cheetah_run.py                      # all missing cells: some hours

The rows are the light presets, most of which were chosen on the walker, and `cqlsac-filter`. It
clones more, but only actions of the data that its critics prefer to the policy's, and its target
critics follow four times as fast. Its weight of cloning was chosen on medium-replay and expert, the
speed of its targets on medium-replay, with seeds 100 to 102 and other initial states. The last
checkpoint is evaluated over 100 episodes of each seed from the same initial states. Each row is
also compared with cloning, seed by seed.
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
