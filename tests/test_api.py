"""rlp from Python, as a user writes it."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import rlp
from rlp.commands import train as command_line
from rlp.evaluation import policy as policies
from rlp.training import restore
from tests.whole_runs import losses, states

SMALL: dict[str, Any] = {
    "batch_size": 8, "hidden_dims": (8,), "num_updates": 40, "log_every": 10, "eval_every": 0,
}  # fmt: skip


@pytest.fixture
def arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> rlp.EpisodeSet:
    """Four episodes of ten steps, their actions from 0 to 2 in the environment's units."""
    monkeypatch.chdir(tmp_path)
    rng, ends = np.random.default_rng(0), np.arange(40) % 10 == 9
    return rlp.from_arrays(
        rng.normal(size=(40, 3)), rng.uniform(0, 2, (40, 2)), rng.uniform(size=40),
        terminated=np.zeros(40, bool), truncated=ends,
        options=rlp.ReadOptions(action_low="0", action_high="2"),
    )  # fmt: skip


def trained(arrays: rlp.EpisodeSet, algo: str = "bc", **settings: Any) -> Any:
    return rlp.train(algo, arrays, progress=False, **{**SMALL, **settings})


def test_arrays_are_trained_on_and_the_policy_acts_in_their_units(arrays: rlp.EpisodeSet):
    run = trained(arrays, name="a")
    policy = rlp.load_policy(run.directory)
    observation = arrays.episodes[0].observation
    actions = policy(observation)
    assert actions.shape == (10, 2)
    assert policy(observation[0]).shape == (2,)
    np.testing.assert_allclose(policy(observation[0]), actions[0], atol=1e-6)
    of_run, _ = restore.load_policy(run)
    keys = jax.random.split(jax.random.key(0), 1)
    inside, _ = policies.act(run.algo, of_run, (), observation[None], np.zeros((1, 10)), keys, 0)
    np.testing.assert_allclose(actions, inside[0] + 1, atol=1e-6)  # -1 is 0, 1 is 2


def test_a_list_of_a_hyperparameter_and_seeds_are_members(arrays: rlp.EpisodeSet):
    seen: list[tuple[int, tuple[int, ...]]] = []
    run = trained(
        arrays, seeds=2, learning_rate=[1e-3, np.float32(1e-2)],
        on_log=lambda step, metrics: seen.append((step, metrics["actor_loss"].shape)),
    )  # fmt: skip
    assert run.labels[::2] == ["seed=0,learning_rate=0.001", "seed=0,learning_rate=0.01"]
    assert seen == [(step, (4,)) for step in (10, 20, 30, 40)]
    every = rlp.load_policy(run.directory, member="all")(np.zeros(3))
    assert every.shape == (4, 2)
    one = rlp.load_policy(run.directory, member="seed=1,learning_rate=0.01")(np.zeros(3))
    np.testing.assert_allclose(one, every[3], atol=1e-6)
    with pytest.raises(rlp.InputError, match="was not evaluated, so none is known to be the best"):
        rlp.load_policy(run.directory)
    with pytest.raises(rlp.InputError, match=r"member=seed=9: .* has best, all, seed=0"):
        rlp.load_policy(run.directory, member="seed=9")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"learning_rte": 1e-3}, "no setting learning_rte .did you mean learning_rate"),
        ({"learning_rate": "fast"}, 'learning_rate is "fast", not a number'),
        ({"learning_rate": [1e-3, 1e-3]}, "must be different values"),
        ({"num_updates": 1.5}, "num_updates is 1.5, not a whole number"),
        ({"num_updates": 0}, "num_updates is 0, not at least 1"),
        ({"head": "none"}, 'head is "none", not one of deterministic'),
        ({"seeds": 0}, "seeds=0: must be a whole number, at least 1"),
        ({"num_seeds": 3}, "num_seeds: is no setting in Python"),
        ({"dataset": "walker-walk/medium"}, "dataset: is the argument `data` here"),
        ({"runs": ""}, 'runs is "", not a folder'),
        ({"preset": "none"}, "--preset=none: bc has"),
    ],
)
def test_what_cannot_be_is_an_exception(arrays: rlp.EpisodeSet, settings: Any, said: str):
    with pytest.raises(rlp.InputError, match=said):
        trained(arrays, **settings)
    assert not Path("runs").exists()


def test_no_algorithm_of_that_name(arrays: rlp.EpisodeSet):
    with pytest.raises(rlp.InputError, match=r"no algorithm iqll .did you mean iql"):
        trained(arrays, "iqll")


def test_nothing_is_printed_without_progress(arrays: rlp.EpisodeSet, capsys: Any):
    trained(arrays)
    assert capsys.readouterr() == ("", "")


