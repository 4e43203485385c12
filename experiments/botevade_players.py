"""Returns of players without learning in BotEvade: the planner, walking to the goal, random.

    python experiments/botevade_players.py    # minutes on 2 cores; CELLWORLD_CACHE names the files

Each plays 1,000 episodes of `jax:botevade-35` from the initial states of evaluations. Versions of
the planner were not compared on these. Success is reaching the goal without a capture. Every return
is in results/botevade_players.json.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rlp import cli, envs, statistics
from rlp.cli.tables import markdown
from rlp.evaluation import device_rollout, players
from rlp.evaluation.rollout import evaluation_seeds
from rlp.runs import provenance
from rlp.system import files

RESULTS = Path(__file__).parent / "results" / "botevade_players.json"
ENV = "jax:botevade-35"


@dataclass(frozen=True)
class Settings:
    """The episodes."""

    num_episodes: int = 1_000  # of each player


def main(given: cli.Given) -> None:
    """Plays, writes the record and prints the table."""
    settings, env = cli.parse(Settings, given), envs.make_jax(ENV)
    seeds = jnp.asarray(evaluation_seeds(settings.num_episodes), jnp.uint32)
    keys, targets = jax.random.split(jax.random.key(0), 1), jnp.zeros(len(seeds))
    found, lines = {}, []
    for name in players.PLAYERS:
        player, policy = players.read(name, env, ENV)
        returns, measures = device_rollout.evaluate(
            player, env.spec, policy, env, seeds, targets, keys
        )
        values = np.asarray(returns[0], float)
        success = np.asarray(measures["success"][0])
        found[name] = {"returns": values.tolist(), "success": success.tolist()}
        low, high = statistics.mean_interval(values)
        shares = statistics.mean_interval(success.astype(float))
        text = f"{success.mean():.1%} ({shares[0]:.1%} to {shares[1]:.1%})"
        lines.append([name, f"{values.mean():.2f} ({low:.2f} to {high:.2f})", text])
    files.write_json(RESULTS, {"env": ENV, "players": found, **provenance.environment()})
    print(markdown(["", "return", "goal without a capture"], lines))


if __name__ == "__main__":
    command = cli.Command(main, (Settings,), (__doc__ or "").splitlines()[0])
    cli.main("python experiments/botevade_players.py", command)
