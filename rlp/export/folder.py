"""The folder that a policy leaves in: what is in it, and what it says of itself.

README.md        what it is, and how it is used
about.json       the same for programs: shapes, bounds, data, returns, versions
policy.py        runs act.json and act.npz (and start.json) with numpy alone
act.stablehlo    and start.stablehlo, for jax
act.onnx         and start.onnx
hugging_face/    model.safetensors and config.json, of a Decision Transformer
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import jax
import numpy as np

from rlp import runs
from rlp.algos import dt
from rlp.data.dataset import STD_FLOOR
from rlp.errors import InputError, nearest
from rlp.export import about, functions, onnx, policy, program, stablehlo
from rlp.export.functions import Function, Member
from rlp.interop import hugging_face
from rlp.runs import Run
from rlp.system.files import whole_folder, write_json, write_text
from rlp.training import restore
from rlp.training.restore import Chosen, Which
from rlp.types import NEVER

Format = Literal["numpy", "stablehlo", "onnx", "safetensors"]
FORMATS: tuple[Format, ...] = get_args(Format)
USUAL: tuple[Format, ...] = ("numpy",)  # which needs nothing more than rlp does
COARSE = 1e-3  # standard deviations by which float32 may change an observation


def write(
    run: Run,
    out: Path,
    member: str = "best",
    formats: Sequence[Format] = USUAL,
    task: str = "",
    checkpoint: Which = "last",
) -> Path:
    """Writes the policy of a member into a new folder, whole or not at all, and returns it.

    Args:
        run: that trained it.
        out: the folder.
        member: `best` by the last evaluation, a label, as `seed=0`, or the number of one.
        formats: of its files.
        task: of a run of several, the one that the policy is for; "": the caller says it.
        checkpoint: the last, or that of the member at its best.

    Raises:
        InputError: if there is no such member or task, it is not finite, or a format does not have
            the policy.
    """
    if wrong := [each for each in formats if each not in FORMATS]:
        raise InputError(
            f"formats: no {wrong[0]}{nearest(wrong[0], FORMATS)}; there is {', '.join(FORMATS)}"
        )
    chosen = restore.choose(run, checkpoint)
    saved, number = chosen.saved, _number(run, member, chosen)
    if saved.diverged[number] != NEVER:
        raise InputError(f"{run.directory}: {runs.in_words(run.diverged(saved.diverged))}")
    one = restore.policy_of(run, saved).members([number])
    config, params = jax.tree.map(lambda leaf: leaf[0], (one.config, one.params))
    acting = one._replace(config=config, params=params)
    exported = Member(run.algo, run.spec, acting, run.units, _one_hot(run, task))
    if exported.origin.any() and set(formats) & {"stablehlo", "onnx"}:
        _check_origin(exported)
    said = about.about(run, number, int(chosen.updates[number]), exported, task)
    with whole_folder(out) as folder:
        for each in formats:
            WRITERS[each](folder, exported)
        write_json(folder / "about.json", said)
        write_text(folder / "README.md", about.readme(said, formats))
    return out


def _number(run: Run, member: str, chosen: Chosen) -> int:
    """Returns the number of a member.

    Raises:
        InputError: if there is none, or several are meant.
    """
    count = len(run.seeds)
    if member.isdecimal() and int(member) < count:
        return int(member)
    numbers = chosen.numbers(run, member)
    if len(numbers) > 1:
        raise InputError(f"member={member}: an export has one, and the run has {count}")
    return numbers[0]


def _one_hot(run: Run, task: str) -> tuple[float, ...]:
    """Returns what stands behind the observations of a task."""
    names = run.record["env"].split("+")
    if not task:
        return ()
    if len(names) == 1 or task not in names:
        raise InputError(f"task={task}: the run has {', '.join(names)}, and one task needs no name")
    return tuple(float(name == task) for name in names)


def _check_origin(member: Member) -> None:
    """Checks that float32 observations are precise enough.

    Raises:
        InputError: if the policy would see other ones.
    """
    std = np.maximum(member.policy.normalizer.std, STD_FLOOR)[: member.observation_dim]
    error = float(np.max(np.abs(member.origin) * np.finfo(np.float32).eps / std))
    if error > COARSE:
        raise InputError(
            f"float32 observations would be off by up to {error:.2g} standard deviations, as they "
            "are large and change little: --formats=numpy takes them in float64"
        )


def _numpy(folder: Path, member: Member) -> None:
    shutil.copy(policy.__file__, folder / "policy.py")
    for name, function in _functions(member, is_centered=True).items():
        program.save(folder, name, program.trace(function))


def _stablehlo(folder: Path, member: Member) -> None:
    for name, function in _functions(member).items():
        stablehlo.save(folder / f"{name}.stablehlo", function)


def _onnx(folder: Path, member: Member) -> None:
    for name, function in _functions(member).items():
        onnx.save(folder / f"{name}.onnx", program.trace(function))


def _safetensors(folder: Path, member: Member) -> None:
    config = member.policy.config
    if not isinstance(config, dt.Config):
        raise InputError(
            "formats=safetensors: the names are those of Hugging Face's Decision Transformer, and "
            "the policy is another"
        )
    (inner := folder / "hugging_face").mkdir()
    hugging_face.write(inner, config, member.policy.params)


def _functions(member: Member, is_centered: bool = False) -> dict[str, Function]:
    start = functions.start(member)
    return {"act": functions.act(member, is_centered), **({"start": start} if start else {})}


WRITERS: Mapping[Format, Callable[[Path, Member], None]] = {
    "numpy": _numpy,
    "stablehlo": _stablehlo,
    "onnx": _onnx,
    "safetensors": _safetensors,
}
