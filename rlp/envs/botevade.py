"""BotEvade of `cellworld_game` 0.0.193 in JAX: a prey runs past a robot to its goal.

The same rules, substep by substep, as pure functions of one game (batched outside by `vmap`). They
differ from the package only in rounding, which matters when a line of sight grazes a corner (see
`botevade_sight`); `experiments/botevade_parity.py` measures how often.

Arrays of the two agents have an axis of 2: predator, prey. Angles of the state are in degrees, as
in the package, and wrapped. The world comes from the user's files
(`rlp.envs.cellworld_resources`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlp.envs import Bounds, botevade_sight
from rlp.envs import cellworld_resources as resources
from rlp.envs.botevade_sight import Walls, is_in_view
from rlp.envs.cellworld_resources import NO_CELL, RESOLUTION
from rlp.envs.jax_env import JaxEnv, Timestep
from rlp.errors import InputError, nearest
from rlp.types import Space, Spec

VARIANTS = ("botevade", "botevade-35", "botevade-continuous")  # they differ in their actions
MAX_STEPS = 300  # per episode, a time limit
STEP, SUBSTEP = 0.25, 0.025  # seconds
MAX_SUBSTEPS = 11  # per step; rounding of the package's clock makes it 10 or 11
OBSERVATION_DIM = 11
PREDATOR, PREY = 0, 1
START, GOAL = (0.05, 0.5), (1.0, 0.5)  # of the prey
START_DIRECTION = (180.0, 0.0)  # degrees
GOAL_DISTANCE = 0.1  # within which the prey has reached its goal
CAPTURE_DISTANCE = 0.1  # within which a visible predator captures
COOLDOWN = 20  # substeps from a capture to the next look
PLAN_WAIT = 10  # substeps from one destination to the next
ARRIVED = 0.01  # distance at which an agent has passed a bend of its path
MAX_FORWARD = np.array([0.5 * 0.15, 0.5])  # per second
MAX_TURN = np.array([20 * 0.175, 20.0])  # degrees per second and degree of error
SIGHT = 1.0  # range of sight
BODIES = np.array(  # [2, 6, 2]; the prey has four corners
    [
        [[0.02, 0.013], [-0.02, 0.013], [-0.02, -0.013], [0.02, -0.013], [0.025, -0.01],
         [0.025, 0.01]],
        [[0.015, 0], [0, 0.005], [-0.015, 0], [0, -0.005], [0.015, 0], [0.015, 0]],
    ]
)  # fmt: skip
CENTER, INNER_RADIUS = 0.5, np.sqrt(3) / 4  # of the arena, a hexagon
NORMALS = np.array([[np.cos(angle), np.sin(angle)] for angle in np.radians([30, 90, 150])])


class Arena(NamedTuple):
    """The world as arrays on the device."""

    locations: jax.Array  # [cells, 2]
    open_cells: jax.Array  # [295] int32
    spawn_cells: jax.Array  # [39] int32
    choices: jax.Array  # [A] int32, the cells that are actions
    nearest: jax.Array  # [RESOLUTION, RESOLUTION] int32
    paths: jax.Array  # [cells, cells, W] int32, ends with NO_CELL
    walls: Walls
    num_substeps: jax.Array  # [MAX_STEPS] int32, of each step


class State(NamedTuple):
    """Everything, except random draws, that the future of a game depends on."""

    location: jax.Array  # [2, 2]
    direction: jax.Array  # [2] degrees in [-180, 180]
    forward: jax.Array  # [2] per second
    turn: jax.Array  # [2] degrees per second
    path: jax.Array  # [2, W] int32, remaining cells; ends with NO_CELL
    destination: jax.Array  # [2] int32, the cell that the path leads to, or NO_CELL
    pending: jax.Array  # [2] int32, the next destination, or NO_CELL
    wait: jax.Array  # [2] int32, substeps until the next destination can be taken
    visible: jax.Array  # [] bool, whether the prey saw the predator when it last looked
    distance: jax.Array  # [] between them when the prey last looked
    cooldown: jax.Array  # [] int32, substeps until the prey looks again
    captures: jax.Array  # [] int32
    num_steps: jax.Array  # [] int32


def make(variant: str, bounds: Bounds | None = None) -> JaxEnv:
    """Returns the game with the actions of a variant.

    Raises:
        InputError: if there is no such variant, or the files of cellworld_data are missing.
    """
    if variant not in VARIANTS:
        raise InputError(f"no environment {variant}{nearest(variant, VARIANTS)}")
    observation = Space((OBSERVATION_DIM,))
    if variant == "botevade-continuous":
        bounds = bounds or Bounds(np.zeros(2), np.ones(2))
        arena = read_arena(())
        spec = Spec(observation, Space((2,)), MAX_STEPS)
        return JaxEnv(arena, begin, go_to_point, spec, bounds, measures)
    world = resources.read()
    arena = read_arena(world.lppo_cells if variant == "botevade-35" else world.open_cells)
    num = len(arena.choices)
    spec = Spec(observation, Space((num,), num), MAX_STEPS)
    return JaxEnv(arena, begin, go_to_choice, spec, measures=measures)


def read_arena(choices: np.ndarray | tuple[int, ...]) -> Arena:
    """Returns the user's world; `choices` are the cells that are actions."""
    world = resources.read()
    return Arena(
        locations=jnp.asarray(world.locations),
        open_cells=jnp.asarray(world.open_cells, jnp.int32),
        spawn_cells=jnp.asarray(world.spawn_cells, jnp.int32),
        choices=jnp.asarray(choices, jnp.int32),
        nearest=jnp.asarray(world.nearest, jnp.int32),
        paths=jnp.asarray(world.paths, jnp.int32),
        walls=botevade_sight.make(world.walls),
        num_substeps=jnp.asarray(_num_substeps(), jnp.int32),
    )


