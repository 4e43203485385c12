"""The walker study of both tasks with unscaled rewards: the effect of `--balance_tasks`.

    python experiments/unbalanced_tasks.py    # all missing cells, and the table

Everything else is as in `walker_multitask.py`.
"""

from pathlib import Path

from walker_multitask import STUDY as BALANCED

from rlp import study

WITH_CRITICS = ("td3bc", "iql", "rebrac", "rebrac-far", "cqlsac", "cqlsac-filter")
STUDY = BALANCED._replace(
    results=Path(__file__).parent / "results" / "unbalanced_tasks",
    rows={
        row: (algo, {**flags, "balance_tasks": "False"})
        for row, (algo, flags) in BALANCED.rows.items()
        if row in WITH_CRITICS
    },
    sets={"both": BALANCED.sets["both"]},
)

if __name__ == "__main__":
    study.main("python experiments/unbalanced_tasks.py", __doc__ or "", STUDY)