def test_a_run_begun_in_python_goes_on_at_the_command_line_and_the_reverse(
    exorl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    flags = ["--batch_size=8", "--hidden_dims=8", "--num_updates=40", "--log_every=10"]
    flags += ["--eval_every=0", f"--dataset={exorl}", "--quiet"]
    command_line.main(["bc", *flags, "--name=whole"])
    rlp.train("bc", exorl, progress=False, name="python", **SMALL)
    assert losses("runs/python") == losses("runs/whole")
    longer = {"num_updates": 60, "extend": True}
    command_line.main(["bc", "--resume=runs/python", "--num_updates=60", "--extend", "--quiet"])
    run = rlp.resume("runs/whole", progress=False, **longer)
    assert run.configs[0].num_updates == 60
    assert losses("runs/python") == losses("runs/whole")
    first, second = states("runs/python"), states("runs/whole")
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_data_made_in_python_is_kept_with_its_run(arrays: rlp.EpisodeSet):
    run = trained(arrays, name="a")
    rlp.resume(run.directory, arrays, progress=False, num_updates=50, extend=True)
    with pytest.raises(rlp.InputError, match="began with 8"):
        rlp.resume(run.directory, arrays, progress=False, batch_size=4)
    command_line.main(["bc", "--resume=runs/a", "--num_updates=60", "--extend", "--quiet"])
    trained(arrays, name="whole", num_updates=60)
    assert losses("runs/a") == losses("runs/whole")
    other = rlp.from_episodes(list(arrays.episodes[:2]), name="arrays")
    with pytest.raises(rlp.InputError, match="its fingerprint is"):
        rlp.resume(run.directory, other, progress=False)


def test_data_that_was_read_is_read_again_in_the_same_way(arrays: rlp.EpisodeSet, tmp_path: Path):
    del arrays
    rng = np.random.default_rng(0)
    table: dict[str, Any] = {f"s{i}": rng.normal(size=40) for i in range(3)}
    table |= {"a": rng.uniform(0, 2, 40), "r": rng.uniform(size=40)}
    table |= {"done": np.zeros(40, bool), "cut": np.arange(40) % 10 == 9}
    np.savez(tmp_path / "log.npz", **table)
    columns = "observation=s*,action=a,reward=r,terminated=done,truncated=cut"
    read = rlp.load_data(tmp_path / "log.npz", columns=columns, action_low="0", action_high="2")
    run = trained(read, name="a")
    assert not (run.directory / "data.npz").exists()
    rlp.resume(run.directory, progress=False, num_updates=50, extend=True)


def test_how_data_is_read_is_no_setting_of_what_has_been_read(arrays: rlp.EpisodeSet):
    with pytest.raises(rlp.InputError, match=r"^env: says how data is read, and this was read"):
        trained(arrays, env="walker-walk")


def test_a_policy_says_what_it_cannot_act_on(arrays: rlp.EpisodeSet):
    policy = rlp.load_policy(trained(arrays).directory)
    for observation in (np.zeros(4), np.zeros((2, 2, 3)), np.zeros((0, 3))):
        with pytest.raises(rlp.InputError, match=r"must be \(3,\) or \(N, 3\)"):
            policy(observation)
    with pytest.raises(rlp.InputError, match="NaN or infinite"):
        policy(np.array([0, np.nan, 0]))


def test_a_policy_that_remembers_begins_anew_after_a_reset(arrays: rlp.EpisodeSet):
    run = rlp.train(
        "dt", arrays, progress=False, batch_size=8, embed_dim=8, num_layers=1, context=3,
        num_updates=20, eval_every=0,
    )  # fmt: skip
    policy, observation = rlp.load_policy(run.directory), arrays.episodes[0].observation
    first = policy(observation[0])
    second = policy(observation[1], reward=0.5)
    assert np.abs(second - policy(observation[1], reward=0.5)).max() > 0  # it is one step later
    with pytest.raises(rlp.InputError, match="2 observations in an episode that began with 1"):
        policy(observation[:2])
    policy.reset()
    np.testing.assert_array_equal(policy(observation[0]), first)


def test_discrete_actions_are_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    ends = np.arange(40) % 10 == 9
    chosen = np.arange(40) % 3
    data = rlp.from_arrays(np.eye(3)[chosen], chosen, np.zeros(40), np.zeros(40, bool), ends)
    run = trained(data, head="categorical", num_updates=300, learning_rate=1e-2, log_every=100)
    policy = rlp.load_policy(run.directory)
    assert policy(np.eye(3)).tolist() == [0, 1, 2]
    assert policy(np.eye(3)[2]) == 2


def test_the_best_member_is_that_of_the_last_evaluation(
    arrays: rlp.EpisodeSet, monkeypatch: pytest.MonkeyPatch
):
    run = trained(arrays, seeds=3)
    entries = [
        {"step": step, "member": label, "returns": returns}
        for step, means in ((20, (9, 1, 1)), (40, (1, 3, 2)))
        for label, returns in zip(run.labels, [[mean, mean] for mean in means], strict=True)
    ]
    monkeypatch.setattr(type(run), "evaluations", lambda _: entries)
    every = rlp.load_policy(run.directory, member="all")(np.ones(3))
    np.testing.assert_allclose(rlp.load_policy(run.directory)(np.ones(3)), every[1], atol=1e-6)


def test_a_member_that_diverges_is_warned_of(arrays: rlp.EpisodeSet):
    with pytest.warns(rlp.RunWarning, match=r"learning_rate=1e.30: NaN or infinite"):
        trained(arrays, learning_rate=[1e-3, 1e30])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(FloatingPointError, match="NaN or infinite"):
            trained(arrays, learning_rate=1e30, name="none")


def test_an_import_of_the_command_does_not_hide_the_function():
    lines = "import rlp\ntry:\n import rlp.train\nexcept ImportError:\n print(callable(rlp.train))"
    out = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    assert out.stdout == "True\n"


def test_a_run_is_found_by_a_path_that_goes_up(arrays: rlp.EpisodeSet, tmp_path: Path):
    run = trained(arrays, name="a")
    (tmp_path / "other").mkdir()
    up = Path("other", "..", run.directory)
    rlp.load_policy(up)
    rlp.resume(up, progress=False, num_updates=50, extend=True)
    trained(arrays, runs="other/../elsewhere")


def test_data_that_was_kept_and_is_gone_is_asked_for(arrays: rlp.EpisodeSet):
    run = trained(arrays, name="a")
    run.data.unlink()
    with pytest.raises(rlp.InputError, match=r"a/data\.npz is missing: .* give it as `data`"):
        rlp.resume(run.directory, progress=False)
    rlp.resume(run.directory, arrays, progress=False, num_updates=50, extend=True)


untyped: Any = rlp
EPISODE = rlp.Episode(np.zeros((3, 1)), np.zeros((2, 1)), np.zeros(2), terminated=False)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: untyped.ReadOptions(action_low="-2", episode_length="9"), "episode_length='9'"),
        (lambda: untyped.ReadOptions(action_low=[1, "a"]), "action_low=.*: must be a number"),
        (lambda: untyped.ReadOptions(discrete="True"), "discrete='True': must be True or False"),
        (lambda: untyped.from_episodes(None), "not episodes but NoneType"),
        (lambda: untyped.from_episodes([EPISODE._replace(action=None)]), "episode 0: no action"),
        (lambda: untyped.from_episodes([EPISODE], options={}), "not rlp.ReadOptions but dict"),
        (lambda: untyped.from_arrays(None, *np.zeros((4, 3))), "no observation"),
        (lambda: untyped.load_policy(None), "directory: not a path but NoneType"),
        (lambda: untyped.load_policy("runs/a", algo="own"), "give the module itself"),
        (lambda: untyped.resume("runs/a", "walker"), "data: not a data set but str"),
        (lambda: untyped.train("bc", {}), "data: neither a data set nor a path but dict"),
        (lambda: untyped.train("bc", on_log=None), "on_log: not a function"),
    ],
)
def test_what_is_no_such_thing_is_one_sentence(call: Any, message: str):
    with pytest.raises(rlp.InputError, match=message):
        call()


