"""What a number depends on besides its flags: command, versions, commit and machine."""

import os
import platform
import re
import subprocess
import sys
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from rlp.version import __version__

PACKAGE = Path(__file__).parents[1]
PACKAGES = (
    "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy",
    "dm_control", "mujoco", "gymnasium",
)  # fmt: skip
CPU_FACTS = Path("/proc/cpuinfo")


def environment() -> dict[str, Any]:
    """Returns what a number depends on beside the flags: versions, commit, machine."""
    versions = {"rlp": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # a machine without simulators
    return {
        "command": _command(),
        "versions": versions,
        "git_commit": _git_commit(),
        "devices": [device.device_kind for device in jax.devices()],
        "machine": f"{platform.system()} {_processor()}, {os.cpu_count()} cores",
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def _processor() -> str:
    """Returns the processor as `x86_64 AMD EPYC (family 25, model 17)`, or what is known of it.

    Family and model tell apart what a cloud gives the same name.
    """
    try:
        text = CPU_FACTS.read_text(encoding="utf-8")
    except OSError:  # not Linux
        return platform.machine()
    facts = dict(re.findall(r"^(.+?)\s*: (.*)$", text, re.MULTILINE))
    if not {"model name", "cpu family", "model"} <= facts.keys():  # not x86
        return platform.machine()
    numbers = f"family {facts['cpu family']}, model {facts['model']}"
    return f"{platform.machine()} {facts['model name']} ({numbers})"


def _command() -> str:
    """Returns the command of this process, or of the one that started it for a part of its work."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    script = sys.argv[:1]
    if module:
        script = ["-m", module.name]
    elif script and Path(script[0]).is_relative_to(PACKAGE):  # a process of multiprocessing
        parts = Path(script[0]).relative_to(PACKAGE.parent).with_suffix("").parts
        script = ["-m", ".".join(parts).removesuffix(".__main__")]
    return " ".join(["python", *script, *sys.argv[1:]])


def _git_commit() -> str:
    """Returns the commit, with -dirty if Python files differ from it (records are rewritten)."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("diff", "HEAD", "--name-only", "--", ":/*.py")
    except FileNotFoundError:
        return ""
    return f"{commit}-dirty" if changed else commit


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
