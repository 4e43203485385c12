"""Whether `--precision=bf16` learns as well: every algorithm with float32 and with bf16 products.

    python experiments/precision.py                           # all missing cells
    python experiments/precision.py --rows=bc,bc-bf16

Seeds 0 to 3 as one population, on sets with a small spread of returns. Most algorithms make fewer
updates than in the other studies: only the two rows of an algorithm are compared, seed by seed. The
last checkpoint is evaluated over 100 episodes of each seed.
"""

from pathlib import Path

from rlp import study

ALGORITHMS = {
    "bc": {},
    "iql": {"num_updates": "15000"},
    "td3bc": {"num_updates": "15000"},
    "rebrac": {"num_updates": "15000"},
    "cqlsac": {},
    "dt": {"num_updates": "6000"},
}
STUDY = study.Study(
    results=Path(__file__).parent / "results" / "precision",
    rows={
        name + suffix: (name, {**flags, **more})
        for name, flags in ALGORITHMS.items()
        for suffix, more in (("", {}), ("-bf16", {"precision": "bf16"}))
    },
    sets={name: name for name in ("walker-walk/medium", "walker-run/medium")},
    num_seeds=4,
    pairs={f"{name}-bf16": name for name in ALGORITHMS},
)

if __name__ == "__main__":
    study.main("python experiments/precision.py", __doc__ or "", STUDY)
