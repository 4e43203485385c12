"""How closely BotEvade in JAX agrees with the package `cellworld_gym`.

python experiments/botevade_parity.py record     # plays the package, an hour on one core
python experiments/botevade_parity.py compare    # plays the JAX game, a minute
"""

import importlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlp import cli, envs
from rlp.cli.tables import markdown
from rlp.config import Positive
from rlp.envs import botevade, cellworld, cellworld_resources
from rlp.envs.botevade import MAX_SUBSTEPS, Arena, State
from rlp.runs import provenance
from rlp.system import files

GOAL = -1  # the last open cell is the goal's
POLICY, EPISODE, CHOICE, REWARD, TERMINATED, DRAWS = range(6)  # columns of a step
DIRECTIONS, CAPTURES = slice(4, 6), -2  # columns of a state
EQUAL = 1e-6  # smaller differences between numbers of a state are ignored
SEEDS = {"package": 1, "jax": 2}
HORIZONS = {"goal": 20, "random": 20, "detour": 60}  # steps of each policy


@dataclass(frozen=True)
class Recording:
    """The package's episodes."""

    num_episodes: Positive = 1_000  # of each policy
    file: str = "botevade_package.npz"  # file for the steps, too large for the repository
    save_every: Positive = 50  # episodes of each policy


def plan(policy: str, number: int, seed: int, num_cells: int, landmarks: np.ndarray) -> np.ndarray:
    """Returns the choices [horizon] of one episode: positions in the list of open cells.

    `goal` always goes to the goal. `random` chooses a random cell in every step. `detour` goes to
    one of the landmarks for five steps, then to the goal.
    """
    rng = np.random.default_rng([seed, list(HORIZONS).index(policy), number])
    goal = np.full(HORIZONS[policy], num_cells + GOAL)
    if policy == "random":
        return rng.integers(num_cells, size=len(goal))
    if policy == "detour":
        goal[:5] = rng.choice(landmarks)
    return goal


class _Draws:
    """Replaces the module `random` where the package draws the robot's destinations."""

    def __init__(self, model: Any) -> None:
        self._model, self._start = model, 0
        self.cells = np.zeros(MAX_SUBSTEPS + 1, int)

    def renew(self, cells: np.ndarray, start: int) -> None:
        """Sets the draws for the substep with number `start` and those after it."""
        self.cells, self._start = cells, start

    def choice(self, options: Sequence[Any]) -> Any:
        return options[int(self.cells[self._model.step_count - self._start])]


def record(given: cli.Given) -> None:
    """Plays the package's episodes and writes every step with the states before and after it."""
    settings = cli.parse(Recording, given)
    env = envs.make("cellworld:botevade")
    assert isinstance(env, cellworld.BotEvade)
    rows: dict[str, list[Any]] = {name: [] for name in ("step", "state")}
    began = time.perf_counter()
    for number in range(settings.num_episodes):
        for policy in HORIZONS:
            _play(env, policy, number, rows)
        if (number + 1) % settings.save_every == 0 or number + 1 == settings.num_episodes:
            step, state = np.array(rows["step"]), np.array(rows["state"])
            np.savez_compressed(settings.file, step=step, state=state)
            speed = len(rows["step"]) / (time.perf_counter() - began)
            print(f"{number + 1:,} episodes, {speed:.1f} steps/s", flush=True)


def _play(env: cellworld.BotEvade, policy: str, number: int, rows: dict[str, list[Any]]) -> None:
    """Plays one episode and appends its rows; the first has no action and no reward."""
    world, kind = cellworld_resources.read(), list(HORIZONS).index(policy)
    landmarks = np.searchsorted(world.open_cells, world.lppo_cells)
    choices = plan(policy, number, SEEDS["package"], len(world.open_cells), landmarks)
    rng = np.random.default_rng([SEEDS["package"], len(HORIZONS), kind, number])
    draws = _Draws(env.games[0].model)
    task: Any = importlib.import_module("cellworld_game.tasks.botevade")
    task.random = draws

    def keep(choice: int, reward: float, terminated: bool) -> None:
        rows["step"].append([kind, number, choice, reward, terminated, *draws.cells])
        rows["state"].append(env.physics()[0])

    def renew(start: int) -> None:
        draws.renew(rng.integers(len(world.open_cells), size=MAX_SUBSTEPS + 1), start)

    renew(0)
    env.reset([int(rng.integers(2**31))])
    keep(-1, 0, False)
    for choice in choices.tolist():
        renew(env.games[0].model.step_count)
        found = env.step(np.eye(env.action_dim)[[choice]])
        keep(choice, float(found.reward[0]), bool(found.terminated[0]))
        if found.terminated[0]:
            break


@dataclass(frozen=True)
class Comparison:
    """The comparison with the JAX game."""

    file: str = "botevade_package.npz"  # written by `record`
    num_envs: Positive = 2_048  # games at once for measuring the speed
    json: str = str(Path(__file__).parent / "results" / "botevade_parity.json")  # file for figures


