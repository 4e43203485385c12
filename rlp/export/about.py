"""The description of an exported policy, for programs and for readers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlp.config import to_dict
from rlp.export import functions
from rlp.export.functions import Member, Port
from rlp.export.policy import FORMAT
from rlp.runs import Run, provenance

USES = {
    "numpy": """\
    from policy import load  # numpy alone: policy.py, act.json, act.npz

    policy = load()
""",
    "stablehlo": """\
    from pathlib import Path
    from jax import export  # cpu, cuda, tpu

    act = export.deserialize(bytearray(Path("act.stablehlo").read_bytes())).call
""",
    "onnx": """\
    import onnxruntime

    act = onnxruntime.InferenceSession("act.onnx")
""",
    "safetensors": """\
    from transformers import DecisionTransformerModel

    model = DecisionTransformerModel.from_pretrained("hugging_face")
""",
}
CALLS = {
    "numpy": "    action = policy(observation)  # [O] or [N, O]\n",
    "stablehlo": "    (action,) = act(observation)  # [N, O] float32\n",
    "onnx": '    (action,) = act.run(None, {"observation": observation})  # [N, O] float32\n',
}
CALLS_WITH_MEMORY = {
    "numpy": """\
    memory = policy.start()  # where an episode begins
    action, memory = policy.act(observation, reward, memory)  # the last action's reward, or 0
""",
    "stablehlo": """\
    start = export.deserialize(bytearray(Path("start.stablehlo").read_bytes())).call
    memory = start(target_return)  # [N] float32, where episodes begin
    action, *memory = act(observation, reward, *memory)  # [N, O] and [N]: the last action's, or 0
""",
    "onnx": """\
    start = onnxruntime.InferenceSession("start.onnx")
    memory = start.run(None, {"target_return": target_return})  # [N] float32
    values = dict(zip([each.name for each in act.get_inputs()], [observation, reward, *memory]))
    action, *memory = act.run(None, values)  # [N, O] and [N] float32: the last action's, or 0
""",
}


def about(run: Run, number: int, step: int, member: Member, task: str) -> dict[str, Any]:
    """Returns the contents of about.json.

    Args:
        run: the run that trained the policy.
        number: of the member.
        step: the updates of the checkpoint.
        member: the policy.
        task: as in `rlp.export.folder.write`.
    """
    act, start = functions.act(member), functions.start(member)
    names, environment = run.record["env"].split("+"), provenance.environment()
    data = run.record.get("data", {"name": "", "fingerprint": ""})
    mean, std = (
        np.asarray(each)[: member.observation_dim].tolist() for each in member.policy.normalizer
    )
    low, high = _bounds(run, member)
    return {
        "format": FORMAT,
        "algorithm": run.record["algo"],
        "run": run.directory.name,
        "member": run.labels[number],
        "updates": step,
        "environment": task or run.record["env"],
        "observation": {
            **_port(act.inputs[0]),
            "one_hot_behind": names if len(names) > 1 and not task else [],
            "origin": member.origin.tolist() if member.origin.any() else None,
            "mean": mean,
            "std": std,
        },
        "action": {
            **_port(act.outputs[0]),
            "choices": run.spec.action.num_choices or None,
            "low": low,
            "high": high,
        },
        "memory": [_port(port) for port in start.outputs] if start else [],
        "aims": run.algo.policy.aims,
        "target_return": run.target_returns[names.index(task) if task else 0],
        "setting": to_dict(run.configs[number]),
        "data": {"name": data["name"], "fingerprint": data["fingerprint"]},
        "trials": run.record["settings"].get("trials", 0),
        "evaluations": _evaluations(run, number, step, task),
        "versions": environment["versions"],
        "git_commit": environment["git_commit"],
    }


def _bounds(run: Run, member: Member) -> tuple[list[float] | None, list[float] | None]:
    """Returns the lowest and the highest action, None if actions are discrete."""
    if run.spec.action.kind == "discrete":
        return None, None
    width = run.spec.action_dim
    low, high = member.bounds or (-np.ones(width), np.ones(width))
    return np.broadcast_to(low, width).tolist(), np.broadcast_to(high, width).tolist()


def _port(port: Port) -> dict[str, Any]:
    return {"name": port.name, "shape": list(port.shape), "dtype": str(port.dtype)}


def _evaluations(run: Run, number: int, step: int, task: str) -> list[dict[str, Any]]:
    """Returns the last returns of a member, one entry per task; empty if it was not evaluated."""
    names = {run.labels[number] + each for each in run.tasks if not task or each == f" {task}"}
    last = {entry["member"]: entry for entry in run.evaluations(step) if entry["member"] in names}
    return [
        {
            "of": name,
            "updates": entry["step"],
            "episodes": len(entry["returns"]),
            "mean": float(np.mean(entry["returns"])),
            "std": float(np.std(entry["returns"])),
        }
        for name, entry in last.items()
    ]


def readme(facts: dict[str, Any], formats: Sequence[str]) -> str:
    """Returns README.md for the contents of about.json and the exported formats."""
    calls = CALLS_WITH_MEMORY if facts["memory"] else CALLS
    uses = "\n".join(USES[each] + calls.get(each, "") for each in formats)
    lines = [
        f"# {facts['algorithm']}, {facts['member']}",
        "",
        f"A policy that rlp {facts['versions']['rlp']} trained and exported: member "
        f"`{facts['member']}` of run `{facts['run']}` after {facts['updates']:,} updates. It acts "
        "without noise (temperature 0); the normaliser and the units of actions are included.",
        "",
        f"- observation: {_of_observation(facts['observation'])}",
        f"- action: {_of_action(facts['action'])}",
        f"- environment: {facts['environment'] or 'not known'}",
        f"- data: {facts['data']['name']}, fingerprint {facts['data']['fingerprint']}",
        *([f"- from a search of {facts['trials']} trials"] if facts["trials"] else []),
        *(f"- return of {each['of']}: {_of_return(each)}" for each in facts["evaluations"]),
        *([f"- return that it aims for: {facts['target_return']:g}"] if facts["aims"] else []),
        f"- versions: {', '.join(f'{k} {v}' for k, v in facts['versions'].items())}",
        "",
        "about.json has the same for programs, plus the setting, and mean and std of observations.",
        "",
        uses,
    ]
    return "\n".join(lines)


def _of_observation(facts: dict[str, Any]) -> str:
    text = f"{facts['shape'][0]} numbers, in the units of the environment"
    if facts["one_hot_behind"]:
        text += f", the last of them a one-hot of {', '.join(facts['one_hot_behind'])}"
    return text


def _of_action(facts: dict[str, Any]) -> str:
    if facts["choices"]:
        return f"the number of one of {facts['choices']} choices, the first of them 0"
    return f"{facts['shape'][0]} numbers, from {facts['low']} to {facts['high']}"


def _of_return(facts: dict[str, Any]) -> str:
    return (
        f"{facts['mean']:.1f} ± {facts['std']:.1f} (mean and standard deviation of "
        f"{facts['episodes']} episodes, after {facts['updates']:,} updates)"
    )
