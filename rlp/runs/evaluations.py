"""What `rlp.evaluate` has found of a run, beside what training has: evaluation.json.

An entry for each evaluation, the newest last. The same evaluation anew replaces the former entry;
one of another environment, seed or number of episodes, of other targets or another checkpoint is
kept beside it.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np

from rlp.runs import Run, records
from rlp.runs.records import Numbers
from rlp.system import files
from rlp.system.lock import locked

NAME = "evaluation.json"


class Found(TypedDict):
    """An evaluation: what makes it another, and what was found."""

    step: int  # updates of the members, or environment steps
    env: str
    first_seed: int  # of the first episode; the others follow
    returns: dict[str, Numbers | None]  # by member, and task or target; None: it diverged
    checkpoint: NotRequired[str]  # last, or best; evaluations of before do not say
    num_episodes: NotRequired[int]  # of each, likewise
    target_returns: NotRequired[list[float]]  # to aim for, where others than the training's
    acting: NotRequired[dict[str, Any]]  # options of acting, where others than the training's


SAME = ("step", "checkpoint", "env", "first_seed", "num_episodes", "target_returns", "acting")


def read(run: Run) -> list[dict[str, Any]]:
    """Returns the entries of a run's evaluation.json, none where there is no such file.

    Raises:
        InputError: if it is damaged.
    """
    path = run.directory / NAME
    if not path.is_file():
        return []
    found = files.read_json(path)
    entries = [found] if isinstance(found, dict) else found  # of before: the last one alone
    records.read(list[Found], entries, str(path))
    return entries


def add(run: Run, entry: Mapping[str, Any]) -> Path:
    """Writes an entry behind those that are there, and returns the path of the file.

    Raises:
        InputError: if the file is damaged, or another process is writing it.
    """
    path = run.directory / NAME
    with locked(run.directory, "evaluation.lock"):
        others = [each for each in read(run) if _key(each) != _key(entry)]
        files.write_json(path, [*others, entry])
    return path


def _key(entry: Mapping[str, Any]) -> list[Any]:
    return [entry.get(name) for name in SAME]


def members(run: Run, entry: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns the means of the members of each setting, and task or target, that have returns."""
    labels = {label: name for name, of in run.settings.items() for label in of}
    found: dict[str, list[float]] = defaultdict(list)
    for name, returns in entry["returns"].items():
        label = max((each for each in labels if name.startswith(each)), key=len, default="")
        means = found[labels.get(label, "") + name.removeprefix(label)]
        if returns is not None and None not in returns:
            means.append(float(np.mean(returns)))
    return {name: np.array(means) for name, means in found.items()}
