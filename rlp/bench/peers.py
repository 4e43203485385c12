"""d3rlpy at the same work, measured as `rlp.bench` measures rlp: `--against=d3rlpy`.

What its `fit` does in every step, without its logging: a batch from its buffer, then its update.
"""

import importlib.util
import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from rlp.data.episodes import EpisodeSet
from rlp.errors import InputError

# Its name for each algorithm, and what differs from 2 layers of 256 and batches of 256 there.
D3RLPY: dict[str, tuple[str, dict[str, Any]]] = {
    "bc": ("BCConfig", {"batch_size": 256}),
    "cqlsac": ("CQLConfig", {}),
    "iql": ("IQLConfig", {}),
    "td3bc": ("TD3PlusBCConfig", {}),
}


def check_installed(name: str) -> None:
    """Checks that a library is one that can be measured, and is there.

    Raises:
        InputError: if it is not.
    """
    if name != "d3rlpy":
        raise InputError(f"--against={name}: it can be d3rlpy")
    if not importlib.util.find_spec(name):
        raise InputError(f"--against={name}: pip install {name} first")


def d3rlpy_updates(algo_name: str, data: EpisodeSet) -> Callable[[int], None]:
    """Returns a function that makes so many updates of d3rlpy's algorithm on the data."""
    import d3rlpy  # pyright: ignore[reportMissingImports] - not among our dependencies
    import structlog  # pyright: ignore[reportMissingImports] - comes with it

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))

    name, setting = D3RLPY[algo_name]
    episodes = [
        d3rlpy.dataset.Episode(
            episode.observation[: len(episode.action)],
            episode.action,
            episode.reward[:, None].astype(np.float32),
            episode.terminated,
        )
        for episode in data.episodes
    ]
    buffer = d3rlpy.dataset.create_infinite_replay_buffer(episodes)
    learner = getattr(d3rlpy.algos, name)(**setting).create(device="cpu")
    learner.build_with_dataset(buffer)

    def update(num_updates: int) -> None:
        for _ in range(num_updates):
            learner.update(buffer.sample_transition_batch(learner.batch_size))

    return update
