"""Folders of runs as training leaves them, with figures that a test chooses."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp import config
from rlp.algos import bc
from rlp.runs import LAYOUT

DATA = [500.0, 700.0]


def write_run(
    directory: Path,
    returns: Sequence[Sequence[float] | None],
    data: str = "walk",
    ended: bool = True,
    metrics: Mapping[str, Sequence[float]] | None = None,
    learning_rate: float = 3e-4,
) -> Path:
    """Writes a run of a seed for each entry of `returns`, its episodes; None: it diverged.

    `metrics` has a value for each of two log points, the same of all members.
    """
    labels = [f"seed={seed}" for seed in range(len(returns))]
    setting = config.to_dict(bc.Config(learning_rate=learning_rate))
    limits = {"max_q": [None, 10.0]}
    record: dict[str, Any] = {
        "layout": LAYOUT, "algo": "bc", "env": "walker", "settings": {"top_fraction": 1.0},
        "schedule": {"final_episodes": 2}, "command": "a <command>", "versions": {"rlp": "0.1.0"},
        "git_commit": "abc", "machine": "one", "target_returns": [700.0],
        "spec": {"observation_dim": 4, "action_dim": 2, "max_episode_steps": 12},
        "data": {"name": data, "fingerprint": data * 3, "returns": DATA},
        "members": [
            {"seed": seed, "config": setting, "limits": limits} for seed in range(len(returns))
        ],
    }  # fmt: skip
    directory.mkdir(parents=True)
    _write(directory / "config.json", record)
    evaluations = [
        {"step": step, "member": label, "returns": of}
        for step in (10, 20)
        for label, of in zip(labels, returns, strict=True)
    ]
    _write(directory / "returns.json", evaluations)
    lines = [
        {"step": step, "member": label, **{name: of[point] for name, of in (metrics or {}).items()}}
        for point, step in enumerate((10, 20))
        for label in labels
    ]
    means = [
        {"step": e["step"], "member": e["member"], "return": sum(e["returns"]) / len(e["returns"])}
        for e in evaluations
        if e["returns"]
    ]
    lost = {label: 12 for label, of in zip(labels, returns, strict=True) if of is None}
    points = lines + ([] if lost else means)
    (directory / "metrics.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))
    if ended:
        of = {f"data ({data})": DATA, "random policy": [1.0, 3.0]}
        of |= dict(zip(labels, returns, strict=True))
        _write(directory / "result.json", {"returns": of, "diverged": lost, **record})
    return directory


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))
