"""BotEvade data sets from learned agents, a planner and others, in the five kinds of the study.

    python experiments/cellworld_data.py            # about an hour on 2 cores; resumes if stopped
    python experiments/cellworld_data.py --quick    # small ones, to see that it runs

Trains a DQN and a QR-DQN (runs/cellworld). Then writes episodes of these agents, the planner, a
player that walks to the goal, and random choices to data/cellworld, each alone and all mixed
(`original`). Four more sets are made from the mixture:

    central               episodes drawn by the share of their steps at central cells
    central-later         the same, but the first two steps of an episode do not count
    central-augmented, central-later-augmented   those, plus a copy of each with shifted positions

A cell is central if more can be seen from it than from around it: the study's centrality derivative
exceeds a tenth of the largest. The study does not say how it augmented its data. Here all positions
in the observation get a measurement error of 0.005 (standard deviation), a tenth of a cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rlp import cli, data, envs
from rlp.cli.tables import markdown
from rlp.commands.demonstrate import demonstrate
from rlp.commands.learn import learn
from rlp.config import Positive
from rlp.data import describe
from rlp.data.episodes import Episode, EpisodeSet
from rlp.data.formats import packed
from rlp.envs import botevade_planner
from rlp.envs import cellworld_resources as resources
from rlp.envs.botevade import GOAL
from rlp.system.files import write_text

AGENTS = {"dqn": "double", "qr-dqn": "quantiles"}  # name -> preset of dqn
MIXTURE = {"dqn": 0.2, "qr-dqn": 0.2, "planner": 0.2, "goal": 0.2, "random": 0.2}
NEIGHBOURS = 0.06  # slightly more than the distance between the centres of adjacent cells
CENTRAL = 0.1  # share of the largest derivative
SHIFT = 0.005  # in widths of the arena
KINDS = {"central": 0, "central-later": 2}  # name -> first steps that do not count


@dataclass(frozen=True)
class Settings:
    """The sets."""

    env: str = "jax:botevade"  # or jax:botevade-35, jax:botevade-continuous (without DQN)
    num_steps: Positive = 150_000  # of each set
    num_learning_steps: Positive = 200_000  # of DQN and QR-DQN
    num_envs: Positive = 64  # stepped together
    out: str = "data/cellworld"  # folder of the sets
    runs: str = "runs/cellworld"  # folder of the runs
    quick: bool = False  # 2,000 steps each, from agents that learned for 2,000 steps
    quiet: bool = False  # print only the results


def make(given: cli.Given) -> None:
    """Makes the missing sets, and prints a table of all."""
    settings = cli.parse(Settings, given)
    if settings.quick:
        settings = replace(settings, num_steps=2_000, num_learning_steps=2_000)
    folder = Path(settings.out) / envs.plain_name(settings.env)
    who = {name: name for name in MIXTURE if name not in AGENTS}
    if envs.make_jax(settings.env).bounds is None:
        who |= {name: str(_learned(settings, name)) for name in AGENTS}
    for name, policy in who.items():
        _play(settings, folder / f"{name}.npz", policy)
    share = sum(MIXTURE[name] for name in who)
    mixed = ",".join(f"{policy}:{MIXTURE[name] / share:.4g}" for name, policy in who.items())
    _play(settings, folder / "original.npz", mixed)
    _write_kinds(folder, settings.env)
    rows = []
    for path in sorted(folder.glob("*.npz")):
        read = data.load(str(path))
        returns = read.returns[read.is_whole]
        rows.append([path.stem, f"{read.lengths.sum():,}", f"{len(returns):,}",
                     f"{returns.mean():.2f}" if len(returns) else ""])  # fmt: skip
    print(markdown(("", "steps", "whole episodes", "their return"), rows))


def _learned(settings: Settings, name: str) -> Path:
    """Returns the completed run of an agent."""
    directory = Path(settings.runs) / f"{envs.plain_name(settings.env)}-{name}"
    if not (directory / "result.json").exists():
        begins = {
            "preset": AGENTS[name], "num_steps": str(settings.num_learning_steps),
            "num_envs": "32", "num_random_steps": str(min(8_000, settings.num_learning_steps // 2)),
            "num_episodes": "100", "runs": str(directory.parent), "name": directory.name,
        }  # fmt: skip
        given = {"resume": str(directory)} if directory.exists() else begins
        learn("dqn", {"env": settings.env, "quiet": str(settings.quiet), **given})
    return directory


def _play(settings: Settings, path: Path, policy: str) -> None:
    if not path.exists():
        demonstrate(settings.env, {
            "policy": policy, "num_steps": str(settings.num_steps), "out": str(path),
            "num_envs": str(settings.num_envs), "noise": "0.1", "quiet": str(settings.quiet),
        })  # fmt: skip


def _write_kinds(folder: Path, env: str) -> None:
    original, rng = data.load(str(folder / "original.npz")), np.random.default_rng(0)
    for name, num_free in KINDS.items():
        drawn = biased(original.episodes, central_cells(env), num_free, rng)
        _write(folder / f"{name}.npz", original, drawn, f"{name} episodes of original")
        shifted = [shift(episode, rng) for episode in drawn]
        how = f"{name}, and each episode again with places shifted"
        _write(folder / f"{name}-augmented.npz", original, [*drawn, *shifted], how)


def _write(path: Path, like: EpisodeSet, episodes: Sequence[Episode], made: str) -> None:
    if not path.exists():
        packed.write(path, replace(like, episodes=episodes, metadata={"made": made}))
        write_text(path.with_suffix(".md"), describe.card(data.load(str(path))))


def central_cells(env: str) -> np.ndarray:
    """Returns which cells are central, [cells] bool."""
    world = resources.read()
    sight = np.asarray(botevade_planner.make(envs.make_jax(env), world.lppo_cells).sight)
    cells = world.open_cells
    centrality = sight[np.ix_(cells, cells)].mean(axis=1)
    between = np.linalg.norm(world.locations[cells][:, None] - world.locations[cells], axis=-1)
    is_neighbour = np.asarray((between > 0) & (between < NEIGHBOURS), float)
    around = is_neighbour @ centrality / np.maximum(is_neighbour.sum(axis=1), 1)
    derivative = np.asarray(centrality - around)
    central = np.zeros(len(world.locations), bool)
    central[cells] = derivative > CENTRAL * derivative.max()
    return central


def biased(
    episodes: Sequence[Episode], central: np.ndarray, num_free: int, rng: np.random.Generator
) -> list[Episode]:
    """Returns episodes with as many steps, drawn by their share of steps at central cells.

    Args:
        episodes: to draw from, with replacement.
        central: [cells] bool.
        num_free: first steps of an episode that do not count.
        rng: of the draws.
    """
    world = resources.read()
    weight = np.zeros(len(episodes))
    for number, episode in enumerate(episodes):
        places = episode.observation[num_free:, :2] * resources.RESOLUTION
        x, y = np.clip(places.astype(int), 0, resources.RESOLUTION - 1).T
        weight[number] = np.mean(central[world.nearest[x, y]]) if len(x) else 0
    num_steps = sum(len(episode.action) for episode in episodes)
    drawn: list[Episode] = []
    while sum(len(episode.action) for episode in drawn) < num_steps:
        chosen = rng.choice(len(episodes), max(1, len(episodes) // 10), p=weight / weight.sum())
        drawn += [episodes[i] for i in chosen]
    return drawn


def shift(episode: Episode, rng: np.random.Generator) -> Episode:
    """Returns an episode with measurement errors in positions and distances."""
    observation = episode.observation.copy()
    is_seen = np.any(observation[:, 3:5], axis=1, keepdims=True)
    prey, predator = SHIFT * rng.standard_normal((2, len(observation), 2))
    observation[:, :2] += prey
    observation[:, 3:5] += np.where(is_seen, predator, 0)
    observation[:, 6] = np.hypot(*(observation[:, :2] - GOAL).T)
    between = np.hypot(*(observation[:, :2] - observation[:, 3:5]).T)
    observation[:, 7] = np.where(is_seen[:, 0], between, observation[:, 7])
    return episode._replace(observation=observation)


if __name__ == "__main__":
    command = cli.Command(make, (Settings,), (__doc__ or "").splitlines()[0])
    cli.main("python experiments/cellworld_data.py", command)
