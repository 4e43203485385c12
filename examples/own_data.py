"""Your own data: arrays in, a policy out, no simulator anywhere.

    python examples/own_data.py

A point on a line is to be brought to 0. The log is of somebody who moved it at random: the policy
that comes out does better, because it learns from rewards.
"""

import numpy as np

import rlp

STEPS, EPISODES = 20, 200


def log(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Returns what was logged: a row a step, episode after episode."""
    rows = []
    for _ in range(EPISODES):
        place = rng.uniform(-1, 1)
        for step in range(STEPS):
            move = rng.uniform(-1, 1)
            rows.append((place, move, -abs(place), step == STEPS - 1))
            place = np.clip(place + 0.2 * move, -1, 1)
    place, move, reward, last = map(np.array, zip(*rows, strict=True))
    return {"place": place, "move": move, "reward": reward, "last": last}


frame = log(np.random.default_rng(0))
data = rlp.from_arrays(
    observation=frame["place"][:, None],
    action=frame["move"][:, None],
    reward=frame["reward"],
    terminated=np.zeros(len(frame["last"]), bool),  # nothing ends the task itself
    truncated=frame["last"],  # a time limit: something would have followed
)
run = rlp.train(
    "iql", data, eval_every=0, validation=0.1, num_updates=2000, hidden_dims=[64, 64], discount=0.9
)
policy = rlp.load_policy(run.directory)

place, total = 0.9, 0.0
for _ in range(STEPS):
    total -= abs(place)
    place = float(np.clip(place + 0.2 * policy([place])[0], -1, 1))
print(f"from 0.9 the policy comes to {place:.2f}, with a return of {total:.1f}")
logged = frame["reward"].reshape(EPISODES, STEPS).sum(axis=1)
print(f"the episodes of the log have {logged.mean():.1f} on average")
