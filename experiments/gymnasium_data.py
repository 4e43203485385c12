"""Data sets of gymnasium's HalfCheetah, Hopper and Walker2d, made with existing policies.

    python experiments/gymnasium_data.py --policies=../shared/data/policies --num_steps=100000

The policies are DLR-RM's rl-trained-agents (MIT) as arrays (`rlp/interop/policy_file.py`). Makes
the missing files `data/gymnasium/BODY-KIND.npz` with their data cards. Writes the returns of the
sets and the time that each took to results/gymnasium_data.json, and prints a table with D4RL's
scores. For `medium-expert` join both: `--dataset=data/gymnasium/halfcheetah-medium.npz+...`.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlp import cli, data
from rlp.cli.tables import markdown
from rlp.commands.demonstrate import demonstrate
from rlp.config import Positive
from rlp.data.episodes import fingerprint
from rlp.envs.bodies import d4rl_score
from rlp.runs import provenance
from rlp.system import files


class Made(NamedTuple):
    """How a set is made."""

    env: str
    policy: str
    temperature: float


SETS = {
    "halfcheetah-expert": Made("gym:HalfCheetah-v4", "tqc_HalfCheetah", 1),
    "halfcheetah-medium": Made("gym:HalfCheetah-v4", "ppo_HalfCheetah", 1),
    "hopper-expert": Made("gym:Hopper-v4", "trpo_Hopper", 0),
    "hopper-medium": Made("gym:Hopper-v4", "sac_Hopper", 1),
    "walker2d-expert": Made("gym:Walker2d-v4", "trpo_Walker2d", 0),
    "walker2d-medium": Made("gym:Walker2d-v4", "tqc_Walker2d", 1),
}


@dataclass(frozen=True)
class Settings:
    """The sets."""

    policies: str  # folder of the policies' files
    num_steps: Positive = 1_000_000  # of each, in whole episodes
    sets: str = ""  # which, separated by commas (default: all)
    out: str = "data/gymnasium"  # folder of the sets
    json: str = str(Path(__file__).parent / "results" / "gymnasium_data.json")  # file for figures


def make(given: cli.Given) -> None:
    """Makes the missing sets, prints the table and writes the figures."""
    settings = cli.parse(Settings, given)
    record = Path(settings.json)
    found: dict[str, Any] = files.read_json(record)["sets"] if record.exists() else {}
    for name in cli.chosen("sets", settings.sets or ",".join(SETS), SETS):
        path = Path(settings.out) / f"{name}.npz"
        if path.exists():
            continue
        began = time.perf_counter()
        made = SETS[name]
        demonstrate(
            made.env,
            {
                "policy": str(Path(settings.policies) / f"{made.policy}.npz"),
                "temperature": str(made.temperature),
                "num_steps": str(settings.num_steps),
                "licence": "MIT (DLR-RM/rl-trained-agents)",
                "out": str(path),
            },
        )
        seconds = time.perf_counter() - began
        read = data.load(str(path))
        found[name] = {
            "env": made.env, "policy": made.policy, "temperature": made.temperature,
            "seconds": seconds, "steps": int(read.lengths.sum()), "returns": read.returns.tolist(),
            "fingerprint": fingerprint(read),
        }  # fmt: skip
        files.write_json(record, {"sets": found, **provenance.environment()})
    print(table(found))


def table(found: dict[str, Any]) -> str:
    """Returns a line per set, in markdown."""
    rows = []
    for name, made in found.items():
        returns = np.array(made["returns"])
        scores = d4rl_score(made["env"], returns)
        assert scores is not None
        rows.append([
            name, made["policy"], "sampled" if made["temperature"] else "mean",
            f"{len(returns)}", f"{returns.mean():,.0f} ± {returns.std(ddof=1):,.0f}",
            f"{scores.mean():.1f}", f"{made['steps'] / made['seconds']:,.0f}",
        ])  # fmt: skip
    head = ("", "policy", "actions", "episodes", "return", "D4RL score", "steps/s")
    return markdown(head, rows)


if __name__ == "__main__":
    doc = (__doc__ or "").splitlines()[0]
    command = cli.Command(make, (Settings,), doc)
    cli.main("python experiments/gymnasium_data.py", command)
