"""Do held-out episodes say which trial of a search is best? Three criteria against returns.

    python experiments/held_out_criteria.py     # a quarter of an hour on one core

A search by each of two algorithms, on walker-walk, medium and medium-replay joined: small
networks, 10,000 updates, 12 trials of one seed. A tenth of the episodes is held out, and a
simulator evaluates every trial in 10 episodes at the end. The record is
results/held_out_criteria.json.
"""

from pathlib import Path
from typing import Any

import numpy as np
import scipy

import rlp
from rlp.cli.tables import markdown
from rlp.runs import Run, provenance
from rlp.runs.ranking import CRITERIA, goodness
from rlp.system import files

RESULT = Path(__file__).parent / "results" / "held_out_criteria.json"
DATA = "walker-walk/medium+walker-walk/medium-replay"
RATES = "actor_learning_rate=1e-4..3e-3:log,critic_learning_rate=1e-4..3e-3:log"
SEARCHES = {
    "iql": f"{RATES},expectile=0.6..0.95,temperature=0.5..10:log",
    "td3bc": f"{RATES},alpha=0.25..10:log",
}
SMALL: dict[str, Any] = {
    "hidden_dims": (64, 64), "batch_size": 128, "num_updates": 10_000, "eval_every": 10_000,
    "final_episodes": 10, "validation": 0.1, "seed": 100,
}  # fmt: skip


def judged(run: Run) -> dict[str, Any]:
    """Returns how well each criterion ranks the trials of a run, and every value of them."""
    values, labels = run.judged(), run.labels
    returns, found = values["return"], {}
    for criterion in CRITERIA:
        if criterion != "return" and criterion in values:
            good = goodness(criterion, values[criterion])
            found[criterion] = {
                "rank_correlation": float(scipy.stats.spearmanr(good, returns).statistic),
                "chosen_return": float(returns[np.argmax(good)]),
                "values": dict(zip(labels, values[criterion].tolist(), strict=True)),
            }
    of_trials = dict(zip(labels, returns.tolist(), strict=True))
    return {"returns": of_trials, "criteria": found, "search": run.record["settings"]["search"]}


def table(record: dict[str, Any]) -> str:
    """Returns what the record says of each criterion, in markdown."""
    lines = []
    for algo in SEARCHES:
        returns = np.array(list(record[algo]["returns"].values()))
        for criterion, found in record[algo]["criteria"].items():
            earned = found["chosen_return"], returns.mean(), returns.max()
            correlation = f"{found['rank_correlation']:.2f}"
            lines.append([algo, f"`{criterion}`", correlation, *(f"{each:.0f}" for each in earned)])
    head = ["", "ranked by", "rank correlation", "the chosen one earns", "mean trial", "best trial"]
    return markdown(head, lines)


def main() -> None:
    """Searches, writes the record and prints the table."""
    record: dict[str, Any] = {"settings": {"data": DATA, **SMALL}, **provenance.environment()}
    for algo, search in SEARCHES.items():
        run = rlp.train(algo, DATA, search=search, trials=12, **SMALL)
        record[algo] = {**judged(run), "fingerprint": run.record["data"]["fingerprint"]}
    files.write_json(RESULT, record)
    print(table(record))


if __name__ == "__main__":
    main()
