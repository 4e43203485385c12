"""A planner for BotEvade: it estimates where the predator may be, and avoids meeting it.

It knows only what the prey sees, and the rules. While the predator is not seen, particles represent
what it may do: each moves at the predator's speed to where it last saw the prey, or to a random
cell. Particles that the prey would see are resampled from the others. A plan is a landmark to go
to, and then either staying there or going on to the goal. All plans are simulated against all
particles in a model of the game with coarser time steps. The first landmark of the best plan is the
action.

The prey plans again in every step. Therefore a capture that it sees coming costs less than a
surprise, and being safe somewhere is worth almost as much as arriving. The model counts any close
predator as a capture, seen or not, because a corner is quickly passed between two steps.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlp.config import Positive, PositiveFloat, Share, config
from rlp.envs import botevade, botevade_sight
from rlp.envs.botevade import (
    GOAL,
    GOAL_DISTANCE,
    MAX_FORWARD,
    MAX_TURN,
    PREDATOR,
    PREY,
    STEP,
    Arena,
    cells_at,
)
from rlp.envs.cellworld_resources import NO_CELL
from rlp.envs.jax_env import JaxEnv
from rlp.types import Acting, Memory, Spec

PREY_STEPS = 6  # time steps of the prey per step of the game, which is one of the predator's
ARRIVED = 0.03  # distance at which the predator chooses another destination


@config
class Config:
    """Settings of the planner."""

    num_particles: Positive = 16  # guesses of what the predator does
    horizon: Positive = 10  # steps of the game simulated ahead
    patience: Share = 0.95  # value of being safe somewhere; arriving has value 1
    warned: Share = 0.8  # value of a capture that the prey sees coming
    margin: PositiveFloat = 0.12  # distance to the predator that counts as a capture
    haste: PositiveFloat = 0.003  # cost per step until the prey arrives


class World(NamedTuple):
    """The arena with tables for planning."""

    arena: Arena
    targets: jax.Array  # [L] int32, the landmarks, then the goal's cell
    actions: jax.Array  # [L, A], the actions that go there
    aims: jax.Array  # [cells, cells, 2], the first bend of the path from one cell to another
    sight: jax.Array  # [cells, cells] bool, whether one can be seen from the other


class Agents(NamedTuple):
    """Positions and directions of agents."""

    location: jax.Array  # [..., 2]
    direction: jax.Array  # [...] degrees


class Belief(NamedTuple):
    """Particles [P] for what the predator may do."""

    agents: Agents  # [P]
    destination: jax.Array  # [P] int32
    num_steps: jax.Array  # [] int32, of the episode


class Outcome(NamedTuple):
    """The result of a plan for the prey."""

    caught: jax.Array  # [P] bool
    warned: jax.Array  # [P] bool: the prey saw the predator appear before a capture


def make(env: JaxEnv, landmarks: np.ndarray) -> World:
    """Returns what the planner knows about a game.

    Args:
        env: the game, `botevade.make(...)`.
        landmarks: cells to go to.
    """
    arena: Arena = env.params
    goal = cells_at(arena, jnp.asarray(GOAL))
    targets = jnp.append(jnp.setdiff1d(jnp.asarray(landmarks), goal), goal).astype(jnp.int32)
    first, second = arena.paths[..., 0], arena.paths[..., 1]
    is_here = (first == jnp.arange(len(first))[:, None]) & (second != NO_CELL)

    def seen_from(eye: jax.Array) -> jax.Array:
        return botevade_sight.is_in_view(arena.walls, eye, arena.locations)

    return World(
        arena=arena,
        targets=targets,
        actions=_actions(env, targets),
        aims=arena.locations[jnp.where(is_here, second, first)],
        sight=jax.lax.map(seen_from, arena.locations),
    )


def _actions(env: JaxEnv, cells: jax.Array) -> jax.Array:
    """Returns the actions [L, A], in the form of policies, that go to cells [L]."""
    if env.bounds is not None:
        low, high = (jnp.asarray(bound)[None] for bound in env.bounds)
        return (env.params.locations[cells] - low) / (high - low) * 2 - 1
    return (env.params.choices[None] == cells[:, None]).astype(jnp.float32)


def init_memory(config: Config, spec: Spec, target: jax.Array) -> Belief:
    """Returns a placeholder; the belief is drawn in the first step."""
    del spec, target
    count = config.num_particles
    agents = Agents(jnp.zeros((count, 2)), jnp.full(count, botevade.START_DIRECTION[PREDATOR]))
    return Belief(agents, jnp.zeros(count, jnp.int32), jnp.int32(0))


def act(
    config: Config,
    world: World,
    memory: Belief,
    observation: jax.Array,
    reward: jax.Array,
    key: jax.Array,
    temperature: jax.Array,
) -> tuple[jax.Array, Memory]:
    """Returns the action [A] that goes to the first landmark of the best plan."""
    del reward, temperature
    belief_key, plan_key = jax.random.split(key)
    belief = track(config, world, memory, observation, belief_key)
    value = values(config, world, belief, observation, plan_key)
    return world.actions[jnp.argmax(value) % len(world.targets)], belief


policy = Acting(init_memory, act, samples=False)


def track(
    config: Config, world: World, belief: Belief, observation: jax.Array, key: jax.Array
) -> Belief:
    """Returns the belief after an observation [11]."""
    arena, count = world.arena, config.num_particles
    start_key, move_key, draw_key, place_key = jax.random.split(key, 4)
    place, predator = observation[:2], observation[3:6]
    starts = arena.locations[jax.random.choice(start_key, arena.spawn_cells, (count,))]
    draws = jax.random.choice(move_key, arena.open_cells, (2, count))
    agents, destination = _roam(world, belief.agents, belief.destination, draws[1])
    is_first = belief.num_steps == 0
    agents = agents._replace(location=jnp.where(is_first, starts, agents.location))
    destination = jnp.where(is_first, draws[0], destination)

    is_seen = botevade_sight.is_in_view(arena.walls, place, agents.location)
    hidden = ~world.sight[cells_at(arena, place)][arena.open_cells]
    anywhere = jax.random.choice(place_key, arena.open_cells, (count,), p=hidden / hidden.sum())
    chosen = jax.random.choice(draw_key, count, (count,), p=~is_seen / (~is_seen).sum())
    chosen = jnp.where(is_seen, chosen, jnp.arange(count))
    is_lost = is_seen.all()
    location = jnp.where(is_lost, arena.locations[anywhere], agents.location[chosen])
    unseen = Agents(location, agents.direction[chosen])
    unseen_destination = jnp.where(is_lost | is_seen, draws[0], destination[chosen])

    sees = predator[:2].any()
    return Belief(
        Agents(
            jnp.where(sees, predator[None, :2], unseen.location),
            jnp.where(sees, jnp.degrees(predator[2]), unseen.direction),
        ),
        jnp.where(sees, cells_at(arena, place), unseen_destination),
        belief.num_steps + 1,
    )


def values(
    config: Config, world: World, belief: Belief, observation: jax.Array, key: jax.Array
) -> jax.Array:
    """Returns the value of each plan [2 L]: go to a target and stay, or go on to the goal."""
    size = (config.horizon, config.num_particles)
    draws = jax.random.choice(key, world.arena.open_cells, size)
    tracks = jax.vmap(_run, (None, None, 0, 0, None))
    first = jnp.tile(world.targets, 2)
    then = jnp.concatenate([world.targets, jnp.full_like(world.targets, world.targets[-1])])
    way = tracks(world, observation, first, then, config.horizon)  # [2 L, T, PREY_STEPS, 2]
    start = (belief, observation, draws)
    outcome = jax.vmap(lambda each: _play(config, world, *start, each))(way)
    is_on_way = ~_is_at_goal(way[:, :, -1])  # [2 L, T]
    safe = jnp.where(is_on_way[:, -1:], config.patience, 1)
    value = jnp.where(outcome.caught, jnp.where(outcome.warned, config.warned, 0), safe)
    return value.mean(axis=1) - config.haste * is_on_way.sum(axis=1)


def _run(
    world: World, observation: jax.Array, first: jax.Array, then: jax.Array, num_steps: int
) -> jax.Array:
    """Returns the positions [T, PREY_STEPS, 2] of a prey that goes to one target, then another."""
    seconds = STEP / PREY_STEPS

    def body(carry: Any, _: None) -> tuple[Any, jax.Array]:
        prey, destination = carry
        new = _advance(world, prey, destination, PREY, seconds)
        at_goal = _is_at_goal(prey.location)
        new = jax.tree.map(lambda new, old: jnp.where(at_goal, old, new), new, prey)
        there = _distance(new.location, world.arena.locations[first]) < ARRIVED
        return (new, jnp.where(there, then, destination)), new.location

    prey = Agents(observation[:2], jnp.degrees(observation[2]))
    _, way = jax.lax.scan(body, (prey, first), length=num_steps * PREY_STEPS)
    return way.reshape(num_steps, PREY_STEPS, 2)


def _play(
    config: Config,
    world: World,
    belief: Belief,
    observation: jax.Array,
    draws: jax.Array,
    way: jax.Array,
) -> Outcome:
    """Returns the outcome of the prey's way [T, PREY_STEPS, 2] for each particle."""
    arena, cooldown = world.arena, observation[9]
    sees = observation[3:5].any()

    def body(carry: Any, at: Any) -> tuple[Any, None]:
        agents, destination, outcome = carry
        count, prey, cell, draw = at
        agents, destination = _roam(world, agents, destination, draw)
        is_seen = world.sight[cell, cells_at(arena, agents.location)]
        destination = jnp.where(is_seen, cell, destination)
        distance = _distance(agents.location[:, None], prey[None]).min(axis=1)
        is_immune = count * STEP < cooldown
        was_at_goal = _is_at_goal(prey[0])
        catches = (distance <= config.margin) & ~is_immune & ~was_at_goal
        warned = outcome.warned | (is_seen & ~sees & ~outcome.caught & ~catches)
        return (agents, destination, Outcome(outcome.caught | catches, warned)), None

    none = jnp.zeros(config.num_particles, bool)
    cells = cells_at(arena, way[:, -1])
    steps = (jnp.arange(len(way)), way, cells, draws)
    start = (belief.agents, belief.destination, Outcome(none, none))
    return jax.lax.scan(body, start, steps)[0][2]


