"""Trajectories in Parquet, as Hugging Face's decision_transformer_gym_replay: a row a trajectory.

`path` is a file or a folder with files in it, in `train` or in `data`. observations, actions,
rewards and dones are lists with a place a step. `dones` are terminations, not time limits; the
observation after the last step is not stored.
"""

from pathlib import Path

from rlp.data.arrow import cell, read_batches
from rlp.data.episodes import Episode, EpisodeSet, check, check_set
from rlp.data.flat import vector
from rlp.data.reading import announced

LOOKS_FOR = "trajectories in Parquet (Hugging Face)"
COLUMNS = ("observations", "actions", "rewards", "dones")
FOLDERS = (".", "train", "data")


def matches(path: Path) -> bool:
    """Returns whether `path` is, or has, Parquet files."""
    return bool(_files(path))


def read(path: Path) -> EpisodeSet:
    """Returns the trajectories in their order."""
    files, episodes = _files(path), []
    for file in announced(files, str(path), sum(file.stat().st_size for file in files)):
        for batch in read_batches(file, COLUMNS):
            for row in range(batch.num_rows):
                where = f"{file}, trajectory {len(episodes)}"
                observation, action, reward, done = (
                    cell(batch, name, row, where) for name in COLUMNS
                )
                ended = bool(done[-1:].any())
                episode = Episode(observation, action, vector(reward), ended)
                episodes.append(check(episode, where))
    return check_set(EpisodeSet(str(path), "", episodes))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    return next(filter(None, (sorted((path / f).glob("*.parquet")) for f in FOLDERS)), [])
