"""Online learning: a replay on the device that grows while environments are stepped.

Everything but physics is compiled: actions for all environments of all members in one call, then
one call that stores the new transitions and makes the updates they pay for. The second runs while
the simulator works on the next step. Episodes of an environment have one length (dm_control's time
limit), so all end together, and whatever is saved is saved between episodes.
"""

import math
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlp import runs
from rlp.cli.terminal import COMPILING, Terminal, spread
from rlp.config import Positive, PositiveFloat
from rlp.data.dataset import Dataset, unit_normalizer
from rlp.data.formats import exorl
from rlp.data.replay import Layout, empty_replay, insert, with_reward_range
from rlp.envs import VectorEnv
from rlp.errors import InputError
from rlp.evaluation import policy
from rlp.evaluation.policy import Policy
from rlp.evaluation.rollout import (
    Recorded,
    Taken,
    by_member,
    evaluate,
    evaluation_seeds,
    most_steps,
    split,
)
from rlp.runs import Run, checkpoint
from rlp.runs.checkpoint import Saved
from rlp.runs.metrics import MetricsLog
from rlp.system.signals import stop_requests
from rlp.training import population
from rlp.training.population import Alarms, Population
from rlp.types import (
    NEVER,
    NOT_FINITE,
    UNKNOWN,
    Algo,
    Metrics,
    Sources,
    Spec,
    State,
    Transition,
    phase_at,
)

ACTING = 0x616374  # folded into a member's key: its actions draw from another stream than updates


@partial(
    jax.jit,
    static_argnames=("algo", "spec", "layout", "num_updates", "phase"),
    donate_argnames=("states", "replays"),
)
def learn(
    algo: Algo,
    spec: Spec,
    layout: Layout,
    num_updates: int,
    configs: Any,
    keys: jax.Array,
    states: State,
    replays: Dataset,
    row: jax.Array,
    new: Transition,
    first_step: jax.Array,
    phase: int,
) -> tuple[State, Dataset, Metrics, Alarms]:
    """Returns states and replays after storing `new` [M, num_envs, ...] and `num_updates` updates.

    The updates are of the algorithm's phase number `phase`. `states` and `replays` are donated.
    """
    replays = jax.vmap(lambda replay, new: insert(replay, layout, row, new))(replays, new)
    if num_updates == 0:
        return states, replays, {}, {}
    states, metrics, alarms = population.train(
        algo, spec, num_updates, configs, keys, states, Sources(replay=replays), first_step, phase
    )
    return states, replays, metrics, alarms


@dataclass(frozen=True)
class Plan:
    """The learning."""

    num_steps: Positive = 300_000  # environment steps of each member
    num_envs: Positive = 8  # environments of each member, stepped together
    updates_per_step: PositiveFloat = 0.5  # gradient updates an environment step
    num_random_episodes: int = 1  # of each environment: random actions, no updates
    eval_every: Positive = 10_000  # environment steps between evaluations
    num_episodes: Positive = 10  # episodes of each member in an evaluation
    checkpoint_every: Positive = 50_000  # environment steps between checkpoints

    def layout(self, episode_length: int) -> Layout:
        """Returns the layout of a replay that holds `num_steps` steps in whole episodes."""
        num_episodes = math.ceil(self.num_steps / (self.num_envs * episode_length))
        return Layout(self.num_envs, num_episodes, episode_length)


class Collection(NamedTuple):
    """What stays the same from episode to episode."""

    run: Run
    plan: Plan
    layout: Layout
    members: Population
    env: VectorEnv  # the environments of all members, member by member


class Learner(NamedTuple):
    """What changes: the states [M], what each member has seen, and which is over."""

    states: State
    replays: Dataset
    diverged: np.ndarray  # [M], the update that ended a member, or NEVER


