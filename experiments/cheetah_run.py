"""Every algorithm on cheetah-run: medium, medium-replay and expert, 5 seeds as one population.

    python -m rlp.collect cheetah-run --num_steps=200000   # makes the data, 10 minutes on 2 cores
    python experiments/cheetah_run.py                      # every cell that is missing: many hours

The rows are the light presets, most of which were chosen on the walker, and three that stay nearer
to the data, with LayerNorm in the critics and fewer updates. How near was chosen on medium, with
seeds 100 and 101 and other initial states. The last checkpoint counts, over 100 episodes of each
seed from the same initial states; each row is also compared with cloning, seed by seed.
"""

from pathlib import Path

from rlp import study

NEARER: study.Rows = {
    "td3bc-near": ("td3bc", {"alpha": "0.4", "layer_norm": "after", "num_updates": "30000"}),
    "iql-near": (
        "iql",
        {
            "temperature": "1", "layer_norm": "after",
            "actor_learning_rate": "1e-3", "num_updates": "20000",
        },
    ),
    "rebrac-near": (
        "rebrac",
        {
            "actor_penalty": "1", "num_updates": "15000",
            "num_critics": "2", "decay_learning_rates": "False", "discount": "0.99",
        },
    ),
}  # fmt: skip
STUDY = study.Study(
    results=Path(__file__).parent / "results" / "cheetah_run",
    rows={**study.ALGORITHMS, **NEARER},
    sets={kind: f"data/cheetah-run/{kind}" for kind in ("medium", "medium-replay", "expert")},
    num_seeds=5,
    pairs={row: "bc" for row in (*study.ALGORITHMS, *NEARER) if row != "bc"},
)

if __name__ == "__main__":
    study.main("python experiments/cheetah_run.py", __doc__ or "", STUDY)
