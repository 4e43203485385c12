"""Discrete actions: CartPole from d3rlpy's logged data, 5 seeds as one program.

    python experiments/cartpole_offline.py      # all missing cells, 10 minutes on 2 cores

The data is d3rlpy's `cartpole_v1.1.0.h5` (1,582 episodes, mean 63, best 199), which must be in
`data/`. Policies play 100 episodes each of gymnasium's CartPole-v0, which ends after 200 steps. The
last checkpoint is evaluated. The settings of `dqn` and `cql` were chosen on seeds 100 to 104.
"""

from pathlib import Path

from rlp import study

ENV = {"env": "gym:CartPole-v0"}
CHOICES = {**ENV, "head": "categorical"}
STUDY = study.Study(
    results=Path(__file__).parent / "results" / "cartpole_offline",
    rows={
        "bc": ("bc", {**CHOICES, "num_updates": "5000"}),
        "bc-10%": ("bc", {**CHOICES, "num_updates": "5000", "top_fraction": "0.1"}),
        "iql": ("iql", {**CHOICES, "num_updates": "20000"}),
        "cql": ("dqn", {**ENV, "preset": "cql"}),
        "dqn": ("dqn", {**ENV, "preset": "cql", "cql_weight": "0", "num_steps_ahead": "5"}),
        "dt": ("dt", {**CHOICES, "num_updates": "5000"}),
    },
    sets={"logged": "data/cartpole_v1.1.0.h5"},
    num_seeds=5,
)

if __name__ == "__main__":
    study.main("python experiments/cartpole_offline.py", __doc__ or "", STUDY)
