"""A guide: how often it acts, what is learned from, and that it goes on where it was."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp import envs, runs
from rlp.commands import learn
from rlp.data.dataset import unit_normalizer
from rlp.data.replay import empty_replay, layout
from rlp.envs.gymnax import from_gymnax
from rlp.envs.jax_env import JaxVector
from rlp.evaluation.players import Player
from rlp.evaluation.policy import Policy
from rlp.runs import checkpoint
from rlp.training import guide, learner
from rlp.training.device_learner import DeviceLearner
from rlp.training.guide import Guidance, Guide, Playing, num_falls
from rlp.training.plan import Plan
from rlp.types import Acting
from tests.envs.made_envs import NewWalk, Walk
from tests.whole_runs import refused

FLAGS = (
    "dqn", "jax:walk", "--num_steps=64", "--num_envs=2", "--num_random_steps=4", "--num_seeds=2",
    "--learning_starts=8", "--eval_every=16", "--num_episodes=2", "--checkpoint_every=24",
    "--log_every=8", "--hidden_dims=8", "--batch_size=8", "--quiet", "--guide=counter",
)  # fmt: skip
FIND = guide.find


def _count(config: Any, params: Any, memory: Any, *others: Any) -> tuple[jax.Array, Any]:
    """Goes to the right, and to the left in its every third step of an episode."""
    del config, params, others
    return jax.nn.one_hot(jnp.where(memory % 3 == 2, 0, 1), 2), memory + 1


COUNTER = Player(Acting(lambda *_: jnp.int32(0), _count))


def find_counter(name: str, env: Any, where: str) -> Playing:
    del name, where
    nothing = Policy(jnp.zeros(1), jnp.zeros(1), unit_normalizer(env.observation_dim))
    return Playing(COUNTER, nothing, 0.0)


def maker(env: Any) -> Any:
    def make(name: str, num_envs: int = 1, bounds: Any = None) -> JaxVector:
        del name, bounds
        return JaxVector(from_gymnax(env), num_envs)

    return make


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(envs, "make", maker(Walk()))
    with monkeypatch.context() as patch:
        patch.setattr(guide, "find", find_counter)
        yield


def progress(name: str, chooses: bool = False, is_guided: bool = True) -> learner.Progress:
    """Returns what a run's last checkpoint has besides the states."""
    run = runs.load(Path("runs", name))
    like = learner.Progress(
        empty_replay(layout(2, run.record["plan"]["num_steps"], 6), run.spec, 2, chooses),
        learner._no_transitions(2, 2, run.spec),
        np.zeros(4, bool),
        np.zeros(4, np.int32),
        np.zeros(4),
        guide=(np.zeros((2, 2), bool), np.zeros((2, 2), np.int32)) if is_guided else None,
    )
    step = checkpoint.latest_step(run.directory / "replays")
    assert step is not None
    return checkpoint.restore(run.directory / "replays", step, like)


