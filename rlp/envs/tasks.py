"""Several tasks as one vector environment, with a one-hot task appended to the observation."""

from collections.abc import Callable, Sequence

import numpy as np

from rlp.envs import Outcome, VectorEnv, Visible
from rlp.errors import InputError


class Tasks:
    """K environments with the same number of copies; copy i has task i % K."""

    def __init__(self, name: str, envs: Sequence[VectorEnv]) -> None:
        widths = {(env.observation_dim, env.action_dim) for env in envs}
        if len(widths) > 1:
            raise InputError(f"{name}: the tasks differ in observation and action widths, {widths}")
        self._envs = envs
        self.num_envs = sum(env.num_envs for env in envs)
        self.observation_dim = envs[0].observation_dim + len(envs)
        self.action_dim, self.action_space = envs[0].action_dim, envs[0].action_space
        self.max_episode_steps = max(env.max_episode_steps for env in envs)
        self._visible = [env for env in envs if isinstance(env, Visible)]
        self.steps_per_second = self._visible[0].steps_per_second if self._visible else 0.0

    def reset(
        self, seeds: Sequence[int] | None = None, which: Sequence[int] | None = None
    ) -> np.ndarray:
        """Starts new episodes, all or those of `which`, and returns the observations [N, O]."""
        numbers = np.arange(self.num_envs) if which is None else np.asarray(which, int)

        def begin(env: VectorEnv, task: int) -> np.ndarray:
            places = np.flatnonzero(numbers % self._count == task)
            of_task = None if seeds is None else [seeds[place] for place in places.tolist()]
            return env.reset(of_task, (numbers[places] // self._count).tolist())

        return self._with_task(self._each(begin))

    def physics(self) -> np.ndarray:
        """Returns the states of the simulators [N, P]."""
        return self._each(lambda env, _: env.physics())

    def picture(self, number: int) -> np.ndarray:
        """Returns a picture of environment `number`."""
        return self._visible[number % self._count].picture(number // self._count)

    def close(self) -> None:
        """Frees the environments' resources for rendering."""
        for env in self._visible:
            env.close()

    def step(self, action: np.ndarray) -> Outcome:
        """Applies actions [N, A] in [-1, 1]."""
        outcomes = [env.step(action[i :: self._count]) for i, env in enumerate(self._envs)]
        outcome = Outcome(*(_interleave(columns) for columns in zip(*outcomes, strict=True)))
        return outcome._replace(observation=self._with_task(outcome.observation))

    @property
    def _count(self) -> int:
        return len(self._envs)

    def _each(self, function: Callable[[VectorEnv, int], np.ndarray]) -> np.ndarray:
        return _interleave([function(env, i) for i, env in enumerate(self._envs)])

    def _with_task(self, observation: np.ndarray) -> np.ndarray:
        task = np.tile(np.eye(self._count), (len(observation) // self._count, 1))
        return np.concatenate([observation, task], axis=1)


def _interleave(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Returns row 0 of every part, row 1 of every part, ..."""
    stacked = np.stack(parts, axis=1)
    return stacked.reshape(-1, *stacked.shape[2:])