def _num_substeps() -> list[int]:
    """Returns the number of substeps in each step: the package sums their times in float64."""
    counts, clock = [], 0.0
    for _ in range(MAX_STEPS):
        end, count = clock + STEP, 0
        while clock < end:
            clock, count = clock + SUBSTEP, count + 1
        counts.append(count)
    return counts


def begin(arena: Arena, key: jax.Array) -> tuple[State, jax.Array]:
    """Returns a new game and its observation."""
    state = reset(arena, key)
    return state, observe(state)


def go_to_choice(
    arena: Arena, state: State, action: jax.Array, key: jax.Array
) -> tuple[State, Timestep]:
    """Returns the next state and timestep after the prey heads for the cell of a choice []."""
    return step(arena, state, arena.choices[action], key)


def go_to_point(
    arena: Arena, state: State, action: jax.Array, key: jax.Array
) -> tuple[State, Timestep]:
    """Returns the next state and timestep after the prey heads for the cell nearest a point [2]."""
    return step(arena, state, cells_at(arena, action), key)


def reset(arena: Arena, key: jax.Array) -> State:
    """Returns a new game: the prey at its start, the predator in a random spawn cell."""
    spawn_key, draw_key = jax.random.split(key)
    spawn = jax.random.choice(spawn_key, arena.spawn_cells)
    place, destination = arena.locations[spawn], jax.random.choice(draw_key, arena.open_cells)
    location = jnp.stack([place, jnp.asarray(START, place.dtype)])
    none = jnp.full(2, NO_CELL, jnp.int32)
    zero, zeros = jnp.int32(0), jnp.zeros(2, place.dtype)
    direction = jnp.asarray(START_DIRECTION, place.dtype)
    return State(
        location=location,
        direction=direction,
        forward=zeros,
        turn=zeros,
        path=jnp.full((2, arena.paths.shape[-1]), NO_CELL, jnp.int32),
        destination=none,
        pending=none.at[PREDATOR].set(destination),
        wait=jnp.zeros(2, jnp.int32),
        visible=sees(arena, location, direction),
        distance=_length(location[PREDATOR] - location[PREY]),
        cooldown=zero,
        captures=zero,
        num_steps=zero,
    )


def step(
    arena: Arena, state: State, destination: jax.Array, key: jax.Array
) -> tuple[State, Timestep]:
    """Returns the next state and timestep after the prey heads for a cell for 0.25 seconds."""
    draws = jax.random.choice(key, arena.open_cells, (MAX_SUBSTEPS,))
    return play(arena, state, destination, draws)


