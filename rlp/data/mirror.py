"""Mirror images of episodes: a body that is the same on both sides could have lived them too."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rlp.data.episodes import Episode, EpisodeSet
from rlp.errors import InputError


class Mirror(NamedTuple):
    """How left and right are exchanged: which number comes to each place."""

    observation: Sequence[int]
    action: Sequence[int]


MIRRORS = {  # of dm_control's bodies. Its walker is planar: no number changes its sign
    "walker": Mirror(
        observation=(
            *(0, 1), *range(8, 14), *range(2, 8),  # orientations of torso, right leg, left leg
            *(14, *range(15, 18), *range(21, 24), *range(18, 21)),  # height; velocities likewise
        ),
        action=(3, 4, 5, 0, 1, 2),
    ),
}  # fmt: skip


def add_mirror_images(data: EpisodeSet) -> EpisodeSet:
    """Returns the episodes, and behind them the mirror image of each.

    Raises:
        InputError: if it is not known how a body in the data's environment is mirrored, or if
            observations or actions are not as wide as those of that body.
    """
    mirror = _mirror(data)
    _check_widths(mirror, data)
    return replace(data, episodes=[*data.episodes, *(_image(mirror, e) for e in data.episodes)])


def _mirror(data: EpisodeSet) -> Mirror:
    bodies = {task.split("-")[0] for task in data.env.split("+")}
    if len(bodies) > 1 or (body := bodies.pop()) not in MIRRORS:
        raise InputError(
            f"{data.name}: it is not known how {data.env or 'its environment'} is mirrored, "
            f"only for the tasks of {', '.join(MIRRORS)}"
        )
    return MIRRORS[body]


def _check_widths(mirror: Mirror, data: EpisodeSet) -> None:
    one_hot = data.num_tasks if data.num_tasks > 1 else 0
    first = data.episodes[0]
    observation_dim, action_dim = first.observation.shape[1] - one_hot, first.action.shape[1]
    known = len(mirror.observation), len(mirror.action)
    if (observation_dim, action_dim) != known:
        raise InputError(
            f"{data.name} has observations of {observation_dim} and actions of {action_dim} "
            f"numbers, {data.env} has {known[0]} and {known[1]}: they cannot be mirrored"
        )


def _image(mirror: Mirror, episode: Episode) -> Episode:
    own = len(mirror.observation)  # behind them the one-hot task, which stays
    observation = np.hstack(
        [episode.observation[:, mirror.observation], episode.observation[:, own:]]
    )
    return episode._replace(observation=observation, action=episode.action[:, mirror.action])
