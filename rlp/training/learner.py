"""Members that learn online: a replay on the device grows while environments are stepped.

Everything but the simulator is compiled. One call computes the actions for all environments of all
members. A second call stores the last transitions and makes the updates that they allow. It runs
while the simulator computes the next step, so policies act with parameters one round old.

Each environment starts a new episode as soon as one ends. A step is a step of one environment; a
round is a step of every environment of a member. Checkpoints are saved between rounds. Simulators
are restored by repeating the actions of their current episodes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlp.cli.terminal import Terminal
from rlp.data.replay import Replay, empty_replay
from rlp.envs import VectorEnv
from rlp.errors import InputError
from rlp.evaluation import policy
from rlp.evaluation.policy import Policy
from rlp.evaluation.rollout import Taken, by_member
from rlp.runs import Run, checkpoint
from rlp.runs.checkpoint import Saved
from rlp.training import population
from rlp.training.guide import NO_GUIDE, Guidance, Guide
from rlp.training.online_updates import end, learn
from rlp.training.plan import Plan, Start, Watch
from rlp.types import (
    NEVER,
    NOT_FINITE,
    Memory,
    Spec,
    Transition,
)

ACTING, EXPLORING = 0x616374, 0x657870  # folded into keys for streams other than the updates'


class Progress(NamedTuple):
    """What is saved in addition to the states."""

    replays: Replay  # [M]
    last: Transition  # [M, num_envs], of the last round, not normalised and not learned from yet
    has_ended: np.ndarray  # [M * num_envs] bool: the last round ended the episode
    episode: np.ndarray  # [M * num_envs] int32, number of the current episode
    collected: np.ndarray  # [M * num_envs], return of the previous episode, or NaN
    memory: Memory | None = None  # [M, num_envs]; None if policies have no memory
    guide: Any = None  # if there is one: where it acted [M, num_envs], and its memory


class Learner:
    """Members that act and learn, round after round."""

    def __init__(
        self,
        run: Run,
        plan: Plan,
        env: VectorEnv,
        start: Start,
        watch: Watch,
        terminal: Terminal,
        guidance: Guidance = NO_GUIDE,
    ) -> None:
        """Starts from the run's last checkpoint, or from the beginning if there is none."""
        self.run, self.plan, self.env, self.watch = run, plan, env, watch
        self._spec, self._origin = run.spec, run.origin  # the run parses them on each access
        self._acting_part = jax.jit(jax.vmap(run.algo.actor))
        self.layout = plan.layout(env.max_episode_steps)
        self.members, self.normalizer, self.offline = start.members, start.normalizer, start.offline
        self._offline_share, self._discount = start.offline_share, start.discount
        self.diverged = np.full(len(run.seeds), NEVER, np.int32)
        self.round = 0  # number of rounds taken
        self.found: list[Any] = []  # metrics and alarms since the last call of `metrics`
        self._acting, self._exploring = (
            fold_in(self.members.keys, stream) for stream in (ACTING, EXPLORING)
        )
        self._episode = np.zeros(env.num_envs, np.int32)
        self._return = np.zeros(env.num_envs)
        self._collected = np.full(env.num_envs, np.nan)  # return of the last whole episode
        self._last: Transition | None = None
        self._has_ended = np.zeros(env.num_envs, bool)
        self._reward = np.zeros(env.num_envs)
        only_guides = guidance.guide_only
        self.replays = empty_replay(self.layout, run.spec, len(run.seeds), chooses=only_guides)
        self._guide = Guide(guidance, plan, env, run, self.members.keys) if guidance.guide else None
        self._targets = jnp.full(plan.num_envs, max(run.target_returns), jnp.float32)
        self._memory = policy.start(run.algo, run.spec, self.actors(), self._targets)
        if not self._restore(terminal):
            self._observation = env.reset(self._seeds(range(env.num_envs)))
            watch.begin(env, range(env.num_envs))
        self.heed_evaluations()

    @property
    def step(self) -> int:
        """Environment steps of each member so far."""
        return self.round * self.plan.num_envs

    def actors(self) -> Policy:
        """Returns the current policies."""
        configs = self.members.configs
        params = self._acting_part(configs, self.members.states)
        return Policy(configs, params, self.normalizer, self._origin)

    def heed_evaluations(self) -> None:
        """Reads the members' evaluations, on which a guide's rate may depend."""
        if self._guide:
            self._guide.evaluations = self.run.evaluations(self.step)

    def take_rounds(self, most: int) -> None:
        """Takes one round; a learner that can take several in one call takes up to `most`."""
        del most
        self.take_round()

    def take_round(self) -> None:
        """Takes a step in every environment, and learns from the previous one meanwhile."""
        action = self._actions()
        self._learn()
        if self._guide:
            action = self._guide.act(action, self._observation, self._reward, self.round)
        outcome = self.env.step(action)
        taken = Taken(self._observation, action, outcome, np.ones(self.env.num_envs, bool))
        self.watch.take(self.env, taken, self.round)
        values = (
            self._observation - self._origin, action, outcome.reward, ~outcome.terminated,
            outcome.observation - self._origin,
        )  # fmt: skip
        self._last = Transition(
            *(jnp.asarray(by_member(each, len(self.run.seeds))) for each in values)
        )
        self._has_ended = outcome.terminated | outcome.truncated
        self._observation, self._reward = outcome.observation, outcome.reward
        self._return = self._return + outcome.reward
        self.round += 1
        if self._has_ended.any():
            self._begin(np.flatnonzero(self._has_ended).tolist())

    def metrics(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Returns the metrics [M] and alarms [M] since the last call."""
        metrics, alarms = population.as_one(jax.device_get(self.found)) if self.found else ({}, {})
        self.found = []
        if alarms:
            self.diverged = np.minimum(self.diverged, alarms[NOT_FINITE])
            alarms = {**alarms, NOT_FINITE: self.diverged}
        collected = self._collected.reshape(len(self.run.seeds), -1)
        if not np.isnan(collected).any():
            metrics["collected_return"] = collected.mean(axis=1)
        if self._guide:
            metrics["guide_rate"] = self._guide.rates(self.round)
        return metrics, alarms

    def save(self) -> None:
        """Writes a checkpoint, which is valid only with both of its halves."""
        assert self._last is not None
        saved = Saved(self.members.states, self.normalizer, self.diverged)
        checkpoint.save(self.run.checkpoints, self.step, saved)
        remembers = jax.tree.leaves(self._memory)
        progress = Progress(
            self.replays, self._last, self._has_ended, self._episode, self._collected,
            self._memory if remembers else None, self._guide and self._guide.saved,
        )  # fmt: skip
        checkpoint.save(self.run.directory / "replays", self.step, progress)

    def _actions(self) -> np.ndarray:
        """Returns the actions of this round, [M * num_envs, A] float32."""
        run, plan = self.run, self.plan
        if self.round < plan.num_random_rounds:
            return self._random_actions(self.round)
        action, self._memory = policy.act(
            run.algo,
            self.actors(),
            self._memory,
            by_member(self._observation - self._origin, len(run.seeds)),
            by_member(self._reward, len(run.seeds)),
            self._acting,
            self.round,
            1.0,
        )
        if not run.algo.policy.samples:
            discrete = self._spec.action.kind == "discrete"
            action = policy.explore(action, self._exploring, self.round, plan.exploration, discrete)
        return np.nan_to_num(np.asarray(action)).reshape(self.env.num_envs, -1)  # NaN: diverged

    def _random_actions(self, number: int) -> np.ndarray:
        """Returns random actions for a round, [M * num_envs, A] float32."""
        rngs = [np.random.default_rng([seed, number]) for seed in self.run.seeds]
        return np.concatenate([_random(rng, self._spec, self.plan.num_envs) for rng in rngs])

    @property
    def _chosen(self) -> np.ndarray | bool:
        """Where the last round is to be learned from, [M, num_envs] bool; True: everywhere."""
        is_random = self.round <= self.plan.num_random_rounds
        return self._guide.acted if self._guide and not is_random else True

    def _learn(self) -> None:
        """Stores the last round and makes its updates, on the device."""
        if self._last is None:
            return
        run, plan, number = self.run, self.plan, self.round - 1 - self.plan.num_idle_rounds
        num_updates = round(plan.updates_per_round) if number >= 0 else 0
        first_step = max(number, 0) * num_updates
        states, self.replays, *found = learn(
            run.algo,
            self._spec,
            self.layout,
            num_updates,
            self.members.configs,
            self.members.keys,
            self.members.states,
            self.replays,
            self.offline,
            self.normalizer,
            self._last,
            self._chosen,
            jnp.int32(first_step),
            self._offline_share,
        )
        self.members = self.members._replace(states=states)
        if num_updates:
            self.found.append(found)
        if self._has_ended.any():
            ended = self._has_ended.reshape(len(run.seeds), -1)
            self.replays = end(self.replays, self.layout, jnp.asarray(ended), self._discount)

    def _begin(self, which: list[int]) -> None:
        """Starts new episodes in some environments."""
        self._collected = np.where(self._has_ended, self._return, self._collected)
        self._return = np.where(self._has_ended, 0, self._return)
        self._episode = self._episode + self._has_ended
        self._observation = self.env.reset(self._seeds(which), which)
        self._reward = np.where(self._has_ended, 0, self._reward)
        self.watch.begin(self.env, which)
        begins = jnp.asarray(self._has_ended.reshape(len(self.run.seeds), -1))
        if self._guide:
            self._guide.restart(begins)
        if jax.tree.leaves(self._memory):
            self._memory = policy.restart(
                self.run.algo, self._spec, self.actors(), self._targets, self._memory, begins
            )

    def _seeds(self, which: Sequence[int]) -> list[int]:
        """Returns seeds of the initial states of environments' current episodes."""
        num_envs = self.plan.num_envs
        names = [
            [self.run.seeds[env // num_envs], env % num_envs, int(self._episode[env])]
            for env in which
        ]
        return [int(np.random.SeedSequence(name).generate_state(1)[0]) for name in names]

    def _restore(self, terminal: Terminal) -> bool:
        """Resumes from the last checkpoint with both halves; returns whether there is one."""
        run = self.run
        halves = (run.directory / "replays", run.checkpoints)
        step = checkpoint.latest_step(*halves, warn=terminal.warn)
        if step is None:
            return False
        for half in halves:
            checkpoint.forget_after(half, step)  # later steps will be repeated
        saved = checkpoint.restore(
            run.checkpoints, step, Saved(self.members.states, self.normalizer, self.diverged)
        )
        like = Progress(
            self.replays, _no_transitions(len(run.seeds), self.plan.num_envs, self._spec),
            self._has_ended, self._episode, self._collected,
            self._memory if jax.tree.leaves(self._memory) else None,
            self._guide and self._guide.saved,
        )  # fmt: skip
        found = checkpoint.restore(run.directory / "replays", step, like)
        self.members = self.members._replace(states=saved.states)
        self.diverged, self.round = np.asarray(saved.diverged), step // self.plan.num_envs
        self.replays, self._last = found.replays, found.last
        self._has_ended, self._episode, self._collected = map(np.asarray, found[2:5])
        self._memory = self._memory if found.memory is None else found.memory
        if self._guide:
            self._guide.restore(found.guide)
        self.watch.resume(step, step if run.is_evaluated(step) else step - 1)
        self._repeat_episodes()
        return True

    def _repeat_episodes(self) -> None:
        """Restores the environments by repeating the actions of their current episodes.

        Raises:
            InputError: if this leads to other observations.
        """
        assert self._last is not None
        actions = self._actions_of_episodes()
        lengths = np.array([len(each) for each in actions])
        longest = lengths.max()
        self._observation = self.env.reset(self._seeds(range(self.env.num_envs)))
        for t in range(longest + 1):  # all end together; the longest start first
            which = np.flatnonzero(lengths == longest - t).tolist()
            self._observation = self.env.reset(self._seeds(which), which)
            self.watch.begin(self.env, which)
            if t == longest:
                break
            running = lengths >= longest - t
            action = np.zeros((len(lengths), self._spec.action_dim), np.float32)
            for env in np.flatnonzero(running):
                action[env] = actions[env][t - longest]
            outcome = self.env.step(action)
            taken = Taken(self._observation, action, outcome, running)
            self.watch.take(self.env, taken, self.round - longest + t)
            self._observation = outcome.observation
            self._reward = np.where(running, outcome.reward, 0)
            self._return = self._return + self._reward
        self._reward = np.where(self._has_ended, 0, self._reward)
        expected = np.asarray(self._last.next_observation).reshape(self.env.num_envs, -1)
        found = (self._observation - self._origin).astype(np.float32)
        if (found != expected)[~self._has_ended].any():
            raise InputError(
                f"{self.run.record['env']}: its episodes do not repeat with the same actions, so "
                f"{self.run.directory} cannot be resumed"
            )

    def _actions_of_episodes(self) -> list[np.ndarray]:
        """Returns the actions [T, A] so far in each environment's current episode."""
        assert self._last is not None
        replays = self.replays
        action, row, timestep, last = jax.device_get(
            (replays.data.action, replays.row, replays.timestep, self._last.action)
        )
        found = []
        for number, has_ended in enumerate(self._has_ended):
            member, env = divmod(number, self.plan.num_envs)
            end = env * self.layout.rows_per_env + row[member, env]
            stored = action[member, end - timestep[member, env] : end]
            episode = np.concatenate([stored, last[member, env][None]])
            found.append(episode[:0] if has_ended else episode)
        return found


def _no_transitions(num_members: int, num_envs: int, spec: Spec) -> Transition:
    """Returns zeros with the shapes of transitions [M, num_envs]."""
    observation, action, number = (
        jnp.zeros((num_members, num_envs, *shape))
        for shape in ((spec.observation_dim,), (spec.action_dim,), ())
    )
    return Transition(observation, action, number, number, observation)


def _random(rng: np.random.Generator, spec: Spec, num_envs: int) -> np.ndarray:
    """Returns random actions [num_envs, A] float32."""
    if spec.action.kind == "discrete":
        return np.eye(spec.action_dim, dtype=np.float32)[
            rng.integers(spec.action_dim, size=num_envs)
        ]
    return rng.uniform(-1, 1, (num_envs, spec.action_dim)).astype(np.float32)


fold_in = jax.jit(jax.vmap(jax.random.fold_in, in_axes=(0, None)))
