"""Regenerates OGBench's play data: a scripted oracle keeps moving cubes to new places.

The package has the oracles, but not the script `data_gen_scripts/generate_manipspace.py`
(seohongpark/ogbench) that runs them. Noise, episodes and how often cubes are stacked follow that
script. So does the file: it has no rewards, but the simulator's states, which give the rewards of
any task.
"""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rlp.envs import ogbench
from rlp.errors import InputError
from rlp.system.files import whole

STEPS = 1001  # per episode
STACKED = {  # lowest and highest share of an episode's targets that are on another cube
    "cube-single": (0.0, 0.0), "cube-double": (0.0, 0.25),
    "cube-triple": (0.05, 0.35), "cube-quadruple": (0.1, 0.5),
}  # fmt: skip


def write(
    path: Path,
    scene: str,
    num_episodes: int,
    seed: int = 0,
    on_step: Callable[[int], None] = lambda _: None,
) -> None:
    """Writes play data of a scene in OGBench's npz format.

    Args:
        path: of the new file, such as `cube-single-play-v0.npz`.
        scene: such as `cube-single`.
        num_episodes: number of episodes of 1,001 steps; 1,000 in the published data.
        seed: of all random numbers.
        on_step: called with the number of steps so far.

    Raises:
        InputError: if the scene has no cubes to move, or OGBench is not installed.
    """
    if scene not in STACKED:
        raise InputError(f"{scene}: play is made for {', '.join(STACKED)}")
    try:
        env, oracle = _make(scene)
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed (pip install {error.name})") from None
    rng = np.random.default_rng(seed)
    np.random.seed(seed)  # noqa: NPY002 - the oracle draws from it
    rows: dict[str, list[Any]] = defaultdict(list)
    for number in range(num_episodes):
        _play(env, oracle, rng, rows, number * STEPS, on_step)
    dtypes = {"terminals": bool}
    columns = {
        name: np.array(column, dtypes.get(name, np.float32)) for name, column in rows.items()
    }
    with whole(path) as file:
        np.savez_compressed(file, allow_pickle=False, **columns)


def _make(scene: str) -> tuple[Any, Any]:
    from ogbench.manipspace.oracles.plan.cube_plan import CubePlanOracle

    env = ogbench.make_own(
        f"{scene}-v0", terminate_at_goal=False, mode="data_collection", max_episode_steps=STEPS
    )
    return env, CubePlanOracle(env=env, noise=0.1, noise_smoothing=0.5)


def _play(
    env: Any,
    oracle: Any,
    rng: np.random.Generator,
    rows: dict[str, list[Any]],
    before: int,
    on_step: Callable[[int], None],
) -> None:
    """Plays one episode and adds its rows."""
    observation, info = env.reset(seed=int(rng.integers(2**31)))
    oracle.reset(observation, info)
    share = rng.uniform(*STACKED[env.spec.id.removesuffix("-v0")])
    for step in range(1, STEPS + 1):
        action = np.clip(oracle.select_action(observation, info), -1, 1)
        following, _, _, is_last, info = env.step(action)
        row = {
            "observations": observation, "actions": action, "terminals": is_last,
            "qpos": info["prev_qpos"], "qvel": info["prev_qvel"],
        }  # fmt: skip
        for name, value in row.items():
            rows[name].append(value)
        if oracle.done:
            oracle.reset(*env.unwrapped.set_new_target(p_stack=share))
        observation = following
        on_step(before + step)
