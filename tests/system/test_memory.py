"""How much memory there is."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from rlp.errors import InputError
from rlp.system import memory


def test_a_job_is_allowed_what_its_narrowest_group_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    own, groups = tmp_path / "own", tmp_path / "groups"
    monkeypatch.setattr(memory, "OWN_GROUP", own)
    monkeypatch.setattr(memory, "CONTROL_GROUPS", groups)
    physical = memory.of_machine()
    step = groups / "jobs" / "job_1" / "step_0"
    step.mkdir(parents=True)
    own.write_text("3:memory:/v1\n0::/jobs/job_1/step_0\n")
    (step / "memory.max").write_text("max\n")
    assert memory.of_machine() == physical
    (step.parent / "memory.max").write_text("1000000\n")
    (groups / "memory.max").write_text("2000000\n")
    assert memory.of_machine() == 1_000_000
    own.write_text("0::/\n")  # in a container, whose group looks like the first
    assert memory.of_machine() == 2_000_000


def test_what_needs_more_than_there_is_is_refused():
    memory.check("a network", 1_000, there=1_000, hint="smaller")
    with pytest.raises(
        InputError, match=r"a network: 3,000\.0 GB, but this machine has 0\.5 GB; sm"
    ):
        memory.check("a network", 3 * 10**12, there=5 * 10**8, hint="smaller")


def test_the_largest_array_is_found_in_loops_and_takes_no_memory():
    def program(x: jax.Array) -> jax.Array:
        def body(total: jax.Array, _: None) -> tuple[jax.Array, None]:
            return total + jnp.sum(jnp.outer(x, jnp.ones(10**12)).astype(jnp.int8)), None

        return jax.lax.scan(body, jnp.float32(0), length=2)[0]

    largest = memory.largest_array(jax.make_jaxpr(program)(jnp.ones(3)).jaxpr)
    assert largest.shape == (3, 10**12)
    assert memory.num_bytes(largest) == 12 * 10**12


def test_a_limit_of_the_process_counts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("resource.getrlimit", lambda _: (10**6, -1))
    assert memory.of_machine() == 10**6


def test_memory_that_is_free_and_was_used():
    assert 0 < memory.free() < memory.of_machine()
    assert 1e7 < memory.peak() < memory.of_machine()
