import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp import envs
from rlp.envs import botevade, botevade_sight
from rlp.envs.botevade import COOLDOWN, PREDATOR, PREY, Arena, State
from rlp.envs.cellworld_resources import NO_CELL, World
from rlp.errors import InputError
from tests.envs import made_world

play, proceed, look = map(jax.jit, (botevade.play, botevade.proceed, botevade.look))
reset, sees = map(jax.jit, (botevade.reset, botevade.sees))
is_in_view = jax.jit(botevade_sight.is_in_view)
DRAWS = jnp.zeros(botevade.MAX_SUBSTEPS, jnp.int32)


def number(cell: tuple[int, int]) -> int:
    return made_world.coordinates().index(cell)


@pytest.fixture
def arena(small_world: World) -> Arena:
    return botevade.read_arena(small_world.open_cells)


def placed(
    arena: Arena, predator: tuple[float, float], prey: tuple[float, float], seed: int = 0
) -> State:
    """A new game with the agents elsewhere."""
    state = reset(arena, jax.random.key(seed))
    location = jnp.array([predator, prey], state.location.dtype)
    return state._replace(location=location)


def test_the_clock_of_the_package_makes_steps_of_ten_or_eleven_substeps(arena: Arena):
    counts = np.bincount(np.asarray(arena.num_substeps), minlength=12)
    assert counts[10:].tolist() == [114, 186]


def test_a_game_begins_as_the_package_says(arena: Arena, small_world: World):
    spawns = set()
    for seed in range(8):
        state = reset(arena, jax.random.key(seed))
        np.testing.assert_allclose(state.location[PREY], [0.05, 0.5])
        assert state.direction.tolist() == [180, 0]
        spawns.add(int(botevade.cells_at(arena, state.location[PREDATOR])))
        assert int(state.pending[PREDATOR]) in small_world.open_cells
        assert int(state.pending[PREY]) == NO_CELL
    assert spawns == {number(cell) for cell in made_world.SPAWN}


def test_a_prey_that_goes_to_the_goal_arrives_and_is_paid_once(arena: Arena):
    state = placed(arena, (0.2, 0.85), (0.75, 0.5))
    found = []
    for _ in range(10):
        state, step = play(arena, state, jnp.int32(number((6, 0))), DRAWS)
        found.append(step)
        if step.terminated:
            break
    assert [float(step.reward) for step in found] == [0.0] * (len(found) - 1) + [1.0]
    assert found[-1].observation[-1] == 1
    assert np.hypot(*(state.location[PREY] - np.array([1, 0.5]))) <= 0.1


def test_the_agents_move_as_the_package_moves_them(arena: Arena):
    """By hand: half a degree of 20 per degree is turned, then .5 per second along the new way."""
    state = placed(arena, (0.2, 0.85), (0.5, 0.9))._replace(
        direction=jnp.array([180.0, 10.0]),
        forward=jnp.array([0.0, 0.4]),
        turn=jnp.array([0.0, 8.0]),
    )
    state = proceed(arena, state)
    assert state.direction[PREY] == pytest.approx(10.2)
    angle = np.radians(10.2)
    ahead = [0.5 + 0.01 * np.cos(angle), 0.9 + 0.01 * np.sin(angle)]
    np.testing.assert_allclose(state.location[PREY], ahead, atol=1e-6)


def test_speeds_follow_the_errors_of_place_and_direction(arena: Arena, small_world: World):
    goal = number((6, 0))
    place = small_world.locations[goal]
    state = placed(arena, (0.2, 0.85), (place[0] - 0.4, 0.5))._replace(
        direction=jnp.array([180.0, 4.0]), pending=jnp.array([NO_CELL, goal])
    )
    state = proceed(arena, state)
    assert state.wait.tolist() == [0, 9]
    assert state.forward[PREY] == pytest.approx(0.5 / 1.25 * 2, rel=1e-4)  # (4 / 8)^2, .4 / .2
    assert state.turn[PREY] == pytest.approx(-80, rel=1e-4)
    assert state.forward[PREDATOR] == state.turn[PREDATOR] == 0  # it has no destination


def test_turning_half_round_keeps_the_side_that_the_package_turns_to(arena: Arena):
    cell = number((-6, 0))  # behind the prey, exactly
    state = placed(arena, (0.2, 0.85), (0.36, 0.5))
    for direction, turn in ((0.0, 20 * 180.0), (-0.0, 20 * 180.0), (1.0, 20 * 179.0)):
        turned = state._replace(
            direction=jnp.array([180.0, direction]), pending=jnp.array([NO_CELL, cell])
        )
        assert proceed(arena, turned).turn[PREY] == pytest.approx(turn, rel=1e-4)


