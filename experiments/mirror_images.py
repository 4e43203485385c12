"""What knowing that the walker's legs are alike is worth: the walker study with mirror images.

    python experiments/mirror_images.py    # every cell that is missing, and the table

`rebrac-mirror` is `rebrac-far` of `walker_multitask.py`, whose data has the mirror image of every
episode, too. That is knowledge of the body, which the algorithms of the study do not have.
"""

from pathlib import Path

from walker_multitask import STUDY as WITHOUT

from rlp import study

_, FAR = study.ALGORITHMS["rebrac-far"]
STUDY = WITHOUT._replace(
    results=Path(__file__).parent / "results" / "mirror_images",
    rows={"rebrac-mirror": ("rebrac", {**FAR, "mirror": "True"})},
)

if __name__ == "__main__":
    study.main("python experiments/mirror_images.py", __doc__ or "", STUDY)
