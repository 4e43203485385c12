"""What is written in a format is read from it, whatever the episodes (hypothesis)."""

import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rlp import data
from rlp.data.episodes import Episode, EpisodeSet, drop_last_successors, fingerprint
from rlp.data.formats import d4rl, exorl, minari, packed
from rlp.errors import InputError

REAL = st.floats(-1e6, 1e6, width=32)
ACTION = st.floats(-1, 1, width=32)


@st.composite
def episode_sets(draw: st.DrawFn) -> EpisodeSet:
    observation_dim, action_dim = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    episodes, count = [], 0
    for _ in range(draw(st.integers(1, 3))):
        length = draw(st.integers(1, 4))
        observation = draw(arrays(np.float32, (length + 1, observation_dim), elements=REAL))
        observation[:, 0] = count + np.arange(length + 1)  # no two are the same
        action = draw(arrays(np.float32, (length, action_dim), elements=ACTION))
        action[0, 0] = 0.25  # they do not look like choices
        count += length + 1
        episodes.append(
            Episode(
                observation,
                action,
                draw(arrays(np.float32, length, elements=REAL)),
                draw(st.booleans()),
            )
        )
    return EpisodeSet("drawn", "", episodes)


def write_columns(path: Path, made: EpisodeSet) -> None:
    """Writes rlp's minimal layout, as a user would."""
    ends = [np.arange(n) == n - 1 for n in made.lengths]
    ended = np.concatenate([end & e.terminated for end, e in zip(ends, made.episodes, strict=True)])
    columns = {
        "observation": np.concatenate([e.observation[: len(e.action)] for e in made.episodes]),
        "action": np.concatenate([e.action for e in made.episodes]),
        "reward": np.concatenate([e.reward for e in made.episodes]),
        "terminated": ended,
        "truncated": np.concatenate(ends) & ~ended,
        "next_observation": np.concatenate([e.observation[1:] for e in made.episodes]),
    }
    if path.suffix == ".npz":
        np.savez(path, allow_pickle=False, **columns)
    else:
        with h5py.File(path, "w") as file:
            for name, column in columns.items():
                file[name] = column


WRITERS = {
    "a.npz": packed.write,
    "a.hdf5": d4rl.write,
    "exorl": exorl.write,
    "minari": minari.write,
    "columns.npz": write_columns,
    "columns.h5": write_columns,
}


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=20, deadline=None)
@given(made=episode_sets())
def test_what_is_written_is_read(name: str, made: EpisodeSet):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        if not path.suffix:
            path.mkdir()
        WRITERS[name](path, made)
        assert fingerprint(data.load(str(path))) == fingerprint(made)


@pytest.mark.parametrize("name", ["exorl", "minari"])
def test_what_a_format_cannot_hold_is_not_written(tmp_path: Path, name: str, episodes: EpisodeSet):
    with pytest.raises(InputError, match="last successor of 4 episodes is not known"):
        WRITERS[name](tmp_path / name, drop_last_successors(episodes))
    assert not list(tmp_path.iterdir())


def test_d4rl_holds_episodes_without_last_successors(tmp_path: Path, episodes: EpisodeSet):
    short = drop_last_successors(episodes)
    d4rl.write(tmp_path / "a.hdf5", short)
    assert fingerprint(data.load(str(tmp_path / "a.hdf5"))) == fingerprint(short)
    mixed = EpisodeSet("mixed", "", [short.episodes[0], episodes.episodes[1]])
    with pytest.raises(InputError, match="last successor of 1 episodes is not known"):
        d4rl.write(tmp_path / "b.hdf5", mixed)
