"""The online learner and the collector, on a task of a few steps."""

import json
from collections.abc import Callable, Iterator, Sequence
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
from rlp.data.replay import empty_replay, layout
from rlp.envs import Bounds, Outcome
from rlp.runs import checkpoint
from rlp.training import learner
from rlp.types import vectors
from tests.whole_runs import refused


class Target:
    """Four steps in a state drawn at the start; the reward is how near the action is to 0.5.

    Where the state is low, the episode terminates after two.
    """

    observation_dim, action_dim, max_episode_steps = 2, 1, 4
    action_space = Bounds(np.array([-1.0]), np.array([1.0]))

    def __init__(self, num_envs: int, falls: bool = False, breaks: bool = False) -> None:
        self.num_envs, self.falls, self.breaks = num_envs, falls, breaks
        self.time, self.start = np.zeros(num_envs), np.zeros(num_envs)

    def reset(
        self, seeds: Sequence[int] | None = None, which: Sequence[int] | None = None
    ) -> np.ndarray:
        numbers = list(range(self.num_envs) if which is None else which)
        self.time[numbers] = 0
        self.start[numbers] = [np.random.default_rng(s).uniform(-1, 1) for s in seeds or ()]
        return self.physics()

    def physics(self) -> np.ndarray:
        return np.stack([self.start, self.time], axis=1)

    def step(self, action: np.ndarray) -> Outcome:
        assert np.isfinite(action).all()
        self.time += 1
        reward = 1 - np.abs(action[:, 0] - 0.5)
        invalid = self.breaks & (self.time >= 2) & (np.arange(self.num_envs) == 0)
        terminated = invalid | (self.falls & (self.start < -0.5) & (self.time == 2))
        return Outcome(self.physics(), reward, terminated, ~terminated & (self.time == 4), invalid)


def maker(falls: bool = False, breaks: bool = False) -> Callable[..., Target]:
    """Returns what makes environments; simulators of a run, which has four, may break."""

    def make(name: str, num_envs: int = 1, bounds: Bounds | None = None) -> Target:
        del name, bounds
        return Target(num_envs, falls, breaks and num_envs == 4)

    return make


FLAGS = (
    "--num_steps=96", "--num_envs=2", "--eval_every=16", "--checkpoint_every=24",
    "--num_episodes=2", "--num_data_episodes=3", "--hidden_dims=16", "--batch_size=16",
    "--num_seeds=2", "--num_random_steps=8", "--log_every=8",
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
        patch.setattr(envs, "make", maker())
        run("--name=whole", "--out=whole")
        yield folder


LAYOUT = layout(num_envs=2, capacity=96, longest=4)


def read_replay(directory: str) -> Dataset:
    """Returns the data of the first member's replay at the last checkpoint."""
    run = runs.load(Path(directory))
    like = learner.Progress(
        empty_replay(LAYOUT, vectors(2, 1, 4), 2),
        learner._no_transitions(2, 2, run.spec),
        np.zeros(4, bool),
        np.zeros(4, np.int32),
        np.zeros(4),
    )
    step = checkpoint.latest_step(Path(directory, "replays"))
    assert step is not None
    found = checkpoint.restore(Path(directory, "replays"), step, like)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[0], found.replays.data)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("name", ["whole", "falling"])
