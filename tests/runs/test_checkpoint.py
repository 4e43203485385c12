import shutil
from collections.abc import Callable
from pathlib import Path

import chex
import jax.numpy as jnp
import orbax.checkpoint as ocp
import pytest

from rlp.data.dataset import Normalizer
from rlp.errors import InputError
from rlp.runs.checkpoint import Saved, forget_after, latest_step, restore, save

NORMALIZER = Normalizer(jnp.zeros(3), jnp.ones(3))


def saved(width: int = 4, **more: jnp.ndarray) -> Saved:
    states = {"actor": {"kernel": jnp.arange(width * 2.0).reshape(2, width)}, **more}
    return Saved(states, NORMALIZER)


def test_round_trip_and_only_two_are_kept(tmp_path: Path):
    assert latest_step(tmp_path / "none") is None
    for step in (10, 20, 30):
        save(tmp_path, step, saved(count=jnp.int32(step)))
    assert latest_step(tmp_path) == 30
    assert sorted(p.name for p in tmp_path.iterdir()) == ["20", "30"]
    chex.assert_trees_all_equal(
        restore(tmp_path, 20, saved(count=jnp.int32(0))), saved(count=jnp.int32(20))
    )


def test_a_half_written_checkpoint_does_not_count(tmp_path: Path):
    save(tmp_path, 10, saved())
    (tmp_path / "20.orbax-checkpoint-tmp").mkdir()
    assert latest_step(tmp_path) == 10


def test_another_architecture_is_named_array_by_array(tmp_path: Path):
    save(tmp_path, 10, saved(old=jnp.zeros(1)))
    with pytest.raises(InputError) as refusal:
        restore(tmp_path, 10, saved(width=5, new=jnp.zeros(1)))
    for part in (
        "10 is not a checkpoint of this run",
        "no states.new",
        "unknown states.old",
        "states.actor.kernel is (2, 4), not (2, 5)",
    ):
        assert part in str(refusal.value)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save(tmp_path, 10, saved())

    def full(*_: object, **__: object) -> None:
        (tmp_path / "20.orbax-checkpoint-tmp").mkdir()
        raise ValueError("RESOURCE_EXHAUSTED: Failed to write: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ocp.CheckpointManager, "save", full)
        with pytest.raises(InputError, match="no space left on the disk; free some and go on"):
            save(tmp_path, 20, saved())
    assert [path.name for path in tmp_path.iterdir()] == ["10"]
    chex.assert_trees_all_equal(restore(tmp_path, 10, saved()), saved())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: shutil.rmtree(path / "default"), "no _METADATA"),
        (lambda path: (path / "default" / "_METADATA").write_text("{}"), "no _METADATA"),
        (lambda path: (path / "default" / "manifest.ocdbt").unlink(), "no arrays"),
        (lambda path: shutil.rmtree(path / "default" / "d"), "NOT_FOUND"),
        (lambda path: (path / "default" / "manifest.ocdbt").write_bytes(b"x" * 113), "DATA_LOSS"),
    ],
)
def test_a_checkpoint_that_is_not_whole_is_passed_over(
    damage: Callable[[Path], object], said: str, tmp_path: Path
):
    for step in (10, 20):
        save(tmp_path, step, saved())
    damage(tmp_path / "20")
    lines: list[str] = []
    assert latest_step(tmp_path, warn=lines.append) == 10
    assert len(lines) == 1
    assert lines[0].startswith(f"{tmp_path}/20 ({said}")
    assert lines[0].endswith("is not a whole checkpoint, and passed over")
    with pytest.raises(InputError, match=rf"20 is damaged \({said}.*\); remove it"):
        restore(tmp_path, 20, saved())
    forget_after(tmp_path, 10)
    assert [path.name for path in tmp_path.iterdir()] == ["10"]
    damage(tmp_path / "10")
    with pytest.raises(InputError, match=rf"no checkpoint is whole: .*10 \({said}"):
        latest_step(tmp_path)


def test_two_halves_are_both_whole(tmp_path: Path):
    for step in (10, 20):
        for half in ("a", "b"):
            save(tmp_path / half, step, saved(), keep=None)
    save(tmp_path / "a", 30, saved(), keep=None)
    assert latest_step(tmp_path / "a", tmp_path / "b") == 20
    shutil.rmtree(tmp_path / "b" / "20" / "default")
    assert latest_step(tmp_path / "a", tmp_path / "b") == 10
