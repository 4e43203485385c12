"""What cellworld's users have: buffers as columns, episodes of real mice."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from rlp import data
from rlp.data.options import ReadOptions
from rlp.envs.cellworld_resources import CACHE
from rlp.errors import InputError
from tests.conftest import SHARED
from tests.envs import made_world

pytestmark = pytest.mark.filterwarnings("ignore::rlp.errors.DataWarning")
RNG = np.random.default_rng(0)
MOUSE = SHARED / "cellworld" / "PEEK_20230126_1355_MMM14_21_05_RT2_episode_015.json"


def test_csv_with_observations_as_text(tmp_path: Path):
    states = RNG.uniform(0, 1, (6, 11)).round(3)
    lines = ["action,obs,reward,next_obs,done"]
    for t in range(5):
        texts = (f'"{np.array2string(states[i], max_line_width=40)}"' for i in (t, t + 1))
        seen, following = texts
        assert "\n" in seen
        lines.append(f"{t % 3},{seen},{-t}.0,{following},{t == 4}")
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines))
    read = data.load(str(path))
    [episode] = read.episodes
    np.testing.assert_allclose(episode.observation, states, atol=1e-6)
    assert (read.discrete, episode.terminated, float(episode.reward.sum())) == (True, True, -10)
    assert episode.action.argmax(axis=1).tolist() == [0, 1, 2, 0, 1]
    path.write_text("\n".join(lines).replace("[", "[x", 1))
    with pytest.raises(InputError, match=r"a\.csv, obs, row 0: .* is not numbers"):
        data.load(str(path))
    path.write_text("\n".join(lines).replace("[", "[1 ", 1))
    with pytest.raises(InputError, match="row 1: 11 numbers"):
        data.load(str(path))


def test_hdf5_of_tlppo(tmp_path: Path):
    path, states = tmp_path / "a.h5", RNG.uniform(0, 1, (7, 14))
    with h5py.File(path, "w") as file:
        file["state"], file["next_state"] = states[:-1], states[1:]
        file["action"], file["reward"] = RNG.uniform(-1, 1, (6, 2)), np.ones((6, 1))
        file["done"] = np.array([0, 0, 0, 1, 0, 0.0])[:, None]
    read = data.load(str(path))
    assert read.lengths.tolist() == [4, 2]
    assert [each.terminated for each in read.episodes] == [True, False]
    assert read.episodes[0].observation.shape == (5, 14)
    assert "done is read as a termination" in " ".join(read.notes)


def mouse(prey: Any, predator: Any) -> str:
    tracks = {"prey": prey, "predator": predator}
    samples = [
        {"time_stamp": 3 + 0.05 * i, "agent_name": name, "location": {"x": x, "y": y}}
        for name, track in tracks.items()
        for i, (x, y) in reversed(list(enumerate(track)))
    ]
    return json.dumps({"trajectories": samples, "captures": []})


@pytest.mark.usefixtures("small_world")
def test_a_mouse_goes_to_the_cells_where_it_is_a_step_later(tmp_path: Path):
    path = tmp_path / "a.json"
    run = np.stack([np.linspace(0.62, 1.02, 21), np.full(21, 0.5)], axis=1)
    path.write_text(mouse(run, np.tile([0.76, 0.52], (21, 1))))
    read = data.load(str(path), ReadOptions(env="jax:botevade"))
    [episode] = read.episodes
    np.testing.assert_allclose(episode.observation[:, 0], [0.62, 0.72, 0.82, 0.92], atol=1e-6)
    cells = [made_world.coordinates()[i] for i in _open()[episode.action.argmax(axis=1)]]
    assert cells == [(4, 0), (4, 0), (6, 0)]
    assert episode.terminated
    assert episode.reward.tolist() == [-1, 0, 1]  # close at .72, and immune at .82
    assert episode.observation[1:, 2].tolist() == [0, 0, 0]


def _open() -> np.ndarray:
    numbers = range(len(made_world.coordinates()))
    return np.array([i for i in numbers if made_world.coordinates()[i] not in made_world.OCCLUDED])


@pytest.mark.usefixtures("small_world")
def test_what_is_no_episode_is_refused_in_a_line(tmp_path: Path):
    path, run = tmp_path / "a.json", np.tile([0.6, 0.5], (21, 1))
    for predator, prey, message in (
        (np.zeros((0, 2)), run, "an episode without a predator"),
        (run, run[:3], "shorter than a step"),
    ):
        path.write_text(mouse(prey, predator))
        with pytest.raises(InputError, match=message):
            data.load(str(path))
    path.write_text('{"trajectories": [{"agent_name": "prey"}]}')
    with pytest.raises(InputError, match="not samples of agents"):
        data.load(str(path))


def test_without_the_world_a_mouse_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(CACHE, raising=False)
    path, run = tmp_path / "a.json", np.tile([0.6, 0.5], (21, 1))
    path.write_text(mouse(run, run))
    with pytest.raises(InputError, match=f"{CACHE} is not set"):
        data.load(str(path))


@pytest.mark.skipif(not MOUSE.exists(), reason="no episode of a real mouse")
def test_a_real_mouse(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(CACHE, str(MOUSE.parent / "cache"))
    read = data.load(str(MOUSE))
    [episode] = read.episodes
    assert episode.observation.shape[1] == 11
    assert episode.action.shape == (len(episode.reward), 295)
    assert 40 < len(episode.reward) < 60
    np.testing.assert_allclose(episode.observation[0, :2], [0.0185, 0.4993], atol=1e-3)