def test_the_replay_holds_what_was_played(name: str, monkeypatch: pytest.MonkeyPatch):
    if name == "falling":
        monkeypatch.setattr(envs, "make", maker(falls=True))
        run("--name=falling", "--out=falling")
    replay = read_replay(f"runs/{name}")
    num_rows = int(replay.num_transitions)
    # The last round is beside it until it is learned from; short episodes take more rows.
    assert num_rows == 94 if name == "whole" else 80 < num_rows < 94
    places = (replay.first + np.arange(num_rows)) % len(replay.transition_rows)
    rows = {tuple(replay.observation[row]): row for row in replay.transition_rows[places]}
    played = data.load(f"runs/{name}/replay").episodes
    lengths = {len(episode.action) for episode in played}
    assert lengths == ({2, 4} if name == "falling" else {4})
    is_kept = [tuple(episode.observation[0]) in rows for episode in played]
    played = [episode for episode, kept in zip(played, is_kept, strict=True) if kept]
    assert len(played) > 20
    for episode in played[:-2]:
        of_episode = np.array([rows[tuple(each)] for each in episode.observation[:-1]])
        np.testing.assert_array_equal(replay.observation[of_episode + 1], episode.observation[1:])
        np.testing.assert_array_equal(replay.action[of_episode], episode.action)
        np.testing.assert_array_equal(replay.reward[of_episode], episode.reward)
        assert episode.terminated == (len(episode.action) == 2)
        last = [1.0] * (len(of_episode) - 1) + [float(not episode.terminated)]
        assert replay.discount[of_episode].tolist() == last  # a time limit bootstraps
        np.testing.assert_allclose(replay.return_to_go[of_episode][0], episode.reward.sum(), 1e-6)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("falls", [False, True])
def test_an_interrupted_collection_goes_on_exactly(falls: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(envs, "make", maker(falls=falls))
    whole, cut = f"whole{falls}", f"cut{falls}"
    run(f"--name={whole}", f"--out={whole}", "--checkpoint_every=26")
    take = collect.Recorder.take

    def killed(self: Any, env: Any, taken: Any, number: int) -> None:
        if number == 40:  # in episodes, after an evaluation that no checkpoint has
            raise KeyboardInterrupt
        take(self, env, taken, number)

    with monkeypatch.context() as patch:
        patch.setattr(collect.Recorder, "take", killed)
        with pytest.raises(SystemExit, match="130"):
            run(f"--name={cut}", f"--out={cut}", "--checkpoint_every=26")
    assert checkpoint.latest_step(Path(f"runs/{cut}/replays")) == 78
    assert not Path(cut).exists()
    run(f"--resume=runs/{cut}")
    chex.assert_trees_all_equal(read_replay(f"runs/{cut}"), read_replay(f"runs/{whole}"))
    for name in collect.SETS:
        expected, found = data.load(f"{whole}/{name}"), data.load(f"{cut}/{name}")
        assert fingerprint(expected) == fingerprint(found)
    first, second = (runs.load(Path(f"runs/{name}")) for name in (whole, cut))
    assert first.evaluations() == second.evaluations()
    curves = [each.curves() for each in (first, second)]
    for found in curves:
        del found["steps_per_second"]
    assert curves[0] == curves[1]


@pytest.mark.usefixtures("place")
def test_a_simulator_that_does_not_repeat_is_not_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    run("--name=other", "--out=other", "--checkpoint_every=26")
    for half in ("replays", "checkpoints"):
        checkpoint.forget_after(Path("runs/other", half), 78)
    step = Target.step

    def drifting(self: Target, action: np.ndarray) -> Outcome:
        self.start += 1e-3
        return step(self, action)

    monkeypatch.setattr(Target, "step", drifting)
    assert "its episodes do not repeat" in refused(capsys, lambda: run("--resume=runs/other"))


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
        (("--resume=runs/whole", "--seed=3"), "--seed: a run goes on as it began"),
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
    assert "runs/whole learns online; go on with python -m rlp.collect" in error


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
    monkeypatch.setattr(envs, "make", maker(breaks=True))
    run("--name=broken", "--out=broken", "--num_steps=16", "--checkpoint_every=8")
    played = data.load("runs/broken/replay").episodes
    assert (
        sorted((len(e.action), e.terminated) for e in played) == [(2, True)] * 4 + [(4, False)] * 2
    )


@pytest.mark.slow
@pytest.mark.usefixtures("place")
def test_the_learner_finds_the_target():
    run(
        "--name=long", "--num_steps=6000", "--learning_rate=3e-3", "--eval_every=6000", "--out=long"
    )
    returns = [entry["returns"] for entry in runs.load(Path("runs/long")).evaluations()[-2:]]
    assert np.mean(returns) > 3.8  # of 4; random actions get 2.4
