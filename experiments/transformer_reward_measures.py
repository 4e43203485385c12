"""Measurements of `transformer_reward.py`: episodes, Q against returns, calibration."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.signal
import shaped_sac
from shaped_sac import History, Model

from rlp import envs
from rlp.data.episodes import Episode, EpisodeSet
from rlp.data.formats import packed
from rlp.envs import VectorEnv
from rlp.evaluation import rollout
from rlp.evaluation.policy import Policy
from rlp.evaluation.rollout import Taken, by_member
from rlp.runs import Run
from rlp.system import files
from rlp.training.online import Watch

VALUE_SEED = 5_000_000  # of the initial states for comparing Q with returns
WITHIN = {"50 %": 0.6745, "80 %": 1.2816, "95 %": 1.96}  # share of a normal -> standard deviations


class Values(Watch):
    """Compares Q with the returns that follow, at every evaluation: `values.json` of the run."""

    def __init__(self, run: Run, num_episodes: int) -> None:
        """Makes environments for some episodes of each member."""
        self._run, self._path = run, run.directory / "values.json"
        self._env = envs.make(run.record["env"], len(run.seeds) * num_episodes)
        self._seeds = [VALUE_SEED + i for i in range(num_episodes)] * len(run.seeds)

    def evaluate(self, step: int, actors: Policy) -> None:
        """Plays sampled actions, and writes how far Q is above the returns that followed."""
        num_members = len(self._run.seeds)
        keys = jax.random.split(jax.random.key(step), num_members)
        targets = np.zeros(self._env.num_envs // num_members)
        act = rollout.actor(shaped_sac, self._run.spec, actors, targets, keys, temperature=1.0)

        def finite(observation: np.ndarray, reward: np.ndarray) -> np.ndarray:
            """Returns the actions, zeros for members that diverged."""
            return np.nan_to_num(act(observation, reward))

        taken = list(rollout.steps(finite, self._env, self._seeds))
        columns = [
            [
                by_member(x, num_members)
                for x in (each.observation, each.action, each.outcome.reward)
            ]
            for each in taken
        ]
        observation, action, reward = (np.stack(x, axis=2) for x in zip(*columns, strict=True))
        q, shaped = map(np.asarray, _q_and_shaped(actors, observation, action, reward))
        discount = float(self._run.configs[0].discount)
        found = {
            "gap": q - discounted(reward, discount),
            "own_gap": q - discounted(shaped, discount),
        }
        half = len(taken) // 2  # after these states at least half of the rewards follow
        means = {
            name: dict(zip(self._run.labels, gap[..., :half].mean(axis=-1).tolist(), strict=True))
            for name, gap in found.items()
        }
        files.write_json(self._path, {**files.read_object(self._path), str(step): means})


class Recorder(Values):
    """Also keeps all episodes of all members in `episodes`, by environment and round."""

    def __init__(self, run: Run, num_episodes: int) -> None:
        """Starts without episodes."""
        super().__init__(run, num_episodes)
        self._taken: dict[int, list[Taken]] = defaultdict(list)

    def begin(self, env: VectorEnv, which: Sequence[int]) -> None:
        """Starts the records of new episodes."""
        del env
        for number in which:
            self._taken[number] = []

    def take(self, env: VectorEnv, taken: Taken, number: int) -> None:
        """Keeps a step of each environment, and writes ended episodes, again when resuming."""
        del env
        for place in np.flatnonzero(taken.running).tolist():
            steps, outcome = self._taken[place], taken.outcome
            steps.append(taken)
            if outcome.terminated[place] or outcome.truncated[place]:
                seen = [each.observation[place] for each in steps]
                episode = Episode(
                    np.array([*seen, outcome.observation[place]], np.float32),
                    np.array([each.action[place] for each in steps], np.float32),
                    np.array([each.outcome.reward[place] for each in steps], np.float32),
                    bool(outcome.terminated[place]),
                )
                folder = self._run.directory / "episodes"
                folder.mkdir(exist_ok=True)
                name = f"{place:03}_{number:06}.npz"
                packed.write(folder / name, EpisodeSet(name, self._run.record["env"], [episode]))


@jax.jit
def _q_and_shaped(
    actors: Policy, observation: jax.Array, action: jax.Array, reward: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns Q and the critics' rewards, [M, N, T] each, for whole episodes [M, N, T, ...]."""

    def one_member(member: Any) -> tuple[jax.Array, jax.Array]:
        config, params, observation, action, reward = member
        model = shaped_sac.model_of(params)

        def one_episode(*columns: jax.Array) -> tuple[jax.Array, jax.Array]:
            history = histories(config.context, *columns)
            shaped = shaped_sac.shaped_reward(config, model, history, columns[2])
            return shaped_sac.q_values(config, params, *columns[:2]), shaped

        return jax.vmap(one_episode)(observation, action, reward)

    return jax.lax.map(one_member, (actors.config, actors.params, observation, action, reward))


def histories(length: int, observation: jax.Array, action: jax.Array, reward: jax.Array) -> History:
    """Returns the histories [T, K] that end at each step of a whole episode [T, ...]."""
    timestep = jnp.arange(len(reward))
    back = jnp.arange(length - 1, -1, -1)
    rows = timestep[:, None] - back[None]
    columns = observation, action, timestep, reward, jnp.cumsum(reward[::-1])[::-1]
    return History(*(x[jnp.maximum(rows, 0)] for x in columns), mask=rows >= 0)


def discounted(reward: np.ndarray, discount: float) -> np.ndarray:
    """Returns the discounted sums of rewards [..., T] from each step to the end."""
    backwards = scipy.signal.lfilter([1.0], [1.0, -discount], reward[..., ::-1], axis=-1)
    return np.asarray(backwards)[..., ::-1]


def calibration(run: Run, model: Model, episodes: Sequence[Episode]) -> dict[str, Any]:
    """Returns how well a transformer predicts unseen episodes, with all steps pooled."""
    config = run.configs[0]

    @jax.jit
    def of_episode(observation: jax.Array, action: jax.Array, reward: jax.Array) -> Any:
        history = histories(config.context, observation, action, reward)
        found = shaped_sac.predict(config, model, history, slice(-1, None))
        target = jnp.stack([history.reward[:, -1], history.return_to_go[:, -1]], axis=-1)
        return found.mean[:, 0], found.std[:, 0], target

    columns = [of_episode(e.observation[:-1], e.action, e.reward) for e in episodes]
    mean, std, target = (np.concatenate(x) for x in zip(*columns, strict=True))
    z = (target - mean) / std
    return {
        name: {
            "within": {share: float((abs(z[:, i]) < s).mean()) for share, s in WITHIN.items()},
            "below_bound": float((z[:, i] < -config.margin).mean()),
            "nats": float((z[:, i] ** 2 / 2 + np.log(std[:, i] * np.sqrt(2 * np.pi))).mean()),
            "rmse": float(np.sqrt(np.mean((target - mean)[:, i] ** 2))),
            "explained": float(1 - np.var((target - mean)[:, i]) / np.var(target[:, i])),
        }
        for i, name in enumerate(("reward", "return"))
    }
