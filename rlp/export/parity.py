"""Measures how exact and how fast exported policies are: `python -m rlp.export.parity`.

The error is the largest difference between an action and that of `rlp.load_policy`'s agent, in the
environment's units, over a few steps of parallel episodes. Discrete actions are compared by number.
"""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import chex
import jax
import jax.export
import numpy as np

from rlp.algos import ALGOS
from rlp.algos.heads import CATEGORICAL
from rlp.data.dataset import Normalizer
from rlp.envs import Bounds
from rlp.errors import InputError
from rlp.evaluation.agent import Agent
from rlp.evaluation.policy import Policy
from rlp.export import folder, functions, policy
from rlp.export.functions import Member
from rlp.types import UNKNOWN, Algo, Space, Spec, vectors

NUM_STEPS = 3  # per episode
TARGET_RETURN = 5.0
BATCHES = (1, 64)
SPEC = vectors(observation_dim=24, action_dim=6, max_episode_steps=1000)  # the walker's
SIZES = {"hidden_dims": (256, 256)}  # otherwise the algorithms' defaults


def random_member(algo: Algo, config: Any, spec: Spec) -> Member:
    """Returns a policy with random weights and normaliser, and arbitrary bounds."""
    rng = np.random.default_rng(0)
    params = algo.actor(config, algo.init(config, jax.random.key(0), spec, UNKNOWN))
    params = jax.tree.map(
        lambda leaf: leaf + rng.normal(scale=0.02, size=leaf.shape).astype(np.float32), params
    )
    mean, std = rng.normal(size=spec.observation_dim), rng.uniform(0.5, 2, spec.observation_dim)
    normalizer = Normalizer(*(jax.numpy.float32(each) for each in (mean, std)))
    bounds = Bounds(-np.arange(1.0, spec.action_dim + 1), np.full(spec.action_dim, 2.0))
    is_discrete = spec.action.kind == "discrete"
    return Member(algo, spec, Policy(config, params, normalizer), None if is_discrete else bounds)


class Played(NamedTuple):
    """Steps of N parallel episodes."""

    observation: np.ndarray  # [T, N, O]
    reward: np.ndarray  # [T, N]
    action: np.ndarray  # [T, N, A], or [T, N] if discrete
    remembers: bool  # whether the policy has memory


def exported(form: folder.Format, path: Path, name: str) -> Callable[..., Sequence[Any]]:
    """Returns the function `act` or `start` of a folder, from arrays to arrays."""
    if form == "numpy":
        return policy.read_program(path, name)
    if form == "stablehlo":
        stored = bytearray((path / f"{name}.stablehlo").read_bytes())
        call: Any = jax.export.deserialize(stored).call
        return call
    import onnxruntime  # pyright: ignore[reportMissingImports] - an extra

    session = onnxruntime.InferenceSession(path / f"{name}.onnx")
    names = [each.name for each in session.get_inputs()]
    return lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))


def play(member: Member, batch: int) -> Played:
    """Returns the first steps of parallel episodes in which the agent acts."""
    rng = np.random.default_rng(0)
    shape = (NUM_STEPS, batch, member.observation_dim)
    observation = rng.normal(size=shape).astype(np.float32)
    reward = rng.uniform(size=shape[:2]).astype(np.float32)
    config, params = jax.tree.map(lambda leaf: np.asarray(leaf)[None], member.policy[:2])
    one = member.policy._replace(config=config, params=params)
    agent = Agent(member.algo, member.spec, one, [0], TARGET_RETURN, member.bounds)
    action = [agent(*step) for step in zip(observation, reward, strict=True)]
    return Played(observation, reward, np.stack(action), functions.start(member) is not None)


def error(played: Played, form: folder.Format, path: Path) -> float:
    """Returns the largest difference between an action and the agent's.

    Args:
        played: the agent's steps.
        form: the format.
        path: the folder.
    """
    act, memory, worst = exported(form, path, "act"), [], 0.0
    if played.remembers:
        memory = _start(form, path, played.observation.shape[1])
    for observation, reward, wanted in zip(*played[:3], strict=True):
        action, *memory = act(observation, *([reward, *memory] if played.remembers else []))
        chex.assert_equal_shape([action, wanted])
        worst = max(worst, float(np.abs(action - wanted).max()))
    return worst


def _start(form: folder.Format, path: Path, batch: int) -> list[Any]:
    return list(exported(form, path, "start")(np.full(batch, TARGET_RETURN, np.float32)))


def microseconds(member: Member, form: folder.Format, path: Path) -> float:
    """Returns the time of one action in a batch of 1: the lowest of 100 means over 20 calls."""
    observation = np.zeros((1, member.observation_dim), np.float32)
    rest: list[Any] = []
    if functions.start(member):
        rest = [np.zeros(1, np.float32), *_start(form, path, 1)]
    act, times = exported(form, path, "act"), []
    for _ in range(100):
        begin = time.perf_counter()
        for _ in range(20):
            jax.block_until_ready(act(observation, *rest))
        times.append((time.perf_counter() - begin) / 20)
    return 1e6 * min(times)


def cases(sizes: Mapping[str, Any], spec: Spec) -> Iterator[tuple[str, Algo, Any, Spec]]:
    """Yields every algorithm with its name, setting and problem, for each kind of actions.

    Args:
        sizes: values of hyperparameters; each algorithm uses those that it has.
        spec: of the continuous problem.
    """
    discrete = spec._replace(action=Space(spec.action.shape, num_choices=spec.action_dim))
    for name, algo in ALGOS.items():
        known = {field.name for field in dataclasses.fields(algo.Config)}
        values = {key: value for key, value in sizes.items() if key in known}
        if "continuous" in algo.SUPPORTS:
            yield name, algo, algo.Config(**values), spec
        if "discrete" in algo.SUPPORTS:
            head = {"head": CATEGORICAL} if "head" in known else {}
            yield f"{name}, discrete", algo, algo.Config(**values, **head), discrete


def rows() -> Iterator[str]:
    """Yields the lines of a table: an algorithm's errors and time in each format.

    Algorithms that plan are left out: they export only as StableHLO, and are slow.
    """
    forms: list[folder.Format] = ["numpy", "stablehlo", "onnx"]
    yield "| | " + " | ".join(f"{form}: batch 1 | batch 64 | time" for form in forms) + " |"
    yield "| --- |" + " --- | --- | --- |" * len(forms)
    for name, algo, config, spec in cases(SIZES, SPEC):
        member, cells = random_member(algo, config, spec), []
        with tempfile.TemporaryDirectory() as made:
            try:
                folder.WRITERS["numpy"](Path(made), member)
            except InputError:
                continue
            for form in forms[1:]:
                folder.WRITERS[form](Path(made), member)
            played = [play(member, batch) for batch in BATCHES]
            for form in forms:
                cells += [f"{error(each, form, Path(made)):.0e}" for each in played]
                cells.append(f"{microseconds(member, form, Path(made)):.0f} µs")
        yield f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    for row in rows():
        print(row, flush=True)