def compare(given: cli.Given) -> None:
    """Compares steps and episodes, prints tables and writes the figures."""
    settings = cli.parse(Comparison, given)
    with np.load(settings.file) as kept:
        step, state = kept["step"], kept["state"]
    arena = botevade.make("botevade").params
    episodes = {
        policy: {
            "package": _summary(_package_episodes(step, state, kind)),
            "jax": _summary(_jax_episodes(arena, policy, kind, step)),
        }
        for kind, policy in enumerate(HORIZONS)
    }
    speed = _speed(arena, settings.num_envs)
    jax.clear_caches()  # compiled programs have float32 constants
    with jax.enable_x64(True):
        steps = _steps(step, state)
    found = {"steps": steps, "episodes": episodes, "speed": speed}
    files.write_json(Path(settings.json), {**found, **provenance.environment()})
    _print(found)


def _print(found: dict[str, Any]) -> None:
    """Prints the figures in the form of the docs."""
    steps, speed = found["steps"], found["speed"]
    print(f"{steps['equal']:,} of {steps['num']:,} steps are equal; others: {steps['others']}")
    rows = []
    for policy, sides in found["episodes"].items():
        for name in ("return", "captures", "success"):
            both = [f"{side[name][0]:.3f} ± {side[name][1]:.3f}" for side in sides.values()]
            rows.append([f"{policy}, {name}", *both])
    print(markdown(("mean and half of its 95 % interval", "package", "JAX"), rows))
    print(f"{speed['per_second']:,.0f} steps/s, {speed['per_cpu_second']:,.0f} per CPU second")


def _steps(step: np.ndarray, state: np.ndarray) -> dict[str, Any]:
    """Returns how many steps lead to the same state, and the causes of the others."""
    arena = botevade.make("botevade").params
    rows = np.flatnonzero(step[:, CHOICE] >= 0)
    shapes = jax.eval_shape(botevade.reset, arena, jax.random.key(0))
    before = jax.vmap(partial(_state, shapes))(jnp.asarray(state[rows - 1]))
    cells = arena.choices[step[rows, CHOICE].astype(int)]
    draws = arena.open_cells[step[rows, DRAWS + 1 :].astype(int)]
    after, found = jax.jit(jax.vmap(botevade.play, (None, 0, 0, 0)))(arena, before, cells, draws)
    differs = _differs(after, state[rows])
    outcome = np.stack([found.reward, found.terminated], axis=1)
    differs |= np.any(outcome != step[rows][:, [REWARD, TERMINATED]], axis=1)
    others: dict[str, int] = {}
    for i in np.flatnonzero(differs):
        each = jax.tree.map(lambda leaf, i=i: leaf[i], before)
        cause = _cause(arena, each, cells[i], draws[i], state[rows[i]])
        others[cause] = others.get(cause, 0) + 1
    return {"num": len(rows), "equal": int((~differs).sum()), "others": others}


def _cause(
    arena: Arena, before: State, cell: jax.Array, draws: jax.Array, expected: np.ndarray
) -> str:
    """Returns why a step differs: one look, if reversing its outcome makes the step equal."""
    numbers = jnp.arange(MAX_SUBSTEPS)
    states = _with_other_looks(arena, before, cell, draws, numbers)
    is_look = not _differs(states, np.tile(expected, (MAX_SUBSTEPS, 1))).all()
    return "one look has the other outcome" if is_look else "not known"


@jax.jit
@partial(jax.vmap, in_axes=(None, None, None, None, 0))
def _with_other_looks(
    arena: Arena, state: State, cell: jax.Array, draws: jax.Array, number: jax.Array
) -> State:
    """Returns the state after a step in which the outcome of one substep's look is reversed."""
    num_substeps = arena.num_substeps[state.num_steps]
    state = state._replace(pending=state.pending.at[botevade.PREY].set(cell))

    def body(state: State, at: tuple[jax.Array, jax.Array]) -> tuple[State, None]:
        count, draw = at
        new = botevade.proceed(arena, state)
        is_seen = botevade.sees(arena, new.location, new.direction) ^ (number == count)
        new = botevade.look(arena, new, is_seen, draw)
        goes_on = (count < num_substeps) & ~botevade.has_arrived(state)
        return jax.tree.map(partial(jnp.where, goes_on), new, state), None

    state, _ = jax.lax.scan(body, state, (jnp.arange(MAX_SUBSTEPS), draws))
    return state._replace(num_steps=state.num_steps + 1)


def _state(shapes: State, numbers: jax.Array) -> State:
    """Returns the state from its numbers [P]."""
    ends = np.cumsum([math.prod(leaf.shape) for leaf in shapes])
    parts = zip(jnp.split(numbers, ends[:-1]), shapes, strict=True)
    return State(*(part.reshape(leaf.shape).astype(leaf.dtype) for part, leaf in parts))


