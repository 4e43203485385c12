from dataclasses import replace
from pathlib import Path
from typing import Any

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


def test_packed_keeps_which_successors_are_not_known(tmp_path: Path, episodes: EpisodeSet):
    first, *others = episodes.episodes
    short = replace(
        episodes, episodes=[first._replace(observation=first.observation[:-1]), *others]
    )
    packed.write(tmp_path / "set.npz", short)
    read = data.load(str(tmp_path / "set.npz"))
    assert fingerprint(read) == fingerprint(short)
    assert "no_successor" not in read.metadata


@pytest.mark.parametrize("numbers", ["all", ["0"], [True]])
def test_packed_refuses_numbers_of_episodes_that_are_none(
    numbers: Any, tmp_path: Path, episodes: EpisodeSet
):
    path = tmp_path / "set.npz"
    packed.write(path, replace(episodes, metadata={"no_successor": numbers}))
    with pytest.raises(InputError, match=r"no_successor is .*, no list of numbers"):
        data.load(str(path))


def test_packed_refuses_lengths_that_do_not_fit(tmp_path: Path, episodes: EpisodeSet):
    path = tmp_path / "set.npz"
    packed.write(path, episodes)
    with np.load(path) as arrays:
        content = dict(arrays)
    content["length"] = content["length"] + 1
    np.savez_compressed(path, **content)
    with pytest.raises(InputError, match=r"do not fit 4 episodes of 31 steps"):
        data.load(str(path))
