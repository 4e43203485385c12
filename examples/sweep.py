"""A sweep as one program: two expectiles of IQL, two seeds each, and the best one's policy.

python examples/sweep.py                       # a minute on 2 cores
python examples/sweep.py --num_updates=20000   # long enough for a policy that walks
"""

import sys

import numpy as np

import rlp

num_updates = 1000
for word in sys.argv[1:]:
    num_updates = int(word.removeprefix("--num_updates="))

run = rlp.train(
    "iql",
    "walker-walk/medium",
    seeds=2,
    expectile=[0.7, 0.9],  # a list of a hyperparameter: members of the same program
    num_updates=num_updates,
    eval_every=num_updates,
    final_episodes=4,
)
for label, value in zip(run.labels, run.returns, strict=True):
    print(f"{label}: mean return {value:.0f}")
policy = rlp.load_policy(run.directory, member="best")
action = policy(np.zeros(24))
print(f"in a state of zeros the best one does {np.round(action, 2)}")
