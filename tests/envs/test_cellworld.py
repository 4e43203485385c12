import importlib.util
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp import envs
from rlp.envs import botevade, cellworld
from rlp.envs.botevade import State
from rlp.envs.cellworld_resources import World
from rlp.errors import InputError

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("cellworld_gym") is None, reason="cellworld_gym is not installed"
)
GOAL = 294


@pytest.fixture
def env(real_world: World) -> cellworld.BotEvade:
    del real_world  # its folder is where the package reads
    made = envs.make("cellworld:botevade", 2)
    assert isinstance(made, cellworld.BotEvade)
    return made


def chosen(*cells: int) -> np.ndarray:
    return np.eye(295)[list(cells)]


@pytest.mark.usefixtures("small_world")
def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cellworld, "MODULES", ("no_such_module",))
    cellworld._package.cache_clear()
    with pytest.raises(InputError, match=r"no_such_module is not installed .*--no-deps"):
        envs.make("cellworld:botevade")


def test_an_unknown_variant_is_refused():
    with pytest.raises(InputError, match=r"did you mean cellworld:botevade-35"):
        envs.make("cellworld:botevade-36")


@needs_package
@pytest.mark.slow
def test_a_seed_fixes_the_episode_whatever_came_before(env: cellworld.BotEvade):
    random.seed(7)
    kept = random.getstate()

    def play(seeds: list[int]) -> np.ndarray:
        found = [env.reset(seeds)]
        found += [env.step(chosen(20, 20)).observation for _ in range(3)]
        return np.stack(found)

    first = play([1, 2])
    assert (first[:, 0] != first[:, 1]).any()
    np.testing.assert_array_equal(play([2, 1]), first[:, ::-1])
    assert random.getstate() == kept  # the caller's own randomness is left alone


@needs_package
@pytest.mark.slow
def test_an_episode_reports_captures_and_success_and_waits_for_its_reset(env: cellworld.BotEvade):
    first = env.reset([1, 1])
    kept = first.copy()
    outcomes = [env.step(chosen(GOAL, GOAL)) for _ in range(10)]
    outcome, total = outcomes[-1], np.sum([each.reward for each in outcomes], axis=0)
    np.testing.assert_array_equal(first, kept)  # not the package's one array
    assert (np.abs(outcome.observation[:, [2, 5]]) <= np.pi).all()
    found = env.measures()
    np.testing.assert_array_equal(total, 1 - found["captures"])
    assert found["success"].tolist() == (found["captures"] == 0).tolist()
    assert outcome.reward.tolist() == [0, 0]  # it has ended before


@needs_package
@pytest.mark.slow
def test_the_time_limit_truncates_and_does_not_terminate(env: cellworld.BotEvade):
    env.reset([1, 2])
    for game in env.games:
        game.step_count = botevade.MAX_STEPS - 1
    outcome = env.step(chosen(0, 0))
    assert (outcome.terminated.any(), outcome.truncated.all()) == (False, True)


@needs_package
@pytest.mark.slow
def test_the_game_in_jax_is_the_packages(env: cellworld.BotEvade, real_world: World):
    """Step by step from the package's state; random draws are not shared, so not what they move."""
    env.reset([1, 2])
    rng = np.random.default_rng(0)
    prey = [2, 3, 5, 7, 9]  # its place, direction and speeds, which no draw has an effect on
    with jax.enable_x64(True):
        arena = botevade.read_arena(real_world.open_cells)
        shapes = jax.eval_shape(botevade.reset, arena, jax.random.key(0))
        ends = np.cumsum([int(np.prod(leaf.shape)) for leaf in shapes])[:-1]
        play = jax.jit(botevade.play)
        for cells in rng.integers(295, size=(8, 2)):
            before = env.physics()[0]
            env.step(chosen(*cells))
            leaves = [
                jnp.asarray(part.reshape(leaf.shape), leaf.dtype)
                for part, leaf in zip(np.split(before, ends), shapes, strict=True)
            ]
            draws = jnp.zeros(botevade.MAX_SUBSTEPS, jnp.int32)
            state, _ = play(arena, State(*leaves), arena.choices[cells[0]], draws)
            found = np.concatenate([np.ravel(leaf) for leaf in state])
            np.testing.assert_allclose(found[prey], env.physics()[0][prey], atol=1e-6)
