"""From stored actions to rlp's: bounds, choices, and what cannot be known."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from rlp import data
from rlp.data.actions import one_hot
from rlp.data.episodes import EpisodeSet, fingerprint
from rlp.data.formats import d4rl, exorl, minari, packed
from rlp.data.options import ReadOptions
from rlp.errors import DataWarning, InputError
from rlp.system import memory

N = 20
RNG = np.random.default_rng(0)


def write(path: Path, action: np.ndarray, **attributes: Any) -> str:
    """Writes a D4RL file with these actions."""
    observation = RNG.standard_normal((N + 1, 3))
    with h5py.File(path, "w") as file:
        file["observations"], file["next_observations"] = observation[:-1], observation[1:]
        file["actions"], file["rewards"] = action, np.ones(N)
        file["terminals"], file["timeouts"] = np.zeros(N, bool), np.arange(N) == N - 1
        file.attrs.update(attributes)
    return str(path)


def uniform(low: float, high: float, width: int = 2) -> np.ndarray:
    return RNG.uniform(low, high, (N, width))


def actions(read: EpisodeSet) -> np.ndarray:
    return np.concatenate([episode.action for episode in read.episodes])


@pytest.mark.parametrize("reach", [0.4, 1, 2])
def test_actions_are_scaled_by_the_bounds_of_their_environment(tmp_path: Path, reach: float):
    """Whatever range they happen to use: Humanoid's are -0.4 and 0.4, Pendulum's -2 and 2."""
    name, width = {0.4: ("Humanoid-v5", 17), 1: ("Hopper-v5", 3), 2: ("Pendulum-v1", 1)}[reach]
    stored = uniform(-reach / 4, reach / 4, width)
    path = write(tmp_path / "a.hdf5", stored)
    for read in (
        data.load(path, ReadOptions(env=f"gym:{name}")),
        data.load(write(tmp_path / "b.hdf5", stored, env=f"gym:{name}")),
        data.load(path, ReadOptions(action_low=f"-{reach}", action_high=f"{reach}")),
    ):
        np.testing.assert_allclose(actions(read), stored / reach, rtol=1e-6)
        assert read.bounds is not None
        np.testing.assert_allclose(read.bounds, [[-reach] * width, [reach] * width], rtol=1e-6)


def test_bounds_may_differ_between_dimensions(tmp_path: Path):
    stored = uniform(0, 1) * [3, 1] + [-1, 5]
    options = ReadOptions(action_low="-1:5", action_high="2:6")
    read = data.load(write(tmp_path / "a.hdf5", stored), options)
    expected = (stored - [-1, 5]) / [3, 1] * 2 - 1
    np.testing.assert_allclose(actions(read), expected, atol=1e-6)


def test_weak_actions_of_unknown_bounds_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"stay within 0\..*give the environment \(--env\)"):
        data.load(write(tmp_path / "a.hdf5", uniform(-0.4, 0.4)))
    assert data.load(write(tmp_path / "b.hdf5", uniform(-1, 1))).bounds is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_at_a_bound_is_no_mistake(tmp_path: Path, dtype: type):
    stored = np.full((N, 1), 0.7, dtype)
    stored[::2] = -0.3
    bound = np.float32(0.7)  # a little less than 0.7
    path = write(tmp_path / "a.hdf5", stored, action_low=[-bound], action_high=[bound])
    assert actions(data.load(path)).max() == 1
    scaled = np.full((N, 1), np.nextafter(np.float32(1), np.float32(2)))
    scaled[::2] = -0.5
    assert actions(data.load(write(tmp_path / "b.hdf5", scaled))).max() == 1


def test_a_clip_is_a_choice_and_counted(tmp_path: Path):
    stored = uniform(-1, 1)
    stored[3, 1] = 1.8
    path = write(tmp_path / "a.hdf5", stored)
    with pytest.raises(InputError, match=r"rows 0 to 19: actions reach 1.8, outside .*--clip_acti"):
        data.load(path)
    with pytest.warns(DataWarning, match=r"1 numbers of the actions \(2.5%\)"):
        read = data.load(path, ReadOptions(clip_actions=True))
    np.testing.assert_allclose(actions(read), np.clip(stored, -1, 1), rtol=1e-6)


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        ("-1", "", "give both"),
        ("a", "1", "give both, a number each"),
        ("1", "1", "the lowest action must be below"),
        ("-1:-1:-1", "1", "3 bounds do not fit actions of 2 numbers"),
        ("-inf", "1", "and finite"),
    ],
)
def test_bounds_that_cannot_be_are_refused(tmp_path: Path, low: str, high: str, message: str):
    path = write(tmp_path / "a.hdf5", uniform(-1, 1))
    with pytest.raises(InputError, match=message):
        data.load(path, ReadOptions(action_low=low, action_high=high))


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
@pytest.mark.parametrize("shape", [(N,), (N, 1)])
def test_whole_numbers_of_an_integer_type_are_choices(tmp_path: Path, dtype: type, shape: Any):
    chosen = RNG.integers(0, 2, N)
    chosen[0] = 1
    read = data.load(write(tmp_path / "a.hdf5", chosen.astype(dtype).reshape(shape)))
    assert read.discrete
    np.testing.assert_array_equal(actions(read), np.eye(2)[chosen])


@pytest.mark.parametrize(
    "stored",
    [
        np.arange(N) % 3.0,
        (np.arange(N) % 3.0)[:, None],
        np.eye(3, dtype=np.float32)[np.arange(N) % 3],
    ],
)
def test_whole_floats_are_taken_for_neither_in_silence(tmp_path: Path, stored: np.ndarray):
    path = write(tmp_path / "a.hdf5", stored)
    with pytest.raises(InputError, match=r"are they choices \(--discrete=True\) or not"):
        data.load(path)
    read = data.load(path, ReadOptions(discrete=True))
    np.testing.assert_array_equal(actions(read), np.eye(3)[np.arange(N) % 3])
    options = ReadOptions(discrete=False, action_low="0", action_high="2")
    assert not data.load(path, options).discrete


def test_several_integers_an_action_are_asked_for(tmp_path: Path):
    path = write(tmp_path / "a.hdf5", RNG.integers(-3, 4, (N, 2)))
    with pytest.raises(InputError, match=r"whole numbers: are they choices"):
        data.load(path)
    options = ReadOptions(discrete=False, action_low="-3", action_high="3")
    assert not data.load(path, options).discrete


@pytest.mark.parametrize(
    ("name", "form"), [("a.npz", packed), ("a.hdf5", d4rl), ("exorl", exorl), ("minari", minari)]
)
def test_bounds_are_written_and_read_again(tmp_path: Path, name: str, form: Any):
    options = ReadOptions(action_low="-0.3:0", action_high="0.3:5")
    made = data.load(write(tmp_path / "b.hdf5", uniform(0, 0.25)), options)
    path = tmp_path / name
    if not path.suffix:
        path.mkdir()
    form.write(path, made)
    read = data.load(str(path))
    assert fingerprint(read) == fingerprint(made)
    np.testing.assert_array_equal(read.bounds, made.bounds)


def test_data_of_other_bounds_is_not_joined(tmp_path: Path):
    for name, bound in (("a", 2.0), ("b", 3.0)):
        write(tmp_path / f"{name}.hdf5", uniform(-1, 1), action_low=[-bound], action_high=[bound])
    with pytest.raises(InputError, match=r"b.hdf5: its actions have other bounds than .*a.hdf5's"):
        data.load(f"{tmp_path}/a.hdf5+{tmp_path}/b.hdf5")


def test_data_of_unknown_bounds_is_not_joined_with_data_of_others(tmp_path: Path):
    write(tmp_path / "a.hdf5", uniform(-2, 2), action_low=[-2.0] * 2, action_high=[2.0] * 2)
    write(tmp_path / "b.hdf5", uniform(-1, 1))
    with pytest.raises(InputError, match=r"b.hdf5: the bounds of its actions are not known"):
        data.load(f"{tmp_path}/a.hdf5+{tmp_path}/b.hdf5")


@pytest.mark.parametrize("env", ["Humanoid-v5", "no-such", "gym:antigravity:X-v0"])
def test_an_environment_that_there_is_not_has_no_bounds(tmp_path: Path, env: str):
    path = write(tmp_path / "a.hdf5", uniform(-1, 1), env=env)
    with pytest.warns(DataWarning, match="as their bounds are not known"):
        assert data.load(path).bounds is None
    with pytest.raises(InputError, match="stay within"):
        data.load(write(tmp_path / "b.hdf5", uniform(-0.4, 0.4), env=env))


def test_the_environment_says_whether_actions_are_choices(tmp_path: Path):
    few = write(tmp_path / "a.hdf5", RNG.integers(0, 2, N), env="gym:MountainCar-v0")
    assert actions(data.load(few)).shape == (N, 3)  # the last was never taken
    whole = write(tmp_path / "b.hdf5", np.arange(N) % 2.0, env="gym:CartPole-v1")
    assert data.load(whole).discrete
    integers = write(tmp_path / "c.hdf5", np.arange(N) % 3 - 1, env="gym:Pendulum-v1")
    with pytest.raises(
        InputError, match=r"by their integer type .* discrete, by their environment"
    ):
        data.load(integers)
    assert not data.load(integers, ReadOptions(discrete=False)).discrete
    with pytest.raises(InputError, match="one of its discrete actions is"):
        data.load(write(tmp_path / "d.hdf5", uniform(-1, 1)[:, 0], env="gym:CartPole-v1"))


def test_choices_that_no_memory_holds(monkeypatch: pytest.MonkeyPatch):
    np.testing.assert_array_equal(one_hot(np.array([2, 0]), None, "a"), [[0, 0, 1], [1, 0, 0]])
    monkeypatch.setattr(memory, "of_machine", lambda: 1_000_000)
    with pytest.raises(InputError, match=r"a: 1,000 actions of 900 choices take 0.0 GB as one-hot"):
        one_hot(np.full(1000, 899), None, "a")


def test_actions_that_are_scaled_already_are_told(tmp_path: Path):
    path = write(tmp_path / "a.hdf5", uniform(-1, 1, 17), env="gym:Humanoid-v5")
    with pytest.raises(
        InputError, match=r"scaled by bounds from -0.4 to 0.4; give others, -1 and 1"
    ):
        data.load(path)
    options = ReadOptions(action_low="-1", action_high="1")
    assert data.load(path, options).bounds is not None
