"""A run that is killed and goes on is the run that was left alone."""

import os
import subprocess
import sys
import time
from pathlib import Path

import chex
import pytest

from rlp.data.episodes import EpisodeSet
from tests.conftest import write_exorl
from tests.runs.test_metrics import events
from tests.whole_runs import lines, states

FLAGS = "--eval_every=0 --num_updates=600 --log_every=10 --checkpoint_every=10 --batch_size=8"


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_been(tmp_path: Path, episodes: EpisodeSet):
    """With the devices that a process has by itself: resuming must find the same ones."""
    environment = {k: v for k, v in os.environ.items() if k != "JAX_NUM_CPU_DEVICES"}
    data = write_exorl(tmp_path / "data", episodes)
    runs = tmp_path / "runs"

    def train(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "rlp.train", "bc", *words]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    begin = (f"--dataset={data}", f"--runs={runs}", "--hidden_dims=8", *FLAGS.split())
    with train(*begin, "--name=whole") as whole:
        first, _ = whole.communicate()
    killed = runs / "killed"
    for words in ((*begin, "--name=killed"), (f"--resume={killed}",)):
        before = set(killed.glob("checkpoints/*"))
        with train(*words) as process:
            while set(killed.glob("checkpoints/*")) <= before:
                assert process.poll() is None
                time.sleep(0.001)
            process.kill()
    with train(f"--resume={killed}") as process:
        out, _ = process.communicate()
    assert process.returncode == 0
    assert first.splitlines()[0] == out.splitlines()[0]  # the devices
    whole_lines, killed_lines = (
        [{**line, "updates_per_second": 0} for line in lines(runs / name)]
        for name in ("whole", "killed")
    )
    assert whole_lines == killed_lines
    chex.assert_trees_all_equal(states(str(runs / "whole")), states(str(killed)))
    found, expected = (events(runs / name / "events" / "seed=0") for name in ("killed", "whole"))
    assert found["actor_loss"] == expected["actor_loss"]
    assert [step for step, _ in found["updates_per_second"]] == list(range(10, 601, 10))
