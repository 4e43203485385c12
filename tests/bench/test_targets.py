import sys
import tomllib
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jax
import pytest

from rlp.bench import benchmark, targets
from tests.whole_runs import refused

KNOWN = tomllib.loads((resources.files("rlp.bench") / "targets.toml").read_text("utf-8"))


def versions(monkeypatch: pytest.MonkeyPatch, installed: dict[str, str]) -> None:
    """Lets packages be installed, and no others."""

    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.delenv(targets.FOLDER, raising=False)
    monkeypatch.setattr(targets.metadata, "version", version)


def test_figures_of_devices_are_whole_and_of_their_size():
    for name in KNOWN:
        target = targets.find(name)
        peaks = list(target.peak_tflops.values())
        assert "float32" in target.peak_tflops
        assert peaks == sorted(peaks)  # float32, tf32, bf16: each faster
        assert 10 < target.memory_gb < 300
        assert 500 < target.bandwidth_gb < 10_000
        assert (target.platform == "tpu") == bool(target.topology)
        if target.compiler:  # the two say nearly the same
            assert target.compiler["memory_bandwidth"] / 1e9 == pytest.approx(
                target.bandwidth_gb, rel=0.01
            )
            assert target.compiler["device_memory_size"] / 2**30 == pytest.approx(
                target.memory_gb, rel=0.05
            )


def test_a_topology_is_the_usual_or_the_given():
    assert targets.find("v5e").topology == "2x2"
    assert targets.find("v5e:4x4").topology == "4x4"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--compile_for=h20"], "no h20 (did you mean h200?); it is h200, h100, a100"),
        (["--compile_for=h200:4"], "it is one NVIDIA H200"),
        (["--compile_for=v100", "--precisions=tf32"], "Tesla V100-SXM2-16GB has float32"),
        (["--compile_for=h200", "--against=d3rlpy"], "--compile_for=h200 measures nothing"),
    ],
)
def test_what_cannot_be_compiled_for(words: list[str], message: str, capsys: Any):
    assert message in refused(capsys, lambda: benchmark.main(words))


@pytest.mark.parametrize("target", ["a100", "v6e:2x2"])
def test_missing_packages_are_named_with_the_command(
    target: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    versions(monkeypatch, {})
    error = refused(capsys, lambda: benchmark.main([f"--compile_for={target}"]))
    missing = "libtpu" if ":" in target else "nvidia-cuda-nvcc-cu12"
    assert f"{missing} is not installed" in error
    assert "pip install --no-deps " in error
    assert error.count("\n") == 1


def test_packages_of_another_version(monkeypatch: pytest.MonkeyPatch, capsys: Any):
    installed = dict.fromkeys(targets.CUDA, jax.__version__)
    versions(monkeypatch, {**installed, "jax-cuda12-plugin": "0.4.1"})
    error = refused(capsys, lambda: benchmark.main(["--compile_for=h100"]))
    assert f"jax-cuda12-plugin is 0.4.1, but JAX {jax.__version__} needs ==" in error
    assert "jax-cuda12-pjrt is" not in error


def test_packages_may_be_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(targets.FOLDER, f"{tmp_path}/none")
    error = refused(capsys, lambda: benchmark.main(["--compile_for=v5e"]))
    assert f"RLP_COMPILERS={tmp_path}/none: there is no such folder" in error
    for name in targets.CUDA:
        info = tmp_path / f"{name.replace('-', '_')}-{jax.__version__}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {name}\nVersion: {jax.__version__}\n")
    monkeypatch.setenv(targets.FOLDER, str(tmp_path))
    targets.check("h200", ["tf32"])
