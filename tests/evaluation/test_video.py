"""Videos: what a picture shows, what is refused, and a real one where there is OpenGL."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rlp.commands import evaluate
from rlp.errors import InputError
from rlp.evaluation import video
from rlp.system import graphics
from tests.evaluation.test_rollout import Countdown
from tests.whole_runs import refused

CELL = (160, 128)


class Colored(Countdown):
    """Environment i looks as bright as it has steps left, and ends after seeds[i] steps."""

    steps_per_second = 20.0

    def picture(self, number: int) -> np.ndarray:
        return np.full((10, 20, 3), 20 * max(self.left[number], 0), np.uint8)  # wider than a cell

    def close(self) -> None:
        pass


def act(observation: np.ndarray, _: np.ndarray) -> np.ndarray:
    return np.tile([[1.0, 0.0]], (len(observation), 1))  # a reward of 1


def test_a_picture_has_the_episodes_side_by_side_and_those_that_have_ended_stay():
    env = Colored(3)
    pictures = list(video.film(act, env, [9, 3, 5], ["a", "b", "c"], CELL, 2, 6))
    assert [picture.size for picture in pictures] == [(320, 256)] * 3  # after steps 1, 3 and 5
    corners = [(100, 120), (300, 120), (100, 250), (300, 250)]  # far from the text
    shown = [[picture.getpixel(place) for place in corners] for picture in pictures]
    bright = [[pixel[0] for pixel in each if isinstance(pixel, tuple)] for each in shown]
    assert bright == [[160, 40, 80, 0], [120, 0, 40, 0], [80, 0, 0, 0]]


def test_the_return_so_far_is_drawn():
    env = Colored(1)
    first, second = video.film(act, env, [9], ["a"], CELL, 1, 2)
    text = [np.asarray(each.crop((0, 0, 80, 32))).max(axis=2) > 200 for each in (first, second)]
    assert text[0].sum() > 50
    changed = np.argwhere(text[0] != text[1])
    assert len(changed) > 0
    assert changed[:, 0].min() > 14  # in the line of the return, not in that of the label


def test_a_gif_plays_at_the_speed_of_the_simulation(tmp_path: Path):
    path = tmp_path / "a.gif"
    video.write(path, act, Colored(2), [9, 9], ["a", "b"], 0.4)
    with Image.open(path) as gif:
        assert (getattr(gif, "n_frames"), gif.info["duration"]) == (4, 100)  # noqa: B009 - a gif's
    assert [each.name for each in tmp_path.iterdir()] == ["a.gif"]


def test_a_video_that_fails_leaves_nothing(tmp_path: Path):
    def fails(observation: np.ndarray, reward: np.ndarray) -> np.ndarray:
        if reward.any():
            raise KeyboardInterrupt
        return act(observation, reward)

    with pytest.raises(KeyboardInterrupt):
        video.write(tmp_path / "a.gif", fails, Colored(1), [9], ["a"], 1.0)
    assert not list(tmp_path.iterdir())


def test_what_is_missing_is_said_before_anything_runs(monkeypatch: pytest.MonkeyPatch, capsys: Any):
    def said(name: str) -> str:
        return refused(capsys, lambda: evaluate.main(["runs/none", f"--video={name}"]))

    assert "must end with .gif or .mp4" in said("a.avi")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert "pip install imageio-ffmpeg" in said("a.mp4")
    monkeypatch.setattr(graphics, "_works", lambda _: False)
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    assert "neither EGL nor OSMesa works here" in said("a.gif")
    monkeypatch.setenv("MUJOCO_GL", "glx")
    assert "MUJOCO_GL=glx does not work here" in said("a.gif")


def test_the_first_backend_that_works_is_chosen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("MUJOCO_GL", "")
    monkeypatch.setattr(graphics, "_works", lambda backend: backend == "osmesa")
    assert graphics.choose() == "osmesa"
    monkeypatch.setenv("MUJOCO_GL", "egl")
    with pytest.raises(InputError, match="egl"):
        graphics.choose()


FOUR_WALKERS = """
import sys
from pathlib import Path
import numpy as np
from rlp import envs
from rlp.evaluation import video

path = Path(sys.argv[1])
video.check(path)
env = envs.make("walker-walk", 4, None, video.KINDS[path.suffix].cell)
draw = np.random.default_rng(0).uniform
video.write(path, lambda *_: draw(-1, 1, (4, 6)), env, [1] * 4, list("abcd"), 2.0)
env.close()
"""


@pytest.mark.slow
def test_four_walkers_of_some_seconds_fit_in_a_megabyte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.delenv("MUJOCO_GL", raising=False)
        try:
            graphics.choose()
        except InputError as error:
            pytest.skip(str(error))
    path = tmp_path / "walkers.gif"
    # Another process: this one may have imported MuJoCo without OpenGL.
    subprocess.run([sys.executable, "-c", FOUR_WALKERS, str(path)], check=True)
    assert path.stat().st_size < 200_000  # so ten seconds are below a megabyte
    with Image.open(path) as gif:
        assert (getattr(gif, "n_frames"), gif.size) == (20, (320, 256))  # noqa: B009 - a gif's
        picture = np.asarray(gif.convert("RGB")).astype(int)
    halves = picture[40:128, :160], picture[40:128, 160:]
    assert all(half.std() > 10 for half in halves)  # something is to be seen
    assert np.abs(halves[0] - halves[1]).mean() > 1  # and not twice the same
