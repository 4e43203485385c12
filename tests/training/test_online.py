"""The online learner and the collector, on a task of a few steps."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp import data, envs, runs
from rlp.algos import sac
from rlp.commands import collect, train
from rlp.data.dataset import Dataset
from rlp.data.episodes import fingerprint
from rlp.data.replay import Layout, empty_replay
from rlp.envs import Outcome
from rlp.runs import checkpoint
from rlp.training import online
from rlp.types import vectors
from tests.whole_runs import refused


class Target:
    """Four steps in a state drawn at the start; the reward is how near the action is to 0.5."""

    observation_dim, action_dim, max_episode_steps = 2, 1, 4

    def __init__(self, num_envs: int, breaks: bool = False) -> None:
        self.num_envs, self.breaks = num_envs, breaks

    def reset(self, seeds: Sequence[int] | None = None) -> np.ndarray:
        self.time = 0
        self.start = np.array([np.random.default_rng(s).uniform(-1, 1) for s in seeds or ()])
        return self.physics()

    def physics(self) -> np.ndarray:
        return np.stack([self.start, np.full(self.num_envs, self.time)], axis=1)

    def step(self, action: np.ndarray) -> Outcome:
        assert np.isfinite(action).all()
        self.time += 1
        reward = 1 - np.abs(action[:, 0] - 0.5)
        invalid = self.breaks & (self.time >= 2) & (np.arange(self.num_envs) == 0)
        return Outcome(self.physics(), reward, invalid, ~invalid & (self.time == 4), invalid)


FLAGS = (
    "--num_steps=96", "--num_envs=2", "--eval_every=16", "--checkpoint_every=24",
    "--num_episodes=2", "--num_data_episodes=3", "--hidden_dims=16", "--batch_size=16",
    "--num_seeds=2",
)  # fmt: skip


def run(*words: str) -> None:
    names = {word.split("=")[0] for word in words}
    kept = [w for w in FLAGS if "--resume" not in names and w.split("=")[0] not in names]
    collect.main(["target", *words, *kept, "--quiet"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with one finished collection, `runs/whole`, its data in `whole`."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("collections")
        patch.chdir(folder)
        patch.setattr(envs, "make", lambda _, num_envs=1: Target(num_envs))
        run("--name=whole", "--out=whole")
        yield folder


def read_replay(directory: str, layout: Layout, num_members: int) -> Dataset:
    like = empty_replay(layout, vectors(2, 1, 4), num_members)
    step = checkpoint.latest_step(Path(directory, "replays"))
    assert step is not None
    return jax.device_get(checkpoint.restore(Path(directory, "replays"), step, like))


@pytest.mark.usefixtures("place")
def test_the_replay_holds_what_was_played():
    layout = Layout(num_envs=2, num_episodes=12, episode_length=4)
    replay = read_replay("runs/whole", layout, 2)
    assert replay.num_transitions.tolist() == [96, 96]
    first = jax.tree.map(lambda leaf: leaf[0], replay)
    rows = first.transition_rows.reshape(12, 4, 2)  # in the order of collection
    played = data.load("runs/whole/replay")
    for number, episode in enumerate(played.episodes):
        of_episode = rows[number // 2, :, number % 2]
        np.testing.assert_array_equal(first.observation[of_episode], episode.observation[:-1])
        np.testing.assert_array_equal(first.observation[of_episode + 1], episode.observation[1:])
        np.testing.assert_array_equal(first.action[of_episode], episode.action)
        np.testing.assert_array_equal(first.reward[of_episode], episode.reward)
    assert (first.discount[first.transition_rows] == 1).all()  # a time limit bootstraps
    assert first.max_abs_reward == np.abs(first.reward).max()
    second = replay.action[1][replay.transition_rows[1]]
    assert not np.array_equal(first.action[first.transition_rows], second)


@pytest.mark.usefixtures("place")
def test_an_interrupted_collection_goes_on_exactly(monkeypatch: pytest.MonkeyPatch):
    play = online._play

    def killed(collection: Any, learner: Any, episode: int) -> Any:
        if episode == 10:  # after an evaluation that comes after the last checkpoint
            raise KeyboardInterrupt
        return play(collection, learner, episode)

    with monkeypatch.context() as patch:
        patch.setattr(online, "_play", killed)
        with pytest.raises(SystemExit, match="130"):
            run("--name=cut", "--out=cut")
    assert not Path("cut").exists()
    run("--resume=runs/cut")
    layout = Layout(2, 12, 4)
    chex.assert_trees_all_equal(
        read_replay("runs/cut", layout, 2), read_replay("runs/whole", layout, 2)
    )
    for name in collect.SETS:
        whole, cut = data.load(f"whole/{name}"), data.load(f"cut/{name}")
        assert fingerprint(whole) == fingerprint(cut)
    assert runs.load(Path("runs/cut")).evaluations() == runs.load(Path("runs/whole")).evaluations()


@pytest.mark.usefixtures("place")
def test_the_data_sets():
    loaded = {name: data.load(f"whole/{name}") for name in collect.SETS}
    assert [each.env for each in loaded.values()] == ["target"] * 3
    assert (len(loaded["medium"].episodes), len(loaded["expert"].episodes)) == (3, 3)
    scores = {
        entry["step"]: np.mean(entry["returns"])
        for entry in runs.load(Path("runs/whole")).evaluations()
        if entry["member"] == "seed=0"
    }
    step = min(step for step, score in scores.items() if score >= scores[96] / 2)
    assert len(loaded["medium-replay"].episodes) == step / 4
    metadata = json.loads(Path("whole/medium/metadata.json").read_text())
    assert f"policy at step {step}" in metadata["made"]
    assert metadata["returns"] == loaded["medium"].returns.tolist()
    with np.load(sorted(Path("whole/medium").glob("*.npz"))[0]) as episode:
        assert episode["physics"].shape == (5, 2)
        np.testing.assert_array_equal(episode["physics"][:, 1], np.arange(5))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--out=whole",), "whole/medium exists"),
        (("--updates_per_step=0.3", "--out=new"), "must be a whole number of updates"),
        (("--resume=runs/nowhere",), "runs/nowhere holds no run"),
        (("--resume=runs/whole", "--seed=3"), "--seed: a collection goes on as it began"),
        (("--num_steps=8", "--out=new"), "--num_steps=8: nothing is learned"),
        (("--eval_every=0", "--out=new"), "--eval_every=0: must be at least 1"),
        (("--updates_per_step=1e9", "--out=new"), "of all steps at most 2147483647"),
        (("--num_steps=2e9", "--updates_per_step=0.5", "--out=new"), "replays of 2,000,000,000 s"),
        (("--num_data_episodes=2e9", "--out=new"), "2,000,000,000 episodes of data: "),
        (("--num_stepz=3",), "no flag --num_stepz (did you mean num_steps?)"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    place: Path, capsys: Any, words: tuple[str, ...], message: str
):
    before = sorted(place.rglob("*"))
    assert message in refused(capsys, lambda: run(*words))
    assert sorted(place.rglob("*")) == before


@pytest.mark.usefixtures("place")
def test_a_collection_is_no_training_run(capsys: Any):
    error = refused(capsys, lambda: train.main(["sac", "--resume=runs/whole"]))
    assert "runs/whole is a collection; go on with python -m rlp.collect" in error


@pytest.mark.usefixtures("place")
def test_a_member_that_is_over_leaves_the_others_and_ends_what_it_is_to_give(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    init, lost = sac.init, []

    def diverging(config: Any, key: Any, *rest: Any) -> Any:
        state, name = init(config, key, *rest), jax.random.key_data(key)
        return state._replace(log_alpha=jnp.where(name[0] == lost[0], jnp.nan, state.log_alpha))

    first, second = (jax.random.key_data(jax.random.split(jax.random.key(s))[0])[0] for s in (0, 1))
    monkeypatch.setattr(sac, "init", diverging)
    lost[:] = [second]
    jax.clear_caches()
    run("--name=one", "--out=one")
    assert "seed=1: NaN or infinite from update 0; the others go on" in capsys.readouterr().err
    returns = {e["member"]: e["returns"] for e in runs.load(Path("runs/one")).evaluations()}
    assert np.isnan(returns["seed=1"]).all()
    whole = runs.load(Path("runs/whole")).evaluations()
    assert returns["seed=0"] == {e["member"]: e["returns"] for e in whole}["seed=0"]
    lost[:] = [first]
    jax.clear_caches()
    with pytest.raises(SystemExit, match="the member that gives the data is over"):
        run("--name=none", "--out=none")
    with pytest.raises(SystemExit, match="the member that gives the data is over"):
        run("--resume=runs/none")
    jax.clear_caches()


@pytest.mark.usefixtures("place")
def test_an_invalid_simulation_costs_its_own_episode(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(envs, "make", lambda _, size=1: Target(size, breaks=size == 4))
    run("--name=broken", "--out=broken", "--num_steps=16", "--checkpoint_every=8")
    played = data.load("runs/broken/replay").episodes
    assert [(len(e.action), e.terminated) for e in played] == [(2, True), (4, False)] * 2
    layout = Layout(num_envs=2, num_episodes=2, episode_length=4)
    replay = jax.tree.map(lambda leaf: leaf[0], read_replay("runs/broken", layout, 2))
    rows = replay.transition_rows.reshape(2, 4, 2)
    for at, expected in ((0, [1, 0, 0, 0]), (1, [1, 1, 1, 1])):
        assert replay.discount[rows[0, :, at]].tolist() == expected
    ended = replay.action[rows[0, 1:, 0]]
    np.testing.assert_array_equal(ended, ended[[0, 0, 0]])  # the last transition again


@pytest.mark.slow
@pytest.mark.usefixtures("place")
def test_the_learner_finds_the_target():
    run(
        "--name=long", "--num_steps=6000", "--learning_rate=3e-3", "--eval_every=6000", "--out=long"
    )
    returns = [entry["returns"] for entry in runs.load(Path("runs/long")).evaluations()[-2:]]
    assert np.mean(returns) > 3.8  # of 4; random actions get 2.4


def test_an_episode_of_t_steps_has_t_plus_one_rows():
    layout = Layout(num_envs=2, num_episodes=3, episode_length=4)
    assert [layout.row(step) for step in (0, 3, 4, 9)] == [0, 3, 5, 11]