def play(
    arena: Arena, state: State, destination: jax.Array, draws: jax.Array
) -> tuple[State, Timestep]:
    """Returns the result of a step, given the cells that the predator draws [MAX_SUBSTEPS]."""
    before, num_substeps = state, arena.num_substeps[state.num_steps]
    state = state._replace(pending=state.pending.at[PREY].set(destination))

    def body(state: State, at: tuple[jax.Array, jax.Array]) -> tuple[State, None]:
        number, draw = at
        goes_on = (number < num_substeps) & ~has_arrived(state)
        new = substep(arena, state, draw)
        return jax.tree.map(lambda new, old: jnp.where(goes_on, new, old), new, state), None

    state, _ = jax.lax.scan(body, state, (jnp.arange(MAX_SUBSTEPS), draws))
    state = state._replace(num_steps=state.num_steps + 1)
    puffed, terminated = state.captures > before.captures, has_arrived(state)
    truncated = ~terminated & (state.num_steps >= MAX_STEPS)
    reward = terminated.astype(state.distance.dtype) - puffed
    return state, Timestep(observe(state, puffed), reward, terminated, truncated)


def observe(state: State, puffed: jax.Array | bool = False) -> jax.Array:
    """Returns the observation [11]; the predator's numbers are 0 while it is not seen.

    They are: position and direction (radians) of the prey, then of the predator; the prey's
    distance to its goal and to the predator; whether it was captured in this step, the seconds
    until it looks again, and whether it is at the goal.
    """
    place = jnp.concatenate([state.location, jnp.radians(state.direction)[:, None]], axis=1)
    scalars = (
        _goal_distance(state), state.distance, puffed, state.cooldown * SUBSTEP,
        has_arrived(state),
    )  # fmt: skip
    return jnp.concatenate(
        [
            place[PREY],
            jnp.where(state.visible, place[PREDATOR], 0),
            jnp.stack([jnp.asarray(each, place.dtype) for each in scalars]),
        ]
    )


def substep(arena: Arena, state: State, draw: jax.Array) -> State:
    """Returns the state 0.025 seconds later; `draw` is the predator's goal if it has no path."""
    state = proceed(arena, state)
    return look(arena, state, sees(arena, state.location, state.direction), draw)


def proceed(arena: Arena, state: State) -> State:
    """Returns the state after both agents have moved and chosen their paths and speeds."""
    state = _move(state)
    return _navigate(arena, state, cells_at(arena, state.location))


def look(arena: Arena, state: State, is_seen: jax.Array, draw: jax.Array) -> State:
    """Returns the state after the agents have looked: a visible predator hunts and captures.

    Args:
        arena: the world.
        state: after both agents have moved.
        is_seen: [] bool, whether the prey sees the predator.
        draw: the cell to which a predator without a path goes.
    """
    looks = state.cooldown == 0
    between = _length(state.location[PREDATOR] - state.location[PREY])
    distance = jnp.where(looks, between, state.distance)
    visible = jnp.where(looks, is_seen, state.visible)
    is_captured = looks & visible & (distance <= CAPTURE_DISTANCE)
    prey_cell = cells_at(arena, state.location)[PREY]
    pending = jnp.where(looks & visible, prey_cell, state.pending[PREDATOR])
    is_idle = looks & (state.path[PREDATOR, 0] == NO_CELL)
    return state._replace(
        pending=state.pending.at[PREDATOR].set(jnp.where(is_idle, draw, pending)),
        visible=visible,
        distance=distance,
        cooldown=jnp.maximum(jnp.where(is_captured, COOLDOWN, state.cooldown) - 1, 0),
        captures=state.captures + is_captured,
    )


def sees(arena: Arena, location: jax.Array, direction: jax.Array) -> jax.Array:
    """Returns whether the prey sees any corner of the predator, [] bool, computed in float32."""
    is_near = _length(location[PREDATOR] - location[PREY]) <= SIGHT
    place = location.astype(jnp.float32)
    corners = _corners(place, direction)[PREDATOR].astype(jnp.float32)
    return is_near & jnp.any(is_in_view(arena.walls, place[PREY], corners))


