"""A learner in an environment in JAX: it takes many rounds in one call of a compiled program."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlp.envs.jax_env import JaxVector
from rlp.evaluation.device_rollout import At
from rlp.training import device_rounds
from rlp.training.device_rounds import Between, Fixed, Given, Guiding, Kind
from rlp.training.learner import Learner, fold_in
from rlp.training.plan import Watch

SEEDING = 0x736565  # folded into keys: another stream than the updates'
MOST = 256  # rounds in one call, so that Ctrl-C does not wait long


def fits(env: object, watch: Watch | None, origin: np.ndarray) -> bool:
    """Returns whether rounds can be one program: nobody looks at them, and float32 is enough."""
    return isinstance(env, JaxVector) and watch is None and not origin.any()


class DeviceLearner(Learner):
    """Members that act and learn; the first round is taken alone, as nothing is stored before."""

    env: JaxVector

    def take_rounds(self, most: int) -> None:
        """Takes a round or several, up to `most`; all are of one kind."""
        if self._last is None:
            self.take_round()
            return
        plan, first = self.plan, self.round
        ends = [first + min(most, MOST), plan.num_idle_rounds + 1]
        if self._guide:
            ends.append(self._guide.end)
        count = min(end for end in ends if end > first) - first
        kind = self._kind(first)
        between, *found = device_rounds.program(
            kind, self._fixed(kind), self._given(kind, first, count), self._between()
        )
        self._go_to(between, count)
        if kind.num_updates:
            found = jax.device_get(found)
            self.found += [jax.tree.map(lambda x, i=i: x[i], found) for i in range(count)]

    def _kind(self, first: int) -> Kind:
        """Returns what the rounds from a number on have in common."""
        plan = self.plan
        guide = self._guide if self._guide and first < self._guide.end else None
        return Kind(
            algo=self.run.algo,
            spec=self._spec,
            layout=self.layout,
            num_updates=round(plan.updates_per_round) if first > plan.num_idle_rounds else 0,
            discount=self._discount,
            offline_share=self._offline_share,
            guide=guide.actor if guide else None,
            most=MOST,
        )

    def _fixed(self, kind: Kind) -> Fixed:
        guide = self._guide if kind.guide else None
        of_guide = guide and Guiding(guide.policy, guide.keys, guide.turn_keys, guide.targets)
        return Fixed(
            env=self.env.env,
            configs=self.members.configs,
            keys=self.members.keys,
            acting_keys=self._acting,
            exploring_keys=self._exploring,
            seeding_keys=self._seeding,
            normalizer=self.normalizer,
            offline=self.offline,
            exploration=self.plan.exploration,
            targets=self._targets,
            guide=of_guide,
        )

    def _given(self, kind: Kind, first: int, count: int) -> Given:
        num_members, number = len(self.run.seeds), first - 1 - self.plan.num_idle_rounds
        actions = rates = None
        if not kind.num_updates:
            of_rounds = [self._random_actions(first + i) for i in range(count)]
            actions = _padded(of_rounds).reshape(MOST, num_members, self.plan.num_envs, -1)
        if self._guide and kind.guide:
            rates = _padded([self._guide.rates(first + i) for i in range(count)])
        first_step = jnp.int32(max(number, 0) * kind.num_updates)
        num_random = self.plan.num_random_rounds
        return Given(first, count, first_step, num_random, actions, rates, not self._guide)

    def _between(self) -> Between:
        """Returns where members and environments are."""
        env, guide = self.env, self._guide
        assert self._last is not None

        def of(values: np.ndarray | jax.Array, dtype: Any = None) -> jax.Array:
            shape = (len(self.run.seeds), self.plan.num_envs, *values.shape[1:])
            return jnp.asarray(values, dtype).reshape(shape)

        ended, number = of(self._has_ended), jnp.float32
        at = At(
            jax.tree.map(of, env.state), self._memory, of(self._observation, number),
            of(self._reward, number), of(env.seeds), of(env.counts),
        )  # fmt: skip
        return Between(
            self.members.states, self.replays, self._last,
            jnp.broadcast_to(self._chosen, ended.shape), ended, at, of(self._return, number),
            of(self._collected, number), of(self._episode), guide.memory if guide else (),
        )  # fmt: skip

    def _go_to(self, between: Between, count: int) -> None:
        """Goes on from there, `count` rounds later."""
        self.round += count
        self.members = self.members._replace(states=between.states)
        self.replays, self._last, at = between.replays, between.last, between.at
        self._memory = at.memory

        def flat(x: jax.Array) -> jax.Array:
            return x.reshape(-1, *x.shape[2:])

        self.env.go_to(
            jax.tree.map(flat, at.state), flat(at.observation), flat(at.seed), flat(at.time)
        )
        self._observation = np.array(flat(at.observation), np.float64)
        self._reward = np.array(flat(at.reward), np.float64)
        self._has_ended = np.array(flat(between.has_ended))
        self._return = np.array(flat(between.total), np.float64)
        self._collected = np.array(flat(between.collected), np.float64)
        self._episode = np.array(flat(between.episode))
        if self._guide:
            self._guide.memory = between.guide_memory
            self._guide.acted = np.array(between.chosen)

    @cached_property
    def _seeding(self) -> jax.Array:
        """The keys [M] of the episodes' seeds."""
        return fold_in(self.members.keys, SEEDING)

    def _seeds(self, which: Sequence[int]) -> list[int]:
        """Returns seeds of the states that environments begin from, those of the program."""
        episode = jnp.asarray(self._episode.reshape(len(self.run.seeds), -1))
        of_all = np.asarray(device_rounds.seeds(self._seeding, episode)).reshape(-1)
        return of_all[list(which)].tolist()


def _padded(rows: Sequence[np.ndarray]) -> jax.Array:
    """Returns rows as one array [MOST, ...]; those behind the last are zeros."""
    given = np.stack(rows).astype(np.float32)
    rest = np.zeros((MOST - len(given), *given.shape[1:]), np.float32)
    return jnp.asarray(np.concatenate([given, rest]))