def _differs(states: State, numbers: np.ndarray) -> np.ndarray:
    """Returns which states [N] differ from numbers [N, P]; directions wrap around."""
    flat = [np.asarray(leaf, float).reshape(len(numbers), -1) for leaf in states]
    errors = np.abs(np.concatenate(flat, axis=1) - numbers)
    errors[:, DIRECTIONS] = np.minimum(errors[:, DIRECTIONS], np.abs(360 - errors[:, DIRECTIONS]))
    return np.any(errors > EQUAL, axis=1)


def _package_episodes(step: np.ndarray, state: np.ndarray, kind: int) -> np.ndarray:
    """Returns return, captures and success [N, 3] of the package's episodes with a policy."""
    mine = step[:, POLICY] == kind
    episode = step[mine, EPISODE].astype(int)
    values = np.bincount(episode, step[mine, REWARD])
    arrived = np.bincount(episode, step[mine, TERMINATED])
    captures = np.zeros(len(values))
    np.maximum.at(captures, episode, state[mine, CAPTURES])
    return np.stack([values, captures, (arrived > 0) & (captures == 0)], axis=1)


def _jax_episodes(arena: Arena, policy: str, kind: int, step: np.ndarray) -> np.ndarray:
    """Returns return, captures and success [N, 3] of the same number of JAX episodes."""
    num = int(step[step[:, POLICY] == kind, EPISODE].max()) + 1
    world = cellworld_resources.read()
    landmarks = np.searchsorted(world.open_cells, world.lppo_cells)
    plans = np.stack(
        [plan(policy, i, SEEDS["jax"], len(world.open_cells), landmarks) for i in range(num)]
    )
    keys = jax.random.split(jax.random.key(SEEDS["jax"] + 10 * kind), num)
    found = _episodes(arena, arena.choices[plans.T], keys)
    value, captures, arrived = map(np.asarray, found)
    return np.stack([value, captures, arrived & (captures == 0)], axis=1).astype(float)


@jax.jit
def _episodes(arena: Arena, cells: jax.Array, keys: jax.Array) -> tuple[jax.Array, ...]:
    """Returns returns, captures and arrivals [N] of games with a prey that goes to cells [T, N]."""

    def body(carry: Any, at: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
        state, total, arrived = carry
        cells, count = at
        step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, count)
        new, found = jax.vmap(botevade.step, (None, 0, 0, 0))(arena, state, cells, step_keys)
        captures = jnp.where(arrived, state.captures, new.captures)  # only of the episode itself
        total = total + jnp.where(arrived, 0, found.reward)
        return (new._replace(captures=captures), total, arrived | found.terminated), None

    begins = jax.vmap(jax.random.fold_in, (0, None))(keys, len(cells))
    state = jax.vmap(botevade.reset, (None, 0))(arena, begins)
    carry = (state, jnp.zeros(len(keys)), jnp.zeros(len(keys), bool))
    carry, _ = jax.lax.scan(body, carry, (cells, jnp.arange(len(cells))))
    return carry[1], carry[0].captures, carry[2]


def _summary(outcomes: np.ndarray) -> dict[str, tuple[float, float]]:
    """Returns the mean and half of the 95 % interval of outcomes [N, 3]."""
    half = 1.96 * outcomes.std(axis=0, ddof=1) / np.sqrt(len(outcomes))
    pairs = zip(outcomes.mean(axis=0).tolist(), half.tolist(), strict=True)
    return dict(zip(("return", "captures", "success"), pairs, strict=True))


def _speed(arena: Arena, num_envs: int, num_steps: int = 40) -> dict[str, float]:
    """Returns steps per second with random choices in one scan, the best of three rounds."""
    rng = np.random.default_rng(0)
    cells = arena.choices[rng.integers(len(arena.choices), size=(num_steps, num_envs))]
    keys = jax.random.split(jax.random.key(0), num_envs)
    jax.block_until_ready(_episodes(arena, cells, keys))
    best = {"per_second": 0.0, "per_cpu_second": 0.0}
    for _ in range(3):
        began, began_cpu = time.perf_counter(), time.process_time()
        jax.block_until_ready(_episodes(arena, cells, keys))
        taken = time.perf_counter() - began, time.process_time() - began_cpu
        speeds = [num_envs * num_steps / each for each in taken]
        best = {name: max(best[name], speed) for name, speed in zip(best, speeds, strict=True)}
    return {"num_envs": num_envs, "num_steps": num_steps, **best}


if __name__ == "__main__":
    doc = (__doc__ or "").splitlines()[0]
    cli.main(
        "python experiments/botevade_parity.py",
        {
            "record": cli.Command(record, (Recording,), "Plays the package and writes its steps."),
            "compare": cli.Command(compare, (Comparison,), doc),
        },
    )
