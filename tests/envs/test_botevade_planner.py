from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.envs import botevade, botevade_planner, botevade_sight
from rlp.envs.botevade_planner import Belief, World
from rlp.envs.cellworld_resources import World as Resources
from rlp.types import vectors
from tests.envs import made_world

CONFIG = botevade_planner.Config(num_particles=32, horizon=8)
SPEC = vectors(botevade.OBSERVATION_DIM, 2, botevade.MAX_STEPS)
UNSEEN = (0.0, 0.0, 0.0)
track = jax.jit(botevade_planner.track)
values = jax.jit(botevade_planner.values)
act = jax.jit(botevade_planner.act)


def number(cell: tuple[int, int]) -> int:
    return made_world.coordinates().index(cell)


@pytest.fixture
def world(small_world: Resources) -> World:
    landmarks = np.append(small_world.lppo_cells, number((-1, 3)))
    return botevade_planner.make(botevade.make("botevade"), landmarks)


def observed(prey: Any, predator: Any = UNSEEN) -> jax.Array:
    return jnp.array([*prey, 0.0, *predator, 0, 0, 0, 0, 0], jnp.float32)


def begun() -> Belief:
    return botevade_planner.init_memory(CONFIG, SPEC, jnp.float32(0))


def test_at_first_the_predator_may_be_where_games_begin(world: World):
    belief = track(CONFIG, world, begun(), observed((0.05, 0.5)), jax.random.key(0))
    cells = botevade.cells_at(world.arena, belief.agents.location)
    assert set(cells.tolist()) <= {number(cell) for cell in made_world.SPAWN}


def test_a_predator_that_is_seen_is_there_and_comes(world: World):
    predator = (0.6, 0.75, 1.0)
    belief = track(CONFIG, world, begun(), observed((0.3, 0.7), predator), jax.random.key(0))
    np.testing.assert_allclose(belief.agents.location, np.tile(predator[:2], (32, 1)))
    np.testing.assert_allclose(belief.agents.direction, np.degrees(1.0), rtol=1e-6)
    cell = int(botevade.cells_at(world.arena, jnp.array([0.3, 0.7])))
    assert set(belief.destination.tolist()) == {cell}


def test_a_predator_that_is_not_seen_is_out_of_sight(world: World):
    prey, belief = jnp.array([0.3, 0.5]), begun()
    sees = jax.jit(botevade_sight.is_in_view)
    for count in range(4):
        belief = track(CONFIG, world, belief, observed(prey), jax.random.key(count))
        in_view = sees(world.arena.walls, prey, belief.agents.location)
        assert not in_view.any() or in_view.all()  # all were: drawn anew by cells
        assert not world.sight[botevade.cells_at(world.arena, prey)][
            botevade.cells_at(world.arena, belief.agents.location)
        ].any()


def test_the_way_to_the_goal_is_worth_less_where_the_predator_waits(world: World):
    goal = len(world.targets) - 1
    found = {}
    for name, predator in {"on it": (0.8, 0.5, np.pi), "away": (0.3, 0.15, np.pi)}.items():
        seen = observed((0.62, 0.5), predator)
        belief = track(CONFIG, world, begun(), seen, jax.random.key(0))
        found[name] = values(CONFIG, world, belief, seen, jax.random.key(1))
    assert found["on it"][goal] < 0.1
    assert found["away"][goal] > 0.9
    assert int(found["on it"].argmax()) % len(world.targets) != goal


@pytest.mark.slow
@pytest.mark.parametrize("variant", botevade.VARIANTS)
def test_the_action_goes_to_the_goal_where_nothing_is_in_the_way(
    small_world: Resources, variant: str
):
    env = botevade.make(variant)
    world = botevade_planner.make(env, small_world.lppo_cells)
    seen = observed((0.62, 0.5), (0.3, 0.15, np.pi))
    action, _ = act(CONFIG, world, begun(), seen, jnp.float32(0), jax.random.key(0), 0.0)
    assert action.shape == (env.spec.action_dim,)
    if variant == "botevade-continuous":
        goal = made_world.location((6, 0))
        np.testing.assert_allclose((action + 1) / 2, goal, atol=1e-6)
    else:
        assert env.params.choices[action.argmax()] == number((6, 0))
