"""Devices that programs are compiled for without one: their figures, and what XLA needs for it.

The figures are in targets.toml. The compilers are packages that need no device: where they are not
installed beside JAX, the folder RLP_COMPILERS has them.
"""

import os
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
from jax.experimental import topologies
from packaging.requirements import Requirement

from rlp.errors import InputError, nearest
from rlp.types import Precision

FOLDER = "RLP_COMPILERS"  # the variable that names a folder of `pip install --target`
CUDA = (
    "jax-cuda12-plugin", "jax-cuda12-pjrt", "nvidia-cuda-nvcc-cu12", "nvidia-cuda-runtime-cu12",
    "nvidia-cuda-cupti-cu12", "nvidia-nvjitlink-cu12", "nvidia-cuda-nvrtc-cu12",
)  # fmt: skip
OF_JAX = "jax-"  # what these begin with has JAX's own version
TPU = "libtpu"
USABLE = {"gpu": 0.75, "tpu": 1.0}  # of the memory: what JAX takes unless told otherwise
GPU_FLAGS = "--xla_gpu_autotune_level=0"  # there is none to try gemms on
WITHOUT_DEVICE = {
    "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1",  # no driver, no cuDNN: nothing is run
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",  # any: else libtpu says that it does not know
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # none of the processes uses a TPU
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
}
GPU_CONFIG = """
gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  cuda_compute_capability {{ {capability} }}
  {others}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
runtime_version {{ major: 12 minor: 8 patch: 0 }}
device_description_str: "{name}"
"""


@dataclass(frozen=True)
class Target:
    """Devices to compile for."""

    name: str
    memory_gb: float  # of one, as all figures
    bandwidth_gb: float
    peak_tflops: dict[Precision, float]
    launch_us: float
    topology: str = ""  # how many TPUs there are, side by side
    compiler: dict[str, Any] | None = None  # what XLA asks about a GPU

    @property
    def platform(self) -> str:
        """What JAX calls the kind."""
        return "gpu" if self.compiler else "tpu"

    @property
    def usable_bytes(self) -> float:
        """Memory of one that a program can have."""
        return 1e9 * self.memory_gb * USABLE[self.platform]


def find(text: str) -> Target:
    """Returns what `h200` or `v5e:2x2` stands for.

    Raises:
        InputError: if it is not known.
    """
    known = tomllib.loads((resources.files("rlp.bench") / "targets.toml").read_text("utf-8"))
    kind, _, topology = text.partition(":")
    if kind not in known:
        names = [f"{name}:{about['topology']}" if "topology" in about else name
                 for name, about in known.items()]  # fmt: skip
        raise InputError(
            f"--compile_for={text}: no {kind}{nearest(kind, known)}; it is {', '.join(names)}"
        )
    target = Target(**{**known[kind], **({"topology": topology} if topology else {})})
    if topology and target.compiler:
        raise InputError(f"--compile_for={text}: it is one {target.name}, --compile_for={kind}")
    return target


def check(text: str, precisions: Sequence[Precision]) -> None:
    """Checks that programs of these precisions can be compiled for devices.

    Raises:
        InputError: if they are not known, lack a precision, or a package is missing.
    """
    target = find(text)
    for each in precisions:
        if each not in target.peak_tflops:
            has = ", ".join(target.peak_tflops)
            raise InputError(f"--precisions={each}: {target.name} has {has}")
    if folder := os.environ.get(FOLDER):
        if not Path(folder).is_dir():
            raise InputError(f"{FOLDER}={folder}: there is no such folder")
        sys.path.append(folder)  # processes that are started have it too
    needed = _needed(target.platform)
    if wrong := [problem for each in needed if (problem := _problem(each))]:
        names = " ".join(f'"{each}"' if "*" in str(each) else str(each) for each in needed)
        raise InputError(
            f"--compile_for={text}: {', '.join(wrong)}; pip install --no-deps {names} "
            f"(or with --target=FOLDER, and {FOLDER}=FOLDER)"
        )


def _needed(platform: str) -> list[Requirement]:
    """Returns the packages that compile for a platform, of versions that fit JAX's."""
    if platform == "gpu":
        return [
            Requirement(f"{name}=={jax.__version__}" if name.startswith(OF_JAX) else name)
            for name in CUDA
        ]
    of_jax = map(Requirement, metadata.requires("jax") or ())
    return [Requirement(f"{each.name}{each.specifier}") for each in of_jax if each.name == TPU]


def _problem(needed: Requirement) -> str:
    """Returns what is wrong with an installed package, "" if nothing is."""
    try:
        version = metadata.version(needed.name)
    except metadata.PackageNotFoundError:
        return f"{needed.name} is not installed"
    if needed.specifier.contains(version):
        return ""
    return f"{needed.name} is {version}, but JAX {jax.__version__} needs {needed.specifier}"


def devices(text: str, dump: Path) -> list[Any]:
    """Returns devices to compile for, in a process that has not used any yet.

    Args:
        text: which, as `h200`.
        dump: folder that XLA writes what it makes of programs for GPUs to.

    Raises:
        InputError: if libtpu does not know a topology.
    """
    target = find(text)
    jax.config.update("jax_platforms", "cpu")  # whatever there is, nothing is run on it
    os.environ.update(WITHOUT_DEVICE)
    if target.compiler is None:
        try:
            name = f"{text.partition(':')[0]}:{target.topology}"
            return topologies.get_topology_desc(name, "tpu").devices
        except jax.errors.JaxRuntimeError as error:
            raise InputError(f"--compile_for={text}: {error}") from error
    compiler = find_spec("nvidia.cuda_nvcc")  # ptxas, and functions that kernels call
    assert compiler
    assert compiler.submodule_search_locations
    os.environ["XLA_FLAGS"] = (
        f"{os.environ.get('XLA_FLAGS', '')} {GPU_FLAGS} --xla_dump_to={dump} "
        f"--xla_gpu_cuda_data_dir={compiler.submodule_search_locations[0]}"
    )
    others = {name: value for name, value in target.compiler.items() if name != "capability"}
    config = GPU_CONFIG.format(
        name=target.name,
        capability=target.compiler["capability"],
        others=" ".join(f"{name}: {value}" for name, value in others.items()),
    )
    there = topologies.get_topology_desc(text, "cuda", target_config=config, topology="1x1x1")
    return there.devices
