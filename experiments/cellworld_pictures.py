"""Pictures of BotEvade: the arena with the paths of a data set's episodes, and one episode as gif.

    python experiments/cellworld_pictures.py --dataset=data/cellworld/botevade/planner.npz

Writes docs/botevade.png and docs/botevade.gif. Needs the user's files of cellworld_data.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image

from rlp import cli, data
from rlp.config import Positive
from rlp.data.episodes import Episode
from rlp.envs import cellworld_resources as resources
from rlp.envs.botevade import CAPTURE_DISTANCE, GOAL, GOAL_DISTANCE, STEP
from rlp.system import files

DOCS = Path(__file__).parents[1] / "docs"
PUFFED = 8  # index in an observation: whether the prey was captured in the step


@dataclass(frozen=True)
class Settings:
    """The pictures."""

    dataset: str  # of BotEvade
    num_episodes: Positive = 40  # episodes whose paths are drawn
    episode: int = 0  # number of the gif's episode
    out: str = str(DOCS / "botevade")  # path of both pictures, without suffix


def draw(given: cli.Given) -> None:
    """Writes the picture and the gif."""
    settings = cli.parse(Settings, given)
    episodes = data.load(settings.dataset).episodes
    with files.whole(Path(f"{settings.out}.png")) as file:
        ways(episodes[: settings.num_episodes]).savefig(file, format="png", dpi=100)
    seen = episodes[settings.episode].observation
    frames = [_frame(seen[: t + 1]) for t in range(len(seen))]
    with files.whole(Path(f"{settings.out}.gif")) as file:
        first, *others = [frame.quantize(32) for frame in frames]
        first.save(
            file, "GIF", save_all=True, append_images=others, duration=round(1000 * STEP), loop=0
        )


def ways(episodes: Sequence[Episode]) -> Figure:
    """Returns the arena with the paths of preys, and the places of captures."""
    figure = Figure(figsize=(6, 5.4), layout="constrained")
    axes = _arena(figure)
    for episode in episodes:
        seen = episode.observation
        axes.plot(seen[:, 0], seen[:, 1], color="C0", alpha=0.4, linewidth=1)
        captured = seen[:, PUFFED] > 0
        axes.plot(seen[captured, 0], seen[captured, 1], "x", color="C3")
    return figure


def _frame(seen: np.ndarray) -> Image.Image:
    """Returns the arena after observations [T, 11]: the path so far, and the predator if seen."""
    figure = Figure(figsize=(3.6, 3.2), layout="constrained")
    axes = _arena(figure)
    axes.plot(seen[:, 0], seen[:, 1], color="C0", linewidth=1)
    axes.plot(*seen[-1, :2], "o", color="C0")
    if seen[-1, 3:5].any():
        axes.plot(*seen[-1, 3:5], "s", color="C3")
        axes.add_patch(_circle(seen[-1, 3:5], CAPTURE_DISTANCE, "C3"))
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=80)
    return Image.open(file).convert("RGB")


def _arena(figure: Figure) -> Any:
    """Returns axes with the arena's walls, its occlusions and the goal."""
    axes, walls = figure.subplots(), resources.read().walls
    for side in walls.vertices[walls.sides]:
        axes.plot(*side.T, color="black", linewidth=1)
    axes.add_patch(_circle(GOAL, GOAL_DISTANCE, "C2"))
    axes.set_aspect("equal")
    axes.axis("off")
    return axes


def _circle(place: Any, radius: float, color: str) -> Any:
    return Circle(tuple(place), radius, color=color, alpha=0.3, linewidth=0)


if __name__ == "__main__":
    command = cli.Command(draw, (Settings,), (__doc__ or "").splitlines()[0])
    cli.main("python experiments/cellworld_pictures.py", command)
