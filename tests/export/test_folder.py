"""A run's policy in a folder of its own, which needs nothing of rlp."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlp
from rlp.algos import ALGOS
from rlp.export import __main__ as command_line
from rlp.export import folder, policy
from rlp.interop.hugging_face import decision_transformer, read_weights
from tests import own_algorithm
from tests.whole_runs import refused

SMALL: dict[str, Any] = {
    "batch_size": 8, "num_updates": 4, "log_every": 4, "eval_every": 0, "progress": False,
}  # fmt: skip
ALONE = """
import sys
import numpy as np
from policy import load
print(load()(np.full(3, 0.5)).tolist())
assert not {"jax", "rlp", "flax"} & set(sys.modules)
"""


def data(offset: float = 0.0, env: str = "") -> rlp.EpisodeSet:
    """Returns four episodes of ten steps; actions are from 0 to 2 in the environment's units."""
    rng, ends = np.random.default_rng(0), np.arange(40) % 10 == 9
    observation = (offset + rng.normal(size=(40, 3))).astype(np.float64 if offset else np.float32)
    options = rlp.ReadOptions(action_low="0", action_high="2", env=env)
    return rlp.from_arrays(
        observation, rng.uniform(0, 2, (40, 2)), rng.uniform(size=40),
        terminated=np.zeros(40, bool), truncated=ends, options=options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two members that was not evaluated."""
    runs = str(tmp_path_factory.mktemp("runs"))
    return rlp.train("bc", data(), seeds=2, hidden_dims=(8,), runs=runs, **SMALL).directory


def test_it_acts_alone_as_in_rlp(run: Path, tmp_path: Path):
    out = rlp.export_policy(run, tmp_path / "deep" / "policy", member="seed=1")
    observation = np.random.default_rng(1).normal(size=(5, 3))
    exported, agent = policy.load(out), rlp.load_policy(run, member="seed=1")
    np.testing.assert_allclose(exported(observation), agent(observation), atol=1e-6)
    np.testing.assert_allclose(exported(observation[0]), agent(observation[0]), atol=1e-6)
    other = rlp.load_policy(run, member="seed=0")
    assert np.abs(exported(observation) - other(observation)).max() > 1e-3
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    alone = subprocess.run(
        [sys.executable, "-c", ALONE], cwd=out, env=environment, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    np.testing.assert_allclose(json.loads(alone.stdout), agent(np.full(3, 0.5)), atol=1e-6)


def test_the_folder_says_what_it_is(run: Path, tmp_path: Path):
    out = rlp.export_policy(run, tmp_path / "policy", member="1")
    about = json.loads((out / "about.json").read_text())
    record = json.loads((run / "config.json").read_text())
    assert (about["member"], about["updates"], about["algorithm"]) == ("seed=1", 4, "bc")
    assert (about["action"]["low"], about["action"]["high"]) == ([0, 0], [2, 2])
    assert about["observation"]["shape"] == [3]
    assert about["data"]["fingerprint"] == record["data"]["fingerprint"]
    page = (out / "README.md").read_text()
    assert "2 numbers, from [0.0, 0.0] to [2.0, 2.0]" in page
    assert record["data"]["fingerprint"] in page


def test_the_best_is_that_of_the_last_evaluation(run: Path, tmp_path: Path):
    entries = [
        {"step": step, "member": f"seed={seed}", "returns": [value, value + 2]}
        for step, values in ((2, (9, 0)), (4, (1, 5)))
        for seed, value in enumerate(values)
    ]
    path = run / "returns.json"
    path.write_text(json.dumps(entries))
    out = rlp.export_policy(run, tmp_path / "policy")
    path.unlink()
    about = json.loads((out / "about.json").read_text())
    assert about["member"] == "seed=1"
    (last,) = about["evaluations"]
    assert (last["mean"], last["std"], last["episodes"], last["updates"]) == (6, 1, 2, 4)
    assert "6.0 ± 1.0" in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--member=seed=7"], "has best, all, seed=0, seed=1"),
        (["--member=all"], "an export has one, and the run has 2"),
        (["--member=best"], "was not evaluated, so none is known to be the best"),
        (["--formats=pickle"], "must be one of numpy, stablehlo, onnx, safetensors"),
        (["--task=walker-run", "--member=0"], "one task needs no name"),
        (["--formats=numpy,safetensors", "--member=0"], "those of Hugging Face's Decision Transf"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(
    run: Path, tmp_path: Path, capsys: Any, flags: list[str], said: str
):
    words = [str(run), f"--out={tmp_path / 'policy'}", *flags]
    assert said in refused(capsys, lambda: command_line.main(words))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_refused(run: Path, tmp_path: Path, capsys: Any):
    words = [str(run), f"--out={tmp_path / 'policy'}", "--member=0"]
    command_line.main(words)
    assert "act.npz" in capsys.readouterr().out
    assert "exists: choose a new folder" in refused(capsys, lambda: command_line.main(words))


def test_what_is_not_installed_is_one_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    missing: list[tuple[folder.Format, str]] = [("stablehlo", "flatbuffers"), ("onnx", "onnx")]
    for form, package in missing:
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(rlp.InputError, match=f"pip install {package}"):
            rlp.export_policy(run, tmp_path / "policy", "0", formats=[form])
    assert list(tmp_path.iterdir()) == []


def test_observations_of_an_origin_are_centred_in_float64(tmp_path: Path):
    where = {"runs": str(tmp_path / "runs")}
    run = rlp.train("bc", data(offset=1e9), hidden_dims=(8,), **where, **SMALL).directory
    observation = 1e9 + np.random.default_rng(1).normal(size=(5, 3))
    out = rlp.export_policy(run, tmp_path / "policy")
    wanted = rlp.load_policy(run)(observation)
    np.testing.assert_allclose(policy.load(out)(observation), wanted, atol=1e-6)
    assert np.abs(wanted - wanted[0]).max() > 1e-3
    with pytest.raises(rlp.InputError, match=r"--formats=numpy takes them in float64"):
        rlp.export_policy(run, tmp_path / "other", formats=["onnx"])


def test_a_run_of_two_tasks_leaves_as_the_policy_of_one(tmp_path: Path):
    one = data()
    many = [
        each._replace(
            observation=np.hstack([each.observation, np.tile(bits, (len(each.observation), 1))])
        )
        for number, each in enumerate(one.episodes)
        for bits in [np.eye(2, dtype=np.float32)[number % 2]]
    ]
    both = rlp.from_episodes(
        many,
        "walker-walk+walker-run",
        "both",
        options=rlp.ReadOptions(action_low="-1", action_high="1"),
    )
    where = {"runs": str(tmp_path / "runs")}
    run = rlp.train("bc", both, hidden_dims=(8,), **where, **SMALL).directory
    observation = np.random.default_rng(1).normal(size=(5, 3))
    agent = rlp.load_policy(run)
    for number, task in enumerate(("walker-walk", "walker-run")):
        exported = policy.load(rlp.export_policy(run, tmp_path / task, task=task))
        with_task = np.hstack([observation, np.tile(np.eye(2)[number], (5, 1))])
        np.testing.assert_allclose(exported(observation), agent(with_task), atol=1e-6)


def test_a_decision_transformer_remembers_what_its_caller_carries(tmp_path: Path):
    sizes = {"context": 3, "embed_dim": 8, "num_layers": 2, "num_heads": 2}
    where = {"runs": str(tmp_path / "runs")}
    run = rlp.train("dt", data(), **sizes, **where, **SMALL)
    pytest.importorskip("safetensors")
    out = rlp.export_policy(run.directory, tmp_path / "policy", formats=["numpy", "safetensors"])
    exported, agent = policy.load(out), rlp.load_policy(run.directory)
    agent.target_return = 7.0
    memory, reward = exported.start(target_return=7.0), 0.0
    for observation in np.random.default_rng(1).normal(size=(5, 3)):
        action, memory = exported.act(observation, reward, memory)
        np.testing.assert_allclose(action, agent(observation, reward), atol=1e-5)
        reward = 0.5
    with pytest.raises(ValueError, match="this policy remembers"):
        exported(np.zeros(3))
    params = decision_transformer(read_weights(out / "hugging_face" / "model.safetensors"))
    inside = folder.restore.load_policy(run)[0].params
    for name, leaf in params["block_1"]["key_value"].items():
        np.testing.assert_array_equal(leaf, inside["block_1"]["key_value"][name][0])


def test_an_algorithm_of_ones_own_leaves_too(tmp_path: Path):
    where = {"runs": str(tmp_path / "runs")}
    run = rlp.train(own_algorithm, data(), **where, **SMALL).directory
    out = rlp.export_policy(run, tmp_path / "policy", algo=own_algorithm)
    agent, observation = rlp.load_policy(run, algo=own_algorithm), np.ones((5, 3))
    np.testing.assert_allclose(policy.load(out)(observation), agent(observation), atol=1e-6)
    del ALGOS[own_algorithm.__name__]


def test_a_shape_that_does_not_fit_is_refused(run: Path, tmp_path: Path):
    exported = policy.load(rlp.export_policy(run, tmp_path / "policy", "0"))
    with pytest.raises(ValueError, match=r"must be \(3,\) or \(N, 3\)"):
        exported(np.zeros(4))
    about = tmp_path / "policy" / "about.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "format": 2}))
    with pytest.raises(ValueError, match="format 2, and this file reads 1"):
        policy.load(tmp_path / "policy")