def fit(run: Run, plan: Plan, env: VectorEnv, eval_env: VectorEnv, terminal: Terminal) -> int:
    """Learns to the end of the plan, from the last checkpoint where there is one.

    After every evaluation the actors are kept in `snapshots/`; the first member's episodes are kept
    in `replay/`, in ExORL's layout. Steps are those of one member's environments together.

    Returns:
        The number of the signal that stopped it, 0 at the end. Either way it can be resumed.

    Raises:
        SystemExit: if the first member is over.
    """
    layout = plan.layout(env.max_episode_steps)
    collection = Collection(run, plan, layout, new_members(run), env)
    learner, step = _restored(collection, terminal)
    if step:
        terminal.say(f"going on from step {step:,}")
    steps_a_round = layout.num_envs * layout.episode_length
    end, first = layout.num_episodes * steps_a_round, step // steps_a_round
    with (
        closing(MetricsLog(run, step, wandb=False)) as log,
        terminal.bar("collecting", end) as move,
        stop_requests() as received,
    ):

        def is_evaluation(before: int) -> bool:
            return step == end or _is_due(plan.eval_every, before, step)

        def evaluate_now() -> None:
            _evaluate(collection, learner, step, eval_env, log, terminal)

        if step and is_evaluation(step - steps_a_round) and not run.is_evaluated(step):
            evaluate_now()  # the process ended between the checkpoint and this
        while step < end and not received and learner.diverged[0] == NEVER:
            began = time.perf_counter()
            episode = step // steps_a_round
            if episode in (first, plan.num_random_episodes):  # random actions, then the policy's
                move(step, COMPILING)
            learner, recorded, metrics, alarms = _play(collection, learner, episode)
            speed = steps_a_round * len(run.seeds) / (time.perf_counter() - began)
            for number, each in enumerate(recorded[: layout.num_envs], episode * layout.num_envs):
                exorl.write_episode(run.directory / "replay", number, each.episode, each.physics)
            before, step = step, step + steps_a_round
            returns = np.array([each.episode.reward.sum() for each in recorded])
            returns = returns.reshape(len(run.seeds), -1).mean(axis=1)
            if alarms:
                terminal.alarms(run.labels, {**alarms, NOT_FINITE: learner.diverged})
            log.write(step, {**metrics, "collected_return": returns})
            in_all = " in all" if len(run.seeds) > 1 else ""
            note = f"{speed:,.0f} steps/s{in_all}  collected return {returns.mean():.0f}"
            terminal.log(f"step {step:>9,}  {note}")
            move(step, note)
            is_over = step == end or learner.diverged[0] != NEVER
            if is_over or received or _is_due(plan.checkpoint_every, before, step):
                log.sync()
                _save(collection, learner, step)
            if is_evaluation(before):
                evaluate_now()
    over = run.diverged(learner.diverged)
    if run.labels[0] in over:
        raise SystemExit(f"error: the member that gives the data is over, {runs.in_words(over)}")
    return received[0] if step < end else 0


def new_members(run: Run) -> Population:
    """Returns the members before their first update, when no reward has been seen."""
    return population.init(run.algo, run.configs, run.seeds, run.spec, UNKNOWN)


def _evaluate(
    collection: Collection,
    learner: Learner,
    step: int,
    env: VectorEnv,
    log: MetricsLog,
    terminal: Terminal,
) -> None:
    """Keeps the actors after `step` steps, and writes and says their returns."""
    run, actors = collection.run, _actors(collection, learner.states)
    checkpoint.save(run.directory / "snapshots", step, actors, keep=None)
    seeds = evaluation_seeds(collection.plan.num_episodes)
    with terminal.bar("evaluating", most_steps(env, len(run.seeds), len(seeds))) as show:
        acts = learner.diverged == NEVER
        found = evaluate(run.algo, run.spec, actors, env, seeds, show, acts=acts)
    log.write_returns(step, found)
    terminal.invalid(run.by_member(found.invalid))
    if acts.any():
        terminal.say(f"step {step:>9,}  return {spread(found.values[acts].mean(axis=1))}")


def _is_due(every: int, before: int, step: int) -> bool:
    return before // every < step // every


def _actors(collection: Collection, states: State) -> Policy:
    run = collection.run
    normalizer = unit_normalizer(run.spec.observation_dim)
    return policy.from_states(run.algo, collection.members.configs, states, normalizer)


def _save(collection: Collection, learner: Learner, step: int) -> None:
    run = collection.run
    normalizer = unit_normalizer(run.spec.observation_dim)
    saved = Saved(learner.states, normalizer, learner.diverged)
    checkpoint.save(run.checkpoints, step, saved)
    checkpoint.save(run.directory / "replays", step, learner.replays)


def _restored(collection: Collection, terminal: Terminal) -> tuple[Learner, int]:
    """Returns the learner of the last step of which both halves are whole, or a new one and 0."""
    run, layout = collection.run, collection.layout
    states = collection.members.states
    replays = empty_replay(layout, run.spec, len(run.seeds))
    never = np.full(len(run.seeds), NEVER, np.int32)
    halves = (run.directory / "replays", run.checkpoints)
    step = checkpoint.latest_step(*halves, warn=terminal.warn)
    if step is None:
        return Learner(states, replays, never), 0
    evaluated = step if run.is_evaluated(step) else step - 1
    for name, last in (("checkpoints", step), ("replays", step), ("snapshots", evaluated)):
        checkpoint.forget_after(run.directory / name, last)  # what comes after is made again
    like = Saved(states, unit_normalizer(run.spec.observation_dim), never)
    saved = checkpoint.restore(run.checkpoints, step, like)
    replays = with_reward_range(checkpoint.restore(run.directory / "replays", step, replays))
    return Learner(saved.states, replays, saved.diverged), step


