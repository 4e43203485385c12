"""Looks at the models that a run has learned: `python -m rlp.model info runs/NAME`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlp import cli, envs, runs
from rlp.algos import dynamics
from rlp.cli.tables import ScreenTable
from rlp.cli.terminal import Terminal, console
from rlp.data.dataset import Dataset, Normalizer, normalize, unnormalize
from rlp.data.episodes import EpisodeSet, fingerprint
from rlp.errors import InputError
from rlp.evaluation import logged, model_quality
from rlp.evaluation.model_quality import (
    HORIZONS,
    IN_DATA,
    LEVELS,
    OF_POLICY,
    RANDOM,
    SUMMED,
    Judged,
)
from rlp.pages.model_figures import draw
from rlp.runs import Run, provenance
from rlp.system import files
from rlp.training import restore
from rlp.training.start import data_of, mirrored, replay_arrays, settings_of
from rlp.types import model_of

ARRAYS = ("model", "linear", "persistence", "reward", "num_starts")  # of open loops, in records


@dataclass(frozen=True)
class Info:
    """The run."""

    run: str  # a folder, runs/NAME, of an algorithm that learns a model
    num_states: int = 300  # of the data, from which a simulator takes other actions; 0: none
    seed: int = 0  # of the random actions, and of what models draw
    quiet: bool = False  # print the result only


def info(given: cli.Given) -> None:
    """Judges the models of a run, and writes what is found into its folder."""
    settings = cli.parse(Info, given)
    run = runs.load(Path(settings.run))
    learned = model_of(run.algo)
    if learned is None:
        raise InputError(f"{run.directory}: {run.record['algo']} learns no model")
    saved, step = restore.load(run)
    of_run = settings_of(run)
    data_set = data_of(run, of_run).train
    dataset = replay_arrays(of_run, mirrored(of_run, data_set), saved.normalizer, None)
    with Terminal(settings.quiet) as terminal:
        terminal.say(f"{run.directory} at update {step:,}: {len(run.seeds)} members")
        follow = None
        if settings.num_states:
            follow = _simulator(run, data_set, saved.normalizer, terminal)
        actors = restore.policy_of(run, saved)
        action = logged.actions(run.algo, run.spec, actors, data_set, data_set.returns)
        found = []
        with terminal.bar("judging", len(run.seeds)) as move:
            for member, config in enumerate(run.configs):
                state = jax.tree.map(lambda leaf, i=member: leaf[i], saved.states)
                model = learned(config, state)
                found.append(_judge(settings, config, model, dataset, action[member], follow))
                move(member + 1)
        _show(found)
        record = {
            "step": step,
            "fingerprint": fingerprint(data_set),
            "members": {k: _as_json(each) for k, each in zip(run.labels, found, strict=True)},
            **provenance.environment(),
        }
        files.write_json(run.directory / "model.json", record)
        picture = run.directory / "model.png"
        with files.whole(picture) as file:
            file.write(draw(found))
        terminal.say(f"written to {run.directory / 'model.json'}, drawn to {picture}")


Follow = Callable[[np.ndarray, np.ndarray], np.ndarray | None]


def _simulator(
    run: Run, data_set: EpisodeSet, normalizer: Normalizer, terminal: Terminal
) -> Follow | None:
    """Returns what a simulator says follows an action [A] at an observation [O], both normalised.

    None if the run has several tasks, or its simulator cannot be set to a state.
    """
    name = run.record["env"]
    if not name or len(run.tasks) > 1:
        terminal.say("off the data nothing is judged: there is not one environment")
        return None
    env = envs.make(name, bounds=data_set.bounds)
    if not isinstance(env, envs.Simulator):
        terminal.say(f"off the data nothing is judged: {name} cannot be set to a state")
        return None

    def follow(observation: np.ndarray, action: np.ndarray) -> np.ndarray | None:
        raw = np.asarray(unnormalize(normalizer, jnp.asarray(observation)), np.float64)
        state = env.rebuild(raw + run.origin)
        if state is None:
            return None
        after = env.step_from(state, action).observation[0] - run.origin
        return np.asarray(normalize(normalizer, jnp.asarray(after, jnp.float32)))

    return follow


def _judge(
    settings: Info,
    config: Any,
    state: dynamics.State,
    dataset: Dataset,
    of_policy: np.ndarray,
    follow: Follow | None,
) -> Judged:
    open_loop = model_quality.open_loop(config, state, dataset)
    one_step = model_quality.one_step(config, state, dataset, settings.seed)
    errors = {IN_DATA: (one_step.error, one_step.disagreement)}
    if follow is not None:
        every = np.asarray(state.held_rows)
        rows = every[np.linspace(0, len(every) - 1, settings.num_states).astype(int)]
        observation = np.asarray(dataset.observation, np.float32)[rows]
        rng = np.random.default_rng(settings.seed)
        random = rng.uniform(-1, 1, (len(rows), dataset.action.shape[1])).astype(np.float32)
        model = dynamics.elite(config, state)
        for name, action in ((RANDOM, random), (OF_POLICY, of_policy[rows])):
            pair = model_quality.off_data(config, model, observation, action, follow)
            errors[name] = pair
    return Judged(open_loop, one_step, errors)


def _show(found: Sequence[Judged]) -> None:
    """Prints means over the members."""
    loops = [each.open_loop for each in found]
    table = ScreenTable(
        ("left alone for", "error", "9 of 10 below", "linear model", "nothing changes", "reward")
    )
    for number, horizon in enumerate(HORIZONS):
        values = [
            [
                np.median(each.model[number]),
                np.quantile(each.model[number], 0.9),
                np.median(each.linear[number]),
                np.median(each.persistence[number]),
                each.reward[number],
            ]
            for each in loops
        ]
        steps = f"{horizon} step{'s' if horizon > 1 else ''}"
        table.add_row(steps, *(f"{value:.3f}" for value in np.mean(values, axis=0)))
    console().print(table)
    coverage = np.mean([each.one_step.coverage for each in found], axis=0).mean(axis=1)  # [L]
    shares = [f"{level:.0%}: {share:.1%}" for level, share in zip(LEVELS, coverage, strict=True)]
    likelihood = np.mean([each.one_step.log_likelihood for each in found])
    correlation = np.mean([each.sum_correlation for each in loops])
    print(f"intervals of the next step cover  {', '.join(shares)}")
    print(f"log-likelihood of the next step   {likelihood:.3f} nats a number")
    print(f"correlation of sums of {SUMMED} rewards  {correlation:.2f}, predicted and true")
    for name in found[0].errors:
        rank = np.mean([each.rank_correlations[name] for each in found])
        size = np.mean([each.errors[name][0].mean() for each in found])
        print(f"{name:<22} error {size:.3f}, rank correlation with disagreement {rank:.2f}")


def _as_json(judged: Judged) -> Mapping[str, Any]:
    """Returns what is found of a member, as json has it."""
    loop, step = judged.open_loop, judged.one_step
    return {
        "horizons": list(HORIZONS),
        **{name: value.tolist() for name, value in loop._asdict().items() if name in ARRAYS},
        "sum_correlation": loop.sum_correlation,
        "levels": list(LEVELS),
        "coverage": step.coverage.tolist(),
        "log_likelihood": step.log_likelihood,
        "rank_correlations": judged.rank_correlations,
        "mean_errors": {name: float(pair[0].mean()) for name, pair in judged.errors.items()},
    }


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    doc = "Judges the models of a run on held-out episodes, and off the data."
    cli.main("python -m rlp.model", {"info": cli.Command(info, (Info,), doc)}, argv)


if __name__ == "__main__":
    main()