@pytest.mark.parametrize(
    ("fall", "expected"),
    [("linear", [0, 1, 1, 0.75, 0.5, 0]), ("exponential", [0, 1, 1, 0.01**0.25, 0.1, 0])],
)
def test_rates_fall_from_one_to_zero(fall: Any, expected: list[float]):
    plan = Plan(num_steps=100, num_envs=2, num_random_steps=10, learning_starts=20)
    made = guide_of(Guidance("counter", fall, guide_steps=60), plan)
    found = [made.rates(number)[0] for number in (4, 5, 10, 15, 20, 30)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def guide_of(guidance: Guidance, plan: Plan) -> Guide:
    class Run:
        spec, record = from_gymnax(Walk()).spec, {"env": "jax:walk"}

    env, keys = envs.make("jax:walk", 2 * plan.num_envs), jax.random.split(jax.random.key(0), 2)
    return Guide(guidance, plan, env, Run(), keys)  # pyright: ignore[reportArgumentType] - enough


def test_a_rate_falls_with_every_evaluation_that_is_not_worse():
    assert num_falls([1, 0, 1, 2, 1.5, 2]) == 3
    assert num_falls([]) == num_falls([5]) == num_falls([5, np.nan]) == 0
    plan = Plan(num_steps=100, num_envs=2, num_random_steps=0)
    made = guide_of(Guidance("counter", "performance"), plan)
    assert made.rates(20).tolist() == [1, 1]
    returns = [[0, 1], [5, 5], [1, 1], [4, 4], [1, 1], [6, 6]]  # of the members in turn
    made.evaluations = [{"returns": each} for each in returns]
    np.testing.assert_allclose(made.rates(20), [0.8, 0.9], rtol=1e-6)
    assert made.rates(50).tolist() == [0, 0]


@pytest.mark.parametrize("only", [False, True])
def test_a_guide_acts_and_what_is_learned_from(only: bool):
    learn.main([*FLAGS, "--name=a", "--guide_steps=48", f"--guide_only={only}"])
    curves = runs.load(Path("runs/a")).curves()
    np.testing.assert_allclose(dict(curves["guide_rate"]["seed=0"])[32], 0.4, rtol=1e-6)
    found = progress("a", chooses=only)
    assert not found.guide[0].any()  # its rate is 0 at the end
    replay = jax.tree.map(lambda leaf: np.asarray(leaf)[1], found.replays)
    data, size = replay.data, len(replay.data.step_rows)
    rows = data.step_rows[(data.first + np.arange(data.num_steps)) % size]
    assert len(rows) < 40 if only else len(rows) > 40
    if only:  # all but those at random are the guide's
        rows = rows[replay.round_of[rows] >= 2]
        np.testing.assert_array_equal(data.action[rows, 1], data.timestep[rows] % 3 != 2)


def test_a_guided_run_goes_on_exactly(monkeypatch: pytest.MonkeyPatch):
    learn.main([*FLAGS, "--name=whole", "--guide_only", "--guide_fall=performance"])
    take = DeviceLearner.take_rounds

    def killed(self: Any, most: int) -> None:
        if self.round >= 16:  # behind an evaluation that no checkpoint has
            raise KeyboardInterrupt
        take(self, most)

    with monkeypatch.context() as patch:
        patch.setattr(DeviceLearner, "take_rounds", killed)
        with pytest.raises((SystemExit, KeyboardInterrupt)):
            learn.main([*FLAGS, "--name=cut", "--guide_only", "--guide_fall=performance"])
    assert checkpoint.latest_step(Path("runs/cut/replays")) == 24
    learn.main(["dqn", "jax:walk", "--resume=runs/cut", "--quiet"])
    chex.assert_trees_all_equal(progress("cut", chooses=True), progress("whole", chooses=True))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], "of whom? Give --guide=NAME"),
        (["--guide_steps=8"], "must be above the 8 steps before the first update"),
        (["--guide_steps=65"], "at most --num_steps=64"),
        (["--guide_only", "--capacity=48"], "leave --capacity"),
    ],
)
def test_bad_input_is_one_line(flags: list[str], expected: str, capsys: Any):
    guided = [*flags, "--guide=counter"] if flags else []
    words = [*FLAGS[:-1], "--name=bad", "--guide_fall=exponential", *guided]
    assert expected in refused(capsys, lambda: learn.main(words))
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("runs/none", "there is no run runs/none"), ("planer", "did you mean planner")],
)
def test_who_cannot_be_a_guide_is_named(
    name: str, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.setattr(guide, "find", FIND)
    words = [*FLAGS[:-1], "--name=bad", f"--guide={name}"]
    assert expected in refused(capsys, lambda: learn.main(words))


def test_a_run_is_a_guide_for_its_own_actions_only(monkeypatch: pytest.MonkeyPatch, capsys: Any):
    learn.main([*FLAGS[:-1], "--name=first"])
    monkeypatch.setattr(guide, "find", FIND)
    guided = [*FLAGS[:-1], "--guide=runs/first"]
    learn.main([*guided, "--name=second"])
    assert runs.load(Path("runs/second")).record["guidance"]["guide_step"] == 64
    monkeypatch.setattr(envs, "make", maker(NewWalk()))
    words = ["sac", *guided[1:], "--name=third"]
    assert "runs/first" in refused(capsys, lambda: learn.main(words))