def _play(
    collection: Collection, learner: Learner, episode: int
) -> tuple[Learner, list[Recorded], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Plays one episode in every environment and makes the updates that it pays for.

    Returns:
        The learner, the episodes member by member, the metrics [M] and the alarms [M].
    """
    run, plan, layout, members, env = collection
    explore = episode < plan.num_random_episodes
    num_updates = 0 if explore else round(plan.updates_per_step * layout.num_envs)
    first_update = (episode - plan.num_random_episodes) * layout.episode_length * num_updates
    keys = _fold_in(_fold_in(members.keys, ACTING), episode)
    explorers = [np.random.default_rng([seed, episode]) for seed in run.seeds]
    targets = jnp.zeros(layout.num_envs)
    memory = policy.start(run.algo, run.spec, _actors(collection, learner.states), targets)
    observation = env.reset(_seeds(run.seeds, layout.num_envs, episode))
    reward = np.zeros(env.num_envs)
    running = np.ones(env.num_envs, bool)
    taken, physics, infos, new, seen = [], [env.physics()], [], None, []

    def learn_from(learner: Learner, t: int, new: Transition) -> Learner:
        states, replays, diverged = learner
        first_step = first_update + t * num_updates
        phase, _ = phase_at(run.algo, run.configs[0], first_step)
        states, replays, *info = learn(
            run.algo,
            run.spec,
            layout,
            num_updates,
            members.configs,
            members.keys,
            states,
            replays,
            jnp.int32(layout.row(episode * layout.episode_length + t)),
            new,
            jnp.int32(first_step),
            phase,
        )
        infos.append(info)
        return Learner(states, replays, diverged)

    for t in range(layout.episode_length):
        if explore:
            size = (layout.num_envs, env.action_dim)
            action = np.concatenate([each.uniform(-1, 1, size) for each in explorers])
        else:
            actions, memory = policy.act(
                run.algo,
                _actors(collection, learner.states),
                memory,
                by_member(observation, len(run.seeds)),
                by_member(reward, len(run.seeds)),
                keys,
                t,
                1.0,
            )
            action = np.asarray(actions).reshape(env.num_envs, -1)
            action = np.nan_to_num(action)  # of members that are over
        if new is not None:
            learner = learn_from(learner, t - 1, new)  # runs while the simulator works on this step
        outcome = env.step(action)
        if (running & outcome.terminated & np.logical_not(outcome.invalid)).any():
            raise InputError(f"{run.record['env']}: only episodes of one length can be collected")
        taken.append(Taken(observation, action, outcome, running))
        physics.append(env.physics())
        now = (
            observation, action, outcome.reward, ~outcome.terminated, outcome.observation
        )  # fmt: skip
        # All episodes fill their rows: of an invalid simulation, the last transition again.
        seen = [
            np.where(_like(running, x), x, old) for x, old in zip(now, seen or now, strict=True)
        ]
        running = running & ~outcome.terminated
        new = Transition(*jax.device_put([by_member(each, len(run.seeds)) for each in seen]))
        observation, reward = outcome.observation, outcome.reward
    assert new is not None
    learner = learn_from(learner, layout.episode_length - 1, new)
    metrics, alarms = population.as_one(jax.device_get(infos))
    if alarms:
        diverged = np.minimum(learner.diverged, alarms[NOT_FINITE])
        learner = learner._replace(diverged=diverged)
    return learner, split(taken, physics), metrics, alarms


def _like(flags: np.ndarray, array: np.ndarray) -> np.ndarray:
    """Returns flags [N] with the axes of an array [N, ...]."""
    return flags.reshape(-1, *[1] * (array.ndim - 1))


def _seeds(seeds: list[int], num_envs: int, episode: int) -> list[int]:
    """Returns a seed for the initial state of each environment, whatever was played before."""
    return [
        int(np.random.SeedSequence([seed, env, episode]).generate_state(1)[0])
        for seed in seeds
        for env in range(num_envs)
    ]


_fold_in = jax.jit(jax.vmap(jax.random.fold_in, in_axes=(0, None)))
