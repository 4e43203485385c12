"""The walker study: six algorithms on one task and on both, 5 seeds as one population.

    python experiments/walker_multitask.py                 # all missing cells: many hours
    python experiments/walker_multitask.py --rows=iql      # one algorithm
    python experiments/walker_multitask.py --sets=both     # both tasks

Every algorithm learns from medium and medium-replay of walker-walk, of walker-run, and of both
tasks, which a one-hot task distinguishes. The number of updates is fixed for each algorithm.
Settings other than the authors' were chosen on other seeds. The last checkpoint is evaluated over
100 episodes per task. `cqlsac-filter` clones more than `cqlsac`, but only actions that its critics
prefer to the policy's, and its targets follow four times as fast; it is the setting of cheetah-run.
`rebrac-far` is `rebrac` with a tenth of its preset's penalty on actions far from the data's,
because half of these episodes come from early learning.

Variations of such a study are one command each:

    python -m rlp.train bc --seed=100 --num_seeds=2 --input_noise=0,1e-5,1e-3,1e-1
    python -m rlp.train iql --seed=100 --num_seeds=2 --reward_scale=1,10 --discount=0.95,0.97,0.99
    python -m rlp.train iql --seed=100 --num_seeds=2 --dataset=walker-walk/medium-replay
    python -m rlp.train bc --dataset=walker-walk/medium+walker-run/medium
    python -m rlp.train bc --dataset=walker-walk/medium+walker-run/medium --show_task=False
    python -m rlp.train iql --dataset=walker-walk/medium+walker-run/medium --balance_tasks=False

On TD3's data (51 episodes of each kind; best episode 963 on walk, 318 on run) a study reports, over
10 episodes: BC 855 +- 207 and 308 +- 25, TD3+BC 934 +- 102 and 275 +- 70, CQL 935 +- 103 and
292 +- 58, DT 956 +- 15 and 258 +- 4.
"""

from pathlib import Path

from rlp import study

TASKS = {task: f"{task}/medium+{task}/medium-replay" for task in ("walker-walk", "walker-run")}
STUDY = study.Study(
    results=Path(__file__).parent / "results" / "walker_multitask",
    rows=study.ALGORITHMS,
    sets={**TASKS, "both": "+".join(TASKS.values())},
    num_seeds=5,
)

if __name__ == "__main__":
    study.main("python experiments/walker_multitask.py", __doc__ or "", STUDY)
