"""BotEvade from logged data of five kinds, 5 seeds as one program.

    python experiments/cellworld_data.py       # makes the data first
    python experiments/cellworld_offline.py    # all missing cells

Rows are those of hanshuo-shuo/Cellworld_Offline (behaviour cloning, discrete CQL and IQL), plus a
Decision Transformer; the study's Dreamer-v3 is left out. `iql-100` uses the study's temperature of
100, `iql-3` the paper's, `iql-0.5` the expectile 0.5, which is the mean; `cql-0.1` and `cql-5` use
these weights instead of 1. Policies play 1,000 episodes each, with the mode of their actions. The
study plays 100 with sampled actions, and reports -17.42 for cloning, -29.06 for IQL and -150.08 for
CQL. `goal` is data of walking straight to the goal. The settings are not tuned.
"""

from pathlib import Path

from rlp import study

FINAL = {"final_episodes": "1000", "num_episodes": "100", "eval_every": "10000"}
CHOICES = {**FINAL, "num_updates": "20000", "normalize": "True"}
IQL = {**CHOICES, "head": "categorical", "expectile": "0.8"}
DATA = "data/cellworld/botevade"
KINDS = ("original", "central", "central-later", "central-augmented", "central-later-augmented")
STUDY = study.Study(
    results=Path(__file__).parent / "results" / "cellworld_offline",
    rows={
        "bc": ("bc", {**CHOICES, "head": "categorical"}),
        "cql": ("dqn", {**CHOICES, "preset": "cql"}),
        "cql-0.1": ("dqn", {**CHOICES, "preset": "cql", "cql_weight": "0.1"}),
        "cql-5": ("dqn", {**CHOICES, "preset": "cql", "cql_weight": "5"}),
        "iql-3": ("iql", {**IQL, "temperature": "3"}),
        "iql-100": ("iql", {**IQL, "temperature": "100"}),
        "iql-0.5": ("iql", {**IQL, "temperature": "3", "expectile": "0.5"}),
        "dt": ("dt", {**CHOICES, "head": "categorical", "num_updates": "5000"}),
    },
    sets={**{kind: f"{DATA}/{kind}.npz" for kind in KINDS}, "goal": f"{DATA}/goal.npz"},
    num_seeds=5,
    decimals=2,
)

if __name__ == "__main__":
    study.main("python experiments/cellworld_offline.py", __doc__ or "", STUDY)
