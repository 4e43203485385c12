"""A policy for a machine without JAX: trained, exported, and run by numpy alone.

python examples/take_away.py
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import rlp

run = rlp.train("bc", "walker-walk/medium", num_updates=500, eval_every=0)
with tempfile.TemporaryDirectory() as folder:
    policy = rlp.export_policy(run.directory, Path(folder, "policy"))
    print((policy / "README.md").read_text())
    use = "import numpy; from policy import load; print(load()(numpy.zeros(24)).round(2))"
    subprocess.run([sys.executable, "-c", use], cwd=policy, check=True)
