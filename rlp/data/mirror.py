"""Mirror images of episodes, which a left-right symmetric body could have produced as well."""

from dataclasses import replace

import numpy as np

from rlp.data.episodes import Episode, EpisodeSet
from rlp.envs.bodies import BODIES, Mirror, body_of
from rlp.errors import InputError


def add_mirror_images(data: EpisodeSet) -> EpisodeSet:
    """Returns the episodes, followed by the mirror image of each.

    Raises:
        InputError: if the mirror image of the environment's body is not known, or observations or
            actions do not have the width of that body's.
    """
    mirror = _mirror(data)
    _check_widths(mirror, data)
    return replace(data, episodes=[*data.episodes, *(_image(mirror, e) for e in data.episodes)])


def _mirror(data: EpisodeSet) -> Mirror:
    bodies = [body_of(task) for task in data.env.split("+")]
    mirror = bodies[0].mirror
    if mirror is None or any(body is not bodies[0] for body in bodies):
        known = ", ".join(name for name, body in BODIES.items() if body.mirror)
        raise InputError(
            f"{data.name}: it is not known how {data.env or 'its environment'} is mirrored, "
            f"only for the tasks of {known}"
        )
    return mirror


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
    own = len(mirror.observation)  # the one-hot task follows, unchanged
    observation = np.hstack(
        [episode.observation[:, mirror.observation], episode.observation[:, own:]]
    )
    return episode._replace(observation=observation, action=episode.action[:, mirror.action])
