"""Makes data sets with an existing policy: `python -m rlp.collect gym:Hopper-v4 --policy=FILE`.

For environments in JAX see `rlp.commands.demonstrate_jax`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import numpy as np

from rlp import cli, data, envs, runs
from rlp.cli.terminal import Terminal
from rlp.commands import demonstrate_jax
from rlp.config import NonNegativeFloat, Positive
from rlp.data import describe
from rlp.data.episodes import Episode, EpisodeSet, in_float32
from rlp.data.formats import packed
from rlp.envs import Bounds, Choices, VectorEnv
from rlp.errors import InputError
from rlp.evaluation.rollout import actor
from rlp.interop.policy_file import read_policy
from rlp.system.files import write_text
from rlp.training import restore

FIRST_SEED = 3_000_000  # of the initial states; differ from evaluation's and from SAC's data sets'
Act = Callable[[np.ndarray], np.ndarray]  # observations [N, O] to actions [N, A] in [-1, 1]


@dataclass(frozen=True)
class Flags:
    """An existing policy instead of a learner: plays --num_steps, written to one file --out."""

    policy: str = ""  # a file (.npz) or a run; several, joined by commas, take turns; in JAX RUN:.5
    temperature: NonNegativeFloat = 1.0  # 1: sampled actions, 0: the mode
    noise: NonNegativeFloat = 0.0  # standard deviation of action noise; if discrete, random share
    licence: str = ""  # of the policies, for the data card


@dataclass(frozen=True)
class Settings(Flags):
    """The data set: these flags, and others of the command that describe it."""

    num_steps: Positive = 300_000  # at least, in whole episodes
    num_envs: Positive = 8  # stepped together
    seed: int = 0  # of all random numbers
    out: str = ""  # the new file (default: data/ENV/POLICY.npz)
    quiet: bool = False  # print only the result


def demonstrate(env_name: str, given: cli.Given) -> None:
    """Plays the policies in the given flags, and writes the data set and its data card."""
    if other := sorted(given.keys() - {"env", *Settings.__dataclass_fields__}):
        flags = ", ".join(f"--{name}" for name in other)
        raise InputError(f"{flags}: of a learner; --policy=... has none")
    settings = cli.parse(Settings, given)
    in_jax = env_name.startswith((envs.JAX, envs.GYMNAX))
    mixture = demonstrate_jax.parts(settings.policy) if in_jax else []
    paths = [Path(part.name) for part in mixture] or [*map(Path, settings.policy.split(","))]
    out = _new_file(settings.out or f"data/{envs.plain_name(env_name)}/{_name(paths)}.npz")
    with Terminal(settings.quiet) as terminal:
        if in_jax:
            env = envs.make_jax(env_name, _bounds(paths))
            episodes, bounds = demonstrate_jax.play(
                env, env_name, mixture, settings.num_steps, settings.num_envs, settings.seed,
                settings.temperature, settings.noise,
            ), env.bounds  # fmt: skip
        else:
            episodes, bounds = _step(settings, paths, env_name, terminal)
        made = EpisodeSet(
            name=str(out),
            env=env_name,
            episodes=[in_float32(each) for each in episodes],
            metadata=_metadata(settings, settings.policy.split(",") if in_jax else _files(paths)),
            discrete=bounds is None,
            bounds=bounds,
        )
        out.parent.mkdir(parents=True, exist_ok=True)
        packed.write(out, made)
        written = replace(data.load(str(out)), name=f"{out.parent.name}/{out.stem}")
        write_text(out.with_suffix(".md"), describe.card(written))
        terminal.returns({str(out): written.returns}, env=env_name)


def _new_file(name: str) -> Path:
    """Returns the path of a new data set.

    Raises:
        InputError: if it does not end in .npz, or exists.
    """
    out = Path(name)
    if out.suffix != ".npz":
        raise InputError(f"{out}: must end in .npz")
    if out.exists():
        raise InputError(f"{out} exists: choose another --out, or remove that data set")
    return out


def _step(
    settings: Settings, paths: Sequence[Path], env_name: str, terminal: Terminal
) -> tuple[list[Episode], Bounds]:
    """Returns episodes of policies that share the simulators, and the bounds of the actions."""
    if settings.num_envs < len(paths):
        raise InputError(f"--num_envs={settings.num_envs}: fewer than there are policies")
    env = envs.make(env_name, settings.num_envs, _bounds(paths))
    if isinstance(env.action_space, Choices):
        raise InputError(f"{env_name}: its actions are discrete, which --policy plays only in JAX")
    acts = [_read(path, settings, env, env_name) for path in paths]
    with terminal.bar("playing", settings.num_steps) as show:
        return _play(acts, env, settings, show), env.action_space


def _name(paths: Sequence[Path]) -> str:
    return "+".join(path.stem for path in paths)


def _files(paths: Sequence[Path]) -> list[str]:
    return [path.name for path in paths]


def _bounds(paths: Sequence[Path]) -> Bounds | None:
    """Returns the action bounds of the runs among the policies, which must agree."""
    found = [runs.load(path).action_bounds for path in paths if path.is_dir()]
    known = [bounds for bounds in found if bounds]
    if any(not np.array_equal(bounds, known[0]) for bounds in known):
        raise InputError("--policy: the runs have different bounds of the actions")
    return known[0] if known else None


def _read(path: Path, settings: Settings, env: VectorEnv, env_name: str) -> Act:
    """Returns a function that acts like a policy: that of a file, or the best member of a run."""
    rng = np.random.default_rng([settings.seed, 1])
    if path.is_dir():
        return _of_run(path, settings, env, env_name)
    read = read_policy(path)
    envs.check_widths(env, env_name, *read.widths, str(path))
    return lambda observation: read(observation, rng, settings.temperature)


def _of_run(path: Path, settings: Settings, env: VectorEnv, env_name: str) -> Act:
    run = runs.load(path)
    if run.algo.policy.init_memory(run.configs[0], run.spec, np.float32(0)) != ():
        raise InputError(
            f"{path}: {run.record['algo']} has memory and cannot take turns with other policies"
        )
    envs.check_widths(env, env_name, run.spec.observation_dim, run.spec.action_dim, str(path))
    policy, _ = restore.load_policy(run)
    best = policy.members([run.best])
    keys = jax.random.split(jax.random.key(settings.seed), 1)
    act = actor(run.algo, run.spec, best, np.zeros(env.num_envs), keys, settings.temperature)
    return lambda observation: act(observation, np.zeros(len(observation)))


def _play(
    acts: Sequence[Act], env: VectorEnv, settings: Settings, show: Callable[[int], None]
) -> list[Episode]:
    """Returns whole episodes with `num_steps` steps or more: all that started before that number.

    Policies are assigned to environments in turn, so each gets the same number.
    """
    count, rng = env.num_envs, np.random.default_rng([settings.seed, 2])
    number = count  # of the next episode, which decides its initial state
    first = FIRST_SEED + settings.seed * 10_000_000
    observation = env.reset(range(first, first + count))
    running, steps = np.ones(count, bool), 0
    rows: list[list[tuple[np.ndarray, np.ndarray, float]]] = [[] for _ in range(count)]
    episodes = []
    while running.any():
        action = np.zeros((count, env.action_dim))
        for which, act in enumerate(acts):
            action[which :: len(acts)] = act(observation)[which :: len(acts)]
        if settings.noise:
            action = action + settings.noise * rng.standard_normal(action.shape)
        action = np.clip(action, -1, 1).astype(np.float32)
        outcome = env.step(action)
        steps += int(running.sum())
        ended = running & (outcome.terminated | outcome.truncated)
        for i in np.flatnonzero(running).tolist():
            rows[i].append((observation[i], action[i], float(outcome.reward[i])))
        for i in np.flatnonzero(ended).tolist():
            seen, taken, reward = (list(column) for column in zip(*rows[i], strict=True))
            episodes.append(
                Episode(
                    np.array([*seen, outcome.observation[i]]),
                    np.array(taken),
                    np.array(reward),
                    bool(outcome.terminated[i]),
                )
            )
            rows[i] = []
        observation = outcome.observation
        if steps < settings.num_steps and ended.any():
            which = np.flatnonzero(ended).tolist()
            observation = env.reset([first + number + i for i in range(len(which))], which)
            number += len(which)
        else:
            running = running & ~ended
        show(min(steps, settings.num_steps))
    return episodes


def _metadata(settings: Settings, policies: Sequence[str]) -> dict[str, str]:
    """Returns metadata about how the data was made."""
    how = (
        "sampled actions" if settings.temperature == 1 else f"temperature {settings.temperature:g}"
    )
    how = "mean actions" if settings.temperature == 0 else how
    noise = f", with noise of {settings.noise:g}" if settings.noise else ""
    names = " and ".join(policies)
    made = {"made": f"rlp.collect --policy: {how} of {names}{noise}, seed {settings.seed}"}
    return {**made, **({"licence": settings.licence} if settings.licence else {})}
