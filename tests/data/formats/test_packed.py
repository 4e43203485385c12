from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlp import data
from rlp.data.episodes import EpisodeSet, fingerprint
from rlp.data.formats import packed
from rlp.errors import InputError


def test_packed_round_trip(tmp_path: Path, episodes: EpisodeSet):
    path = tmp_path / "set.npz"
    packed.write(path, replace(episodes, env="walker-walk", metadata={"licence": "CC0"}))
    read = data.load(str(path))
    assert (read.env, read.metadata) == ("walker-walk", {"licence": "CC0"})
    assert fingerprint(read) == fingerprint(episodes)


def test_packed_refuses_to_write_what_it_could_not_read(tmp_path: Path, episodes: EpisodeSet):
    short = [e._replace(observation=e.observation[:-1]) for e in episodes.episodes]
    with pytest.raises(InputError, match="the last successor of 4 episodes is not known"):
        packed.write(tmp_path / "set.npz", replace(episodes, episodes=short))
    assert not list(tmp_path.iterdir())


def test_packed_refuses_lengths_that_do_not_fit(tmp_path: Path, episodes: EpisodeSet):
    path = tmp_path / "set.npz"
    packed.write(path, episodes)
    with np.load(path) as arrays:
        content = dict(arrays)
    content["length"] = content["length"] + 1
    np.savez_compressed(path, **content)
    with pytest.raises(InputError, match=r"do not fit 4 episodes of 31 steps"):
        data.load(str(path))
