"""What the files of a run say is checked before it is used."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlp import runs
from rlp.commands import evaluate
from rlp.errors import InputError
from rlp.runs.records import read, spec_record
from rlp.types import Space, Spec, vectors
from tests.whole_runs import refused


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (int, True, "here is true, not a whole number"),
        (int, -1, "here is -1, not a whole number"),
        (float, None, "here is null, not a number"),
        (float, 10**400, "not a number"),
        (str, "a\nb", "not a text in one line"),
        (tuple[int, ...], [1, "a"], r'here\[1\] is "a", not a whole number'),
        (dict[str, int], {"a": []}, r'here, "a" is \[\], not a whole number'),
        (Space, {"shape": [1]}, "here: no num_choices"),
        (Space, {"shape": [1], "num_choices": 0, "x": 1}, '"x" is'),
    ],
)
def test_a_value_that_is_something_else_is_named(kind: Any, value: Any, said: str):
    with pytest.raises(InputError, match=said):
        read(kind, value, "here")


def test_a_value_is_read_as_what_the_annotation_says():
    assert read(tuple[int, ...], [1, 2], "here") == (1, 2)
    assert read(float | None, None, "here") is None
    spec = vectors(1, 2, 3)
    assert read(Spec, spec_record(spec), "here") == spec


@pytest.fixture
def made(command: Callable[..., None]) -> Path:
    """A run of two members, with an evaluation."""
    command("--name=a", "--num_seeds=2", "--checkpoint_every=20")
    shutil.rmtree("runs/a/checkpoints/40")
    entries = [{"step": 20, "member": f"seed={seed}", "returns": [1.0]} for seed in (0, 1)]
    Path("runs/a/returns.json").write_text(json.dumps(entries))
    return Path("runs/a")


CHANGES = [  # keys that lead to a value, what is put there, what is said of it
    (("algo",), 3, "algo is 3, not a text"),
    (("env",), "<b>\n", "env is"),
    (("spec", "action", "shape"), [None], "spec, action, shape[0] is null"),
    (("spec", "action", "shape"), [3], "spec is"),
    (("spec", "action", "shape"), [0], "spec: a size is below 1"),
    (("spec", "action", "num_choices"), -1, "spec, action, num_choices is -1"),
    (("settings", "normalize"), "no", 'settings, normalize is "no", not true or false'),
    (("settings", "preset"), "none", "settings, preset"),
    (("schedule", "log_every"), -1, "schedule, log_every is -1"),
    (("schedule", "other"), 1, 'schedule: "other" is not known'),
    (("target_returns",), [1, 2], "target_returns: not one for each task"),
    (("data", "returns"), ["a"], 'data, returns is ["a"]'),
    (("members",), [], "members is []"),
    (("members", 0, "seed"), 2**32, "members[0], seed is 4294967296"),
    (("members", 1, "seed"), 0, "members: two of them are the same"),
    (("members", 1, "config", "hidden_dims"), [9], "members[1], config, hidden_dims: members"),
    (("members", 1, "config", "head"), "a", "members[1], config, head is"),
    (("members", 0, "limits", "max_q"), "a", 'members[0], limits, "max_q" is "a"'),
    (("members", 0, "limits", "max_q"), [1], 'members[0], limits, "max_q" is [1]'),
]


@pytest.mark.slow
def test_a_changed_record_is_refused_in_one_line(
    made: Path, command: Callable[..., None], capsys: Any
):
    path = made / "config.json"
    whole = path.read_text()

    def changed(keys: tuple[Any, ...], change: Callable[[Any, Any], None]) -> str:
        record = json.loads(whole)
        inner = record
        for key in keys[:-1]:
            inner = inner[key]
        change(inner, keys[-1])
        path.write_text(json.dumps(record))
        return refused(capsys, lambda: command(f"--resume={made}", "--quiet"))

    for keys, value, said in CHANGES:
        assert f"{path}, {said}" in changed(
            keys, lambda inner, key, value=value: inner.__setitem__(key, value)
        )
    for keys in (
        ("env",), ("spec",), ("members",), ("data",), ("target_returns",), ("command",),
        ("data", "fingerprint"), ("members", 0, "seed"), ("members", 1, "config", "head"),
        ("schedule", "log_every"), ("settings", "seed"),
    ):  # fmt: skip
        assert f": no {keys[-1]}" in changed(keys, lambda inner, key: inner.pop(key))
    path.write_text(whole)
    command(f"--resume={made}", "--quiet")  # as it was, it goes on


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("returns.json", "3", "returns.json is 3, not a list"),
        ("returns.json", "[{}]", "returns.json[0]: no "),
        ("returns.json", '[{"step": 20, "member": "a", "returns": [1]}]', 'member is "a"'),
        ("returns.json", '[{"step": 20, "member": "seed=0", "returns": [1]}]', "has not all of"),
        ("metrics.jsonl", '{"step": 20}\n', "line 1: no member"),
        ("metrics.jsonl", '{"step": 1, "member": "seed=0", "a": []}\n', "line 1, a is []"),
        ("metrics.jsonl", '{"step": 1, "member": "seed=0", "\\n": 1}\n', "a metric is"),
        ("metrics.jsonl", '{"step": 1, "member": "a"}\n', "not a member of the run"),
    ],
)
def test_other_files_are_refused_in_one_line(
    name: str, content: str, said: str, made: Path, command: Callable[..., None], capsys: Any
):
    (made / name).write_text(content)
    assert said in refused(capsys, lambda: command(f"--resume={made}", "--quiet"))


def test_a_link_in_a_run_is_refused(made: Path, capsys: Any):
    (made / "evaluation.json.partial").symlink_to("/tmp/elsewhere")
    error = refused(capsys, lambda: evaluate.main([str(made), "--quiet"]))
    assert "evaluation.json.partial is a link" in error


def test_a_return_that_is_missing_is_not_a_number(made: Path):
    entries = [{"step": 20, "member": f"seed={seed}", "returns": [None]} for seed in (0, 1)]
    (made / "returns.json").write_text(json.dumps(entries))
    assert str(runs.load(made).evaluations()[0]["returns"]) == "[nan]"


def test_the_spec_of_older_runs_is_one_of_vectors(made: Path):
    path = made / "config.json"
    record = json.loads(path.read_text())
    spec = runs.load(made).spec
    older = {"observation_dim": 4, "action_dim": 2, "max_episode_steps": spec.max_episode_steps}
    path.write_text(json.dumps({**record, "spec": older}))
    assert runs.load(made).spec == spec
    for member in record["members"]:
        member["config"]["head"] = "categorical"
    path.write_text(json.dumps({**record, "spec": older}))
    assert runs.load(made).spec.action == Space((2,), num_choices=2)
