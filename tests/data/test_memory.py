"""How much memory reading takes, seen from outside: the peak of a process of its own."""

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
print(peak * 1024 / sum(column.nbytes for episode in arrays for column in episode[:3]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reading_takes_no_more_than_half_as_much_again(tmp_path: Path, dtype: type):
    num_rows, rng = 2_000_000, np.random.default_rng(0)
    path = tmp_path / "large.hdf5"
    with h5py.File(path, "w") as file:
        observation = rng.standard_normal((num_rows + 1, 17), np.float32).astype(dtype)
        file["observations"], file["next_observations"] = observation[:-1], observation[1:]
        file["actions"] = rng.uniform(-1, 1, (num_rows, 6)).astype(dtype)
        file["rewards"] = np.ones(num_rows, dtype)
        file["terminals"] = np.zeros(num_rows, bool)
        file["timeouts"] = np.arange(num_rows) % 1000 == 999
    read = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True
    )
    assert "reading" in read.stderr
    assert float(read.stdout) < 1.5