def test_a_destination_waits_for_ten_substeps(arena: Arena):
    first, second = number((-4, 0)), number((-4, 2))
    state = placed(arena, (0.8, 0.8), (0.05, 0.5))._replace(pending=jnp.array([NO_CELL, first]))
    state = proceed(arena, state)._replace(pending=jnp.array([NO_CELL, second]))
    for _ in range(9):
        state = proceed(arena, state)
        assert int(state.destination[PREY]) == first
    state = proceed(arena, state)
    assert (int(state.destination[PREY]), int(state.pending[PREY])) == (second, NO_CELL)


def test_a_capture_pays_minus_one_and_the_prey_looks_away_for_twenty_substeps(arena: Arena):
    state = placed(arena, (0.5, 0.8), (0.45, 0.8))
    stepped, found = play(arena, state, jnp.int32(number((0, 2))), DRAWS)
    assert (found.reward, found.observation[8], int(stepped.captures)) == (-1, 1, 1)
    seen, captures = jnp.array(True), []
    for _ in range(2 * COOLDOWN + 1):
        state = look(arena, state, seen, jnp.int32(0))
        captures.append(int(state.captures))
    assert captures == [1] * COOLDOWN + [2] * COOLDOWN + [3]


def test_a_predator_that_is_not_seen_does_not_capture(arena: Arena):
    state = look(arena, placed(arena, (0.5, 0.8), (0.45, 0.8)), jnp.array(False), jnp.int32(0))
    assert int(state.captures) == int(state.cooldown) == 0
    assert not bool(state.visible)


def test_a_seen_predator_hunts_and_one_without_a_way_goes_where_it_draws(arena: Arena):
    prey, far = number((-4, 0)), number((5, 1))
    state = placed(arena, (0.75, 0.5), tuple(made_world.location((-4, 0))))
    on_way = state._replace(path=state.path.at[PREDATOR, 0].set(far))
    for seen, path, expected in (
        (True, on_way, prey),
        (False, on_way, int(state.pending[PREDATOR])),
        (True, state, far),
        (False, state, far),
    ):
        found = look(arena, path, jnp.array(seen), jnp.int32(far))
        assert int(found.pending[PREDATOR]) == expected


def test_an_occlusion_hides_the_predator(arena: Arena):
    direction = jnp.array([180.0, 0.0])
    for predator, prey, expected in (
        ((0.75, 0.5), (0.3, 0.5), False),  # behind the cell in the middle
        ((0.75, 0.3), (0.3, 0.3), True),
        ((0.5, 0.62), (0.4, 0.45), False),
        ((0.5, 0.9), (0.5, 0.75), True),
    ):
        location = jnp.array([predator, prey])
        assert bool(sees(arena, location, direction)) == expected
        state = placed(arena, predator, prey)._replace(visible=jnp.array(expected))
        observation = botevade.observe(state)
        assert bool(observation[3:6].any()) == expected
        np.testing.assert_allclose(observation[:2], prey, rtol=1e-6)


def test_the_line_of_sight_is_the_geometry_of_the_walls(arena: Arena, small_world: World):
    """But for slivers at corners, which random points are not in."""
    walls, rng = small_world.walls, np.random.default_rng(0)
    eyes = small_world.locations[rng.choice(small_world.open_cells, 300)]
    points = small_world.locations[rng.choice(small_world.open_cells, 300)]
    eyes, points = (each + rng.uniform(-0.02, 0.02, each.shape) for each in (eyes, points))
    start, end = (walls.vertices[walls.sides[: -walls.num_arena, i]] for i in (0, 1))

    def side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        (ux, uy), (vx, vy) = (b - a).T, (c - a).T
        return ux * vy - uy * vx > 0

    expected = [
        not np.any(
            (side(e, p, start) != side(e, p, end)) & (side(start, end, e) != side(start, end, p))
        )
        for e, p in zip(eyes.astype(np.float32), points.astype(np.float32), strict=True)
    ]
    in_view = jax.jit(
        jax.vmap(lambda eye, point: botevade_sight.is_in_view(arena.walls, eye, point[None]))
    )
    found = in_view(jnp.asarray(eyes, jnp.float32), jnp.asarray(points, jnp.float32))[:, 0]
    assert 0.2 < np.mean(expected) < 0.95
    assert np.mean(np.asarray(found) == expected) >= 0.99


