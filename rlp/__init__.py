"""rlp: offline reinforcement learning of whole populations, as one compiled program."""

from rlp.api import (
    compare,
    export_policy,
    finetune,
    learn,
    load_data,
    load_policy,
    resume,
    train,
)
from rlp.data import from_arrays, from_episodes
from rlp.data.episodes import Episode, EpisodeSet
from rlp.data.options import ReadOptions
from rlp.errors import DataWarning, InputError, RunWarning
from rlp.version import __version__

__all__ = [
    "DataWarning",
    "Episode",
    "EpisodeSet",
    "InputError",
    "ReadOptions",
    "RunWarning",
    "__version__",
    "compare",
    "export_policy",
    "finetune",
    "from_arrays",
    "from_episodes",
    "learn",
    "load_data",
    "load_policy",
    "resume",
    "train",
]