def _roam(
    world: World, agents: Agents, destination: jax.Array, draw: jax.Array
) -> tuple[Agents, jax.Array]:
    """Returns predators [P] after a step of the model; on arrival they go to the cell drawn."""
    there = _distance(agents.location, world.arena.locations[destination]) < ARRIVED
    destination = jnp.where(there, draw, destination)
    return _advance(world, agents, destination, PREDATOR, STEP), destination


def _advance(
    world: World, agents: Agents, destination: jax.Array, kind: int, seconds: float
) -> Agents:
    """Returns agents [...] of a kind after moving for `seconds` towards their destinations."""
    cell = cells_at(world.arena, agents.location)
    offset = world.aims[cell, destination] - agents.location
    distance = jnp.linalg.norm(offset, axis=-1)
    aim = jnp.degrees(jnp.arctan2(offset[..., 1], offset[..., 0]))
    wrong = (aim - agents.direction + 180) % 360 - 180
    left = wrong * np.exp(-MAX_TURN[kind] * seconds)
    straight = (1 / ((wrong / 8) ** 2 + 1) + 1 / ((left / 8) ** 2 + 1)) / 2
    speed = MAX_FORWARD[kind] * straight * jnp.maximum(distance / 0.2, 1)
    direction = agents.direction + wrong - left
    angle = jnp.radians(direction)
    ahead = jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)
    reach = jnp.minimum(speed * seconds, distance)
    return Agents(agents.location + reach[..., None] * ahead, direction)


def _is_at_goal(location: jax.Array) -> jax.Array:
    """Returns whether places [..., 2] are at the goal, [...] bool."""
    return jnp.hypot(location[..., 0] - GOAL[0], location[..., 1] - GOAL[1]) <= GOAL_DISTANCE


def _distance(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.linalg.norm(a - b, axis=-1)
