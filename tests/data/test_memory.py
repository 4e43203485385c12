"""How much memory reading takes, seen from outside: the peak of a process of its own."""

import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

PEAK = """
import resource, sys
from rlp import data
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
arrays = data.load(sys.argv[1]).episodes
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(peak * 1024, sum(column.nbytes for episode in arrays for column in episode[:3]))
"""


def read(path: Path) -> tuple[int, int]:
    """Returns the bytes that reading a file took at most, and those of its episodes."""
    result = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True
    )
    assert "reading" in result.stderr
    peak, num_bytes = map(int, result.stdout.split())
    return peak, num_bytes


def columns(num_rows: int, dtype: type = np.float32) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    observation = rng.standard_normal((num_rows + 1, 17), np.float32).astype(dtype)
    return {
        "observations": observation[:-1],
        "next_observations": observation[1:],
        "actions": rng.uniform(-1, 1, (num_rows, 6)).astype(dtype),
        "rewards": np.ones(num_rows, dtype),
        "terminals": np.zeros(num_rows, bool),
        "timeouts": np.arange(num_rows) % 1000 == 999,
    }


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_file_that_is_read_by_slices(tmp_path: Path, dtype: type):
    path = tmp_path / "large.hdf5"
    with h5py.File(path, "w") as file:
        for name, column in columns(2_000_000, dtype).items():
            file[name] = column
    peak, num_bytes = read(path)
    assert peak < 1.5 * num_bytes


@pytest.mark.slow
def test_a_pickle_that_is_read_as_a_whole(tmp_path: Path):
    path, rows = tmp_path / "large.pkl", columns(1_000_000)
    trajectories = [
        {name: column[start : start + 1000] for name, column in rows.items()}
        for start in range(0, 1_000_000, 1000)
    ]
    path.write_bytes(pickle.dumps(trajectories))
    peak, _ = read(path)
    assert peak < 1.5 * path.stat().st_size


@pytest.mark.slow
def test_an_npz_file_that_is_read_as_a_whole(tmp_path: Path):
    path, rows = tmp_path / "large.npz", columns(2_000_000)
    np.savez(
        path,
        observation=rows["observations"],
        next_observation=rows["next_observations"],
        action=rows["actions"],
        reward=rows["rewards"],
        terminated=rows["terminals"],
        truncated=rows["timeouts"],
    )
    peak, _ = read(path)
    assert peak < 1.5 * path.stat().st_size