def test_bounds_may_be_numbers_or_arrays():
    options = untyped.ReadOptions(action_low=-2, action_high=np.array([2, 3.5]))
    assert options == rlp.ReadOptions(action_low="-2.0", action_high="2.0:3.5")
    assert options.bounds is not None
    assert options.bounds.high.tolist() == [2, 3.5]


def test_what_a_policy_is_called_with_is_checked(arrays: rlp.EpisodeSet):
    policy: Any = rlp.load_policy(trained(arrays).directory)
    observation = np.zeros((2, 3))
    for arguments, message in (
        (("ab",), "observation: must be numbers"),
        ((observation, "x"), "reward: must be numbers"),
        ((observation, np.zeros(3)), r"reward of shape \(3,\): must be one number or 2"),
        ((observation, 0.0, np.nan), "temperature: NaN or infinite"),
        ((observation, 0.0, -1), "temperature=-1: must be at least 0"),
    ):
        with pytest.raises(rlp.InputError, match=message):
            policy(*arguments)


def test_a_data_set_and_a_run_are_shown_in_a_line(arrays: rlp.EpisodeSet):
    assert repr(arrays) == "<EpisodeSet arrays: 4 episodes, 40 steps, env ''>"
    assert repr(trained(arrays, name="a")) == "<Run runs/a: bc, 1 member>"
