"""rlp: offline reinforcement learning of whole populations, as one compiled program."""

__version__ = "0.1.0"

from rlp.api import load_data, load_policy, resume, train
from rlp.data import from_arrays, from_episodes
from rlp.data.episodes import Episode, EpisodeSet
from rlp.data.options import ReadOptions
from rlp.errors import DataWarning, InputError, RunWarning

__all__ = [
    "DataWarning",
    "Episode",
    "EpisodeSet",
    "InputError",
    "ReadOptions",
    "RunWarning",
    "from_arrays",
    "from_episodes",
    "load_data",
    "load_policy",
    "resume",
    "train",
]
