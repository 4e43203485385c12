"""Data that replays, and the reasons why other data does not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlp import data, envs
from rlp.cli.terminal import Terminal
from rlp.data import __main__ as commands
from rlp.data import verify
from rlp.data.episodes import Episode, EpisodeSet
from rlp.data.formats import exorl
from rlp.data.verify import Verdict
from rlp.envs import Simulator
from rlp.errors import InputError
from tests.conftest import write_exorl

LENGTH = 30


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    env = envs.make("walker-walk")
    assert isinstance(env, Simulator)
    return env


@pytest.fixture(scope="module")
def played(simulator: Simulator) -> tuple[EpisodeSet, list[np.ndarray]]:
    """An episode of random actions, and its states."""
    rng = np.random.default_rng(0)
    observations, states = [simulator.reset([0])[0]], [simulator.physics()[0]]
    actions, rewards = rng.uniform(-1, 1, (LENGTH, 6)), []
    for action in actions:
        outcome = simulator.step(action[None])
        observations.append(outcome.observation[0])
        states.append(simulator.physics()[0])
        rewards.append(outcome.reward[0])
    episode = Episode(np.array(observations), actions, np.array(rewards), False)
    return data.from_episodes([episode], "walker-walk"), [np.array(states)]


@pytest.fixture
def verdict(
    simulator: Simulator, played: tuple[EpisodeSet, list[np.ndarray]]
) -> Callable[..., Verdict]:
    def found(physics: Any = played[1], **changed: Any) -> Verdict:
        episode = played[0].episodes[0]._replace(**changed)
        made = EpisodeSet("made", "walker-walk", [episode])
        return verify.verify(made, physics, simulator, 10, Terminal(quiet=True))

    return found


def test_what_was_played_replays(verdict: Callable[..., Verdict]):
    found = verdict()
    assert found.repeats
    assert (found.num_rows, found.observations, found.rewards, found.cause) == (10, 1, 1, "")


def test_shifted_actions_are_told(played: Any, verdict: Callable[..., Verdict]):
    action = played[0].episodes[0].action
    for shifted, where in (
        (np.roll(action, 1, axis=0), "later"),
        (np.roll(action, -1, axis=0), "ear"),
    ):
        found = verdict(action=shifted)
        assert not found.repeats
        assert f"stands one row {where}" in found.cause


def test_another_order_of_the_observations_is_told(played: Any, verdict: Callable[..., Verdict]):
    observation = played[0].episodes[0].observation
    found = verdict(observation=np.roll(observation, 1, axis=1))
    assert not found.repeats
    assert "another order" in found.cause


def test_rewards_of_another_task_are_told(played: Any, verdict: Callable[..., Verdict]):
    found = verdict(reward=played[0].episodes[0].reward + 0.1)
    assert (found.repeats, found.observations, found.rewards) == (False, 1, 0)
    assert "rewards are of another task" in found.cause


def test_without_states_they_are_rebuilt(played: Any, verdict: Callable[..., Verdict]):
    assert verdict(physics=None).repeats
    found = verdict(physics=None, action=np.roll(played[0].episodes[0].action, 1, axis=0))
    assert "stands one row later" in found.cause
    wrong = verdict(physics=None, reward=np.zeros(LENGTH)).rewards
    assert wrong is not None
    assert wrong < 1


def test_without_states_in_observations_nothing_is_proven(
    played: Any, verdict: Callable[..., Verdict]
):
    observation = played[0].episodes[0].observation
    with pytest.raises(InputError, match="no state is stored"):
        verdict(physics=None, observation=np.roll(observation, 1, axis=1))


def test_states_of_another_environment_are_told(played: Any, verdict: Callable[..., Verdict]):
    found = verdict(physics=[played[1][0][::-1]])
    assert "stored states are not those" in found.cause


def run(*words: str) -> int:
    try:
        commands.main(["verify", *words, "--num_rows=40"])
    except SystemExit as exit:
        return int(str(exit.code))
    return 0


@pytest.mark.filterwarnings("ignore::rlp.errors.DataWarning")
@pytest.mark.parametrize(
    ("name", "env", "code"),
    [
        ("HalfCheetah", "HalfCheetah-v5", 0),
        ("Walker2d", "Walker2d-v4", 0),
        ("Walker2d", "Walker2d-v5", 1),
    ],
)
def test_real_data_of_gymnasium(shared_data: Path, capsys: Any, name: str, env: str, code: int):
    path = shared_data / "cs285" / f"expert_data_{name}-v4.pkl"
    assert run(str(path), f"--env=gym:{env}") == 2  # its actions are beyond the bounds
    assert run(str(path), f"--env=gym:{env}", "--clip_actions=True") == code
    assert ("it replays" in capsys.readouterr().out) == (code == 0)


def test_real_data_of_dm_control(shared_data: Path, capsys: Any):
    path = str(shared_data / "walker" / "walker-walk-sac-medium")
    assert run(path, "--env=walker-walk") == 0
    assert run(path, "--env=walker-run") == 1
    assert "another task" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["walker-walk/medium", "walker-run/medium-replay"])
def test_the_bundled_data_replays(name: str, capsys: Any):
    assert run(name) == 0
    assert "it replays" in capsys.readouterr().out
    other = {"walker-walk": "walker-run", "walker-run": "walker-walk"}[name.split("/")[0]]
    assert run(name, f"--env={other}") == 1


def test_states_rebuilt_give_the_rewards_of_stored_ones(shared_data: Path, tmp_path: Path):
    source = sorted((shared_data / "walker" / "walker-walk-sac-medium").glob("*.npz"))[0]
    arrays = dict(np.load(source))
    for name, kept in (("stored", list(arrays)), ("told", [k for k in arrays if k != "physics"])):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / source.name, **{k: arrays[k] for k in kept})
        commands.main(["relabel", str(tmp_path / name), str(tmp_path / f"{name}-run")])
    stored, told = (data.load(str(tmp_path / f"{name}-run")) for name in ("stored", "told"))
    np.testing.assert_allclose(told.episodes[0].reward, stored.episodes[0].reward, atol=1e-6)
    assert data.load_physics(str(tmp_path / "told-run")) is None


def test_states_of_joined_data_are_joined(tmp_path: Path):
    states = [np.full((LENGTH + 1, 18), number, float) for number in range(3)]
    [episode] = data.load("walker-walk/medium").episodes[:1]
    short = Episode(
        episode.observation[: LENGTH + 1], episode.action[:LENGTH], episode.reward[:LENGTH], False
    )
    for name, kept in (("a", states[:2]), ("b", states[2:]), ("c", [None])):
        (tmp_path / name).mkdir()
        for number, physics in enumerate(kept):
            exorl.write_episode(tmp_path / name, number, short, physics)
    a, b, c = (str(tmp_path / name) for name in "abc")
    np.testing.assert_array_equal(data.load_physics(f"{a}+{b}") or [], states)
    assert data.load_physics(f"{a}+{c}") is None


def test_relabelled_data_replays_in_its_new_task(shared_data: Path, tmp_path: Path, capsys: Any):
    source = sorted((shared_data / "walker" / "walker-walk-sac-medium").glob("*.npz"))[0]
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk" / source.name).write_bytes(source.read_bytes())
    said = '{"env": "walker-walk", "licence": "CC0", "fingerprint": "of the old rewards"}'
    (tmp_path / "walk" / "metadata.json").write_text(said)
    words = ["relabel", str(tmp_path / "walk"), str(tmp_path / "run"), "--env=walker-run"]
    commands.main(words)
    assert run(str(tmp_path / "run")) == 0
    walk, relabelled = (data.load(str(tmp_path / name)) for name in ("walk", "run"))
    assert relabelled.env == "walker-run"
    assert relabelled.metadata == {"licence": "CC0", "relabelled": "from walker-walk"}
    assert relabelled.returns[0] < walk.returns[0]
    np.testing.assert_array_equal(relabelled.episodes[0].action, walk.episodes[0].action)
    capsys.readouterr()
    with pytest.raises(SystemExit):
        commands.main(words)
    assert "run exists" in capsys.readouterr().err


def test_bad_input_is_one_line(tmp_path: Path, played: Any, capsys: Any):
    path = write_exorl(tmp_path / "data", played[0])
    assert run(str(path)) == 2
    assert "does not say which environment" in capsys.readouterr().err
    assert run(str(path), "--env=cheetah-run") == 2
    assert "cheetah-run has 17 and 6" in capsys.readouterr().err
    assert run(str(path), "--env=walker-walk") == 0
    assert "30 steps from states rebuilt from observations" in capsys.readouterr().out
