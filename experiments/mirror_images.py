"""How much it helps to know that the walker's legs are alike: the walker study with mirror images.

    python experiments/mirror_images.py    # all missing cells, and the table

`rebrac-mirror` is `rebrac-far` of `walker_multitask.py` on data with the mirror image of every
episode added. This uses knowledge of the body that the algorithms of the study do not have.
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