def cells_at(arena: Arena, places: jax.Array) -> jax.Array:
    """Returns the open cells nearest to places [..., 2]."""
    places = jnp.clip((places * RESOLUTION).astype(jnp.int32), 0, RESOLUTION - 1)
    return arena.nearest[places[..., 0], places[..., 1]]


def _move(state: State) -> State:
    """Returns the state after both agents have turned and moved along the new direction.

    An agent that would leave the arena only turns, or moves along the old direction, or stays.
    """
    turned = state.direction + state.turn * SUBSTEP
    reach = state.forward * SUBSTEP

    def ahead(direction: jax.Array) -> jax.Array:
        return state.location + reach[:, None] * _unit(direction)

    options = (
        (ahead(turned), turned),
        (state.location, turned),
        (ahead(state.direction), state.direction),
    )
    location, direction = state.location, state.direction
    for place, angle in reversed(options):
        fits = _is_inside(_corners(place, angle))
        location = jnp.where(fits[:, None], place, location)
        direction = jnp.where(fits, angle, direction)
    return state._replace(location=location, direction=_wrap(direction))


def _is_inside(corners: jax.Array) -> jax.Array:
    """Returns whether all corners [2, 6, 2] of each body are in the arena, [2]."""
    return jnp.all(jnp.abs((corners - CENTER) @ NORMALS.T) < INNER_RADIUS, axis=(1, 2))


def _corners(location: jax.Array, direction: jax.Array) -> jax.Array:
    """Returns the corners [2, 6, 2] of both bodies."""
    cosine, sine = _unit(direction)[:, None].transpose(2, 0, 1)  # [2, 1] each
    x, y = BODIES[..., 0], BODIES[..., 1]
    turned = jnp.stack([x * cosine - y * sine, x * sine + y * cosine], axis=-1)
    return location[:, None] + turned


def _navigate(arena: Arena, state: State, cell: jax.Array) -> State:
    """Returns the state with new paths and speeds of both agents, which are in cells [2]."""
    takes = (state.pending != NO_CELL) & (state.wait == 0)
    destination = jnp.where(takes, state.pending, state.destination)
    plans = takes | ((destination != NO_CELL) & (state.wait == 0))
    path = jnp.where(plans[:, None], arena.paths[cell, destination], state.path)
    first = path[:, 0]
    error = _length(arena.locations[first] - state.location)
    is_behind = (first != NO_CELL) & (error < ARRIVED)
    following = jnp.concatenate([path[:, 1:], path[:, -1:]], axis=1)
    path = jnp.where(is_behind[:, None], following, path)
    first = path[:, 0]
    offset = arena.locations[first] - state.location
    aim = jnp.degrees(jnp.arctan2(offset[:, 1], offset[:, 0]))
    wrong = _wrap(aim - state.direction)  # 180 or -180 if the aim is behind, as in the package
    forward = MAX_FORWARD / ((wrong / 8) ** 2 + 1) * jnp.maximum(_length(offset) / 0.2, 1)
    moves = first != NO_CELL
    return state._replace(
        path=path,
        destination=destination,
        pending=jnp.where(takes, NO_CELL, state.pending),
        wait=jnp.maximum(jnp.where(takes, PLAN_WAIT, state.wait) - 1, 0),
        forward=jnp.where(moves, forward, 0),
        turn=jnp.where(moves, MAX_TURN * wrong, 0),
    )


def measures(state: State) -> dict[str, jax.Array]:
    """Returns the number of captures, and success: the goal was reached without a capture."""
    is_free = state.captures == 0
    return {"success": has_arrived(state) & is_free, "captures": state.captures}


def has_arrived(state: State) -> jax.Array:
    """Returns whether the prey is at its goal, [] bool."""
    return _goal_distance(state) <= GOAL_DISTANCE


def _goal_distance(state: State) -> jax.Array:
    return _length(state.location[PREY] - jnp.asarray(GOAL, state.location.dtype))


def _length(offset: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.sum(offset**2, axis=-1))


def _unit(direction: jax.Array) -> jax.Array:
    """Returns the unit vectors [..., 2] of directions in degrees."""
    angle = jnp.radians(direction)
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)


def _wrap(angle: jax.Array) -> jax.Array:
    """Returns angles between -540 and 540 degrees, wrapped to [-180, 180]."""
    return angle - 360 * (angle > 180) + 360 * (angle < -180)