def test_the_sliver_past_a_corner_is_hidden_up_to_the_line_to_what_is_behind():
    """Of a wall to the left of the ray: hidden within a thousandth radian to the right of it."""
    walls = botevade_sight.Walls(
        starts=jnp.array([[0.2, 0.2, 0.8, 0.8], [0.0, 0.1, 0.5, -0.5]], jnp.float32),
        ends=jnp.array([[0.2, 0.2, 0.8, 0.8], [0.1, 0.0, -0.5, 0.5]], jnp.float32),
        previous=jnp.array([1, 0, 3, 2], jnp.int32),
        corners=jnp.array(
            [
                [[0.2, 0.1], [0.2, 0], [0.2, 0.1]],
                [[0.2, 0], [0.2, 0.1], [0.2, 0]],
                [[0.8, -0.5], [0.8, 0.5], [0.8, -0.5]],
                [[0.8, 0.5], [0.8, -0.5], [0.8, 0.5]],
            ],
            jnp.float32,
        ),
    )
    angle, eye = 0.5e-3, jnp.zeros(2, jnp.float32)  # half a sliver: 1 / .5 = (1 / .2 + 1 / .8) / 2
    far = np.array([[r * np.cos(angle), -r * np.sin(angle)] for r in (0.3, 0.35, 0.7)])
    past = np.array([[0.7 * np.cos(3 * angle), -0.7 * np.sin(3 * angle)], [0.7, 0.05]])
    points = jnp.asarray(np.concatenate([far, past]), jnp.float32)
    found = is_in_view(walls, eye, points)
    assert found.tolist() == [True, False, False, True, False]


@pytest.mark.usefixtures("small_world")
def test_agents_stay_in_the_arena_and_games_end_by_the_clock():
    env = envs.make("jax:botevade-continuous", 3)
    rng = np.random.default_rng(0)
    env.reset([1, 2, 3])
    ended = np.zeros(3, bool)
    for count in range(1, botevade.MAX_STEPS + 1):
        action = rng.uniform(-1, 1, (3, env.action_dim))
        action[:, -1] = -1  # in the lower half, which has no goal
        outcome = env.step(action)
        places = env.physics()[:, :4].reshape(-1, 2) - 0.5
        assert np.abs(places @ botevade.NORMALS.T).max() < botevade.INNER_RADIUS
        assert np.isfinite(outcome.observation).all()
        assert (np.abs(outcome.observation[:, [2, 5]]) <= np.pi + 1e-6).all()
        ended |= outcome.terminated
        assert (outcome.truncated == (~outcome.terminated & (count >= botevade.MAX_STEPS))).all()
    assert not ended.all()


@pytest.mark.usefixtures("small_world")
def test_a_seed_fixes_the_game_and_another_makes_another():
    env = envs.make("jax:botevade", 3)
    action = np.eye(env.action_dim)[[3, 3, 3]]

    def some(seeds: list[int]) -> np.ndarray:
        env.reset(seeds)
        for _ in range(30):
            env.step(action)
        return env.physics()

    first = some([1, 1, 2])
    np.testing.assert_array_equal(first[0], first[1])
    assert (first[0] != first[2]).any()
    np.testing.assert_array_equal(some([2, 1, 1]), first[::-1])


def test_variants_have_their_own_actions(small_world: World):
    spaces = [envs.make(f"jax:{variant}").action_space for variant in botevade.VARIANTS]
    assert spaces[:2] == [envs.Choices(len(small_world.open_cells)), envs.Choices(2)]
    low, high = (np.asarray(end).tolist() for end in spaces[2])
    assert (low, high) == ([0, 0], [1, 1])
    with pytest.raises(InputError, match=r"no environment botevad \(did you mean botevade\?\)"):
        envs.make("jax:botevad")


def test_a_point_is_the_cell_nearest_to_it(small_world: World):
    by_cell, by_point = envs.make("jax:botevade"), envs.make("jax:botevade-continuous")
    for env in (by_cell, by_point):
        env.reset([7])
    for cell in (5, 20, 11):
        point = 2 * small_world.locations[small_world.open_cells[cell]] - 1 + 0.01
        one = by_cell.step(np.eye(by_cell.action_dim)[[cell]])
        other = by_point.step(point[None])
        np.testing.assert_array_equal(one.observation, other.observation)
