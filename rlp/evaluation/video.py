"""Videos of policies: the first episode of each member, side by side, with the return so far."""

import importlib.util
import itertools
import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from rlp.envs import Visible
from rlp.errors import InputError
from rlp.evaluation.rollout import Act, OnStep, steps
from rlp.system import files, graphics

MOST_CELLS = 16  # episodes in a picture
TEXT_HEIGHT = 11  # pixels
WHITE = (255, 255, 255)  # colour of the text


class Kind(NamedTuple):
    """How a kind of file shows an episode."""

    cell: tuple[int, int]  # width and height of an episode's picture; multiples of 16
    most_fps: int  # pictures per second
    num_colors: int = 0  # shared by all pictures; 0: no limit


KINDS = {
    ".gif": Kind((160, 128), 10, 32),
    ".mp4": Kind((320, 240), 30),
}


def check(path: Path) -> None:
    """Checks that a video can be made; call it before a simulator is imported.

    Raises:
        InputError: if it cannot; it says what is missing.
    """
    if path.suffix not in KINDS:
        raise InputError(f"--video={path}: must end with {' or '.join(KINDS)}")
    if path.suffix == ".mp4" and not importlib.util.find_spec("imageio_ffmpeg"):
        raise InputError(
            f"--video={path}: imageio-ffmpeg is not installed "
            "(pip install imageio-ffmpeg, the extra `video`; a .gif needs nothing)"
        )
    graphics.choose()


def write(
    path: Path,
    act: Act,
    env: Visible,
    seeds: Sequence[int],
    labels: Sequence[str],
    num_seconds: float,
    on_step: OnStep = lambda _: None,
) -> None:
    """Writes a video of one episode in each environment, completely or not at all.

    Args:
        path: of the file, with a suffix of `KINDS`.
        act: chooses the actions.
        env: N environments.
        seeds: of the initial states, [N].
        labels: text above each episode, [N].
        num_seconds: shown of each episode, in simulated time.
        on_step: called after every step of the environments, with the number of steps so far.
    """
    kind = KINDS[path.suffix]
    every = math.ceil(env.steps_per_second / kind.most_fps)  # steps per picture
    num_steps = min(env.max_episode_steps, round(num_seconds * env.steps_per_second))
    pictures = film(act, env, seeds, labels, kind.cell, every, num_steps, on_step)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / path.name
        fps = env.steps_per_second / every
        if kind.num_colors:
            _write_gif(written, pictures, fps, kind.num_colors)
        else:
            _write_mp4(written, pictures, fps)
        with files.whole(path) as file, written.open("rb") as video:
            shutil.copyfileobj(video, file)


def film(
    act: Act,
    env: Visible,
    seeds: Sequence[int],
    labels: Sequence[str],
    cell: tuple[int, int],
    every: int,
    num_steps: int,
    on_step: OnStep = lambda _: None,
) -> Iterator[Image.Image]:
    """Yields a picture of all environments [N] after the first step, then after every `every`.

    An episode that has ended keeps its last picture. `write` describes the other arguments.
    """
    cells: list[Image.Image] = [Image.new("RGB", cell)] * env.num_envs
    returns = np.zeros(env.num_envs)
    for count, taken in enumerate(itertools.islice(steps(act, env, seeds), num_steps)):
        returns += np.where(taken.running, taken.outcome.reward, 0)
        on_step(count + 1)
        if count % every == 0:
            for number in np.flatnonzero(taken.running).tolist():
                cells[number] = _picture(env, number, cell)
            yield _grid(cells, labels, returns)


def _picture(env: Visible, number: int, cell: tuple[int, int]) -> Image.Image:
    """Returns a picture of an environment, cropped to the size of a cell."""
    return ImageOps.fit(Image.fromarray(env.picture(number)), cell)


def _grid(cells: Sequence[Image.Image], labels: Sequence[str], returns: np.ndarray) -> Image.Image:
    """Returns the pictures of N episodes side by side, each with its label and return."""
    width, height = cells[0].size
    columns = math.ceil(math.sqrt(len(cells)))
    size = (columns * width, math.ceil(len(cells) / columns) * height)
    grid, font = Image.new("RGB", size), ImageFont.load_default(TEXT_HEIGHT)
    draw = ImageDraw.Draw(grid)
    for number, (cell, label, value) in enumerate(zip(cells, labels, returns, strict=True)):
        left, top = number % columns * width, number // columns * height
        grid.paste(cell, (left, top))
        for line, text in enumerate((label, f"return {value:.0f}")):
            place = (left + 4, top + 2 + line * (TEXT_HEIGHT + 3))
            draw.text(place, text, WHITE, font, stroke_width=1, stroke_fill="black")
    return grid


def _write_gif(path: Path, pictures: Iterator[Image.Image], fps: float, num_colors: int) -> None:
    """Writes pictures with one palette, without dithering, which would make files larger."""
    first = next(pictures)
    colors = first.quantize(num_colors - 1)
    colors.putpalette([*(colors.getpalette() or []), *WHITE])
    few = [each.quantize(palette=colors, dither=Image.Dither.NONE) for each in (first, *pictures)]
    few[0].save(path, save_all=True, append_images=few[1:], duration=round(1000 / fps), loop=0)


def _write_mp4(path: Path, pictures: Iterator[Image.Image], fps: float) -> None:
    import imageio.v2 as imageio  # imported late: few have its plugin

    writer: Any = imageio.get_writer(path, fps=fps)
    with writer:
        for each in pictures:
            writer.append_data(np.asarray(each))
