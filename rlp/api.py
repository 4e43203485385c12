"""rlp from Python: data in, a run, a policy out. The commands do the same from flags.

    import rlp

    data = rlp.load_data("walker-walk/medium")
    run = rlp.train("iql", data, seeds=4, expectile=[0.7, 0.9], num_updates=20_000)
    policy = rlp.load_policy(run.directory, member="best")
    action = policy(observation)

Settings have the names of the flags that `python -m rlp.train iql --help` explains.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from rlp import algos, runs
from rlp import data as datasets
from rlp.algos import ALGOS
from rlp.cli.terminal import Silent, Terminal
from rlp.config import float_names
from rlp.data.episodes import EpisodeSet
from rlp.data.options import ReadOptions
from rlp.errors import InputError, nearest
from rlp.evaluation.agent import Agent
from rlp.export import folder
from rlp.export.folder import Format
from rlp.pages import comparison
from rlp.pages.comparison import Comparison
from rlp.runs import Run, records
from rlp.training import experiment, online_start, restore
from rlp.training.guide import Guidance
from rlp.training.offline import Ended, OnLog, Schedule, no_log
from rlp.training.plan import Plan
from rlp.training.restore import Which
from rlp.training.start import Handling, Settings
from rlp.types import NEVER, Algo

OF_COMMANDS = ("num_seeds", "resume", "distributed", "quiet")  # arguments here


def load_data(name_or_path: str | Path, **options: Any) -> EpisodeSet:
    """Returns a data set: a bundled name, `minari:NAME` or a path; `a+b` joins.

    What had to be assumed, cut or left out is warned of (`rlp.DataWarning`), and is in its `notes`.

    Args:
        name_or_path: of the data.
        **options: what the data does not say itself, by the names of the fields of `ReadOptions`.

    Raises:
        InputError: if there is no such data set, it cannot be read, or there is no such option.
    """
    return datasets.load(str(name_or_path), ReadOptions(**_checked(options, (ReadOptions,))))


def train(
    algo: Algo | str,
    data: EpisodeSet | str | Path = "walker-walk/medium",
    *,
    seeds: int = 1,
    progress: bool = True,
    on_log: OnLog = no_log,
    **settings: Any,
) -> Run:
    """Trains a population and returns its run, whose folder has checkpoints, metrics and a report.

    Args:
        algo: the name of an algorithm, as `iql`, or a module of your own (`rlp.types.Algo`).
        data: a data set, or the name or path of one.
        seeds: members of each setting; the first seed is `seed`, or 0.
        progress: whether to show it; else warnings are Python's (`rlp.RunWarning`).
        on_log: called at every log point with the update and the metrics [M] by name.
        **settings: by the names of the flags; of a hyperparameter that is a number with a point, a
            list of several are members of the same program.

    Raises:
        InputError: if there is no such algorithm or setting, or what is asked for cannot be.
        KeyboardInterrupt: if it was interrupted: `resume` goes on.
        FloatingPointError: if no member is left.
    """
    _check_callback(on_log)
    name = algo if isinstance(algo, str) else algos.register(algo)
    if "dataset" in settings:
        raise InputError("dataset: is the argument `data` here")
    values = _values(name, settings) | {"num_seeds": _count("seeds", seeds)}
    if not isinstance(data, EpisodeSet | str | Path):
        raise InputError(
            f"data: neither a data set nor a path but {type(data).__name__}; rlp.from_arrays makes "
            "one of columns"
        )
    if not isinstance(data, EpisodeSet):
        return _train(name, values | {"dataset": str(data)}, None, progress, on_log)
    for each in fields(ReadOptions):
        if each.name in settings:
            raise InputError(
                f"{each.name}: says how data is read, and this was read already; give it where "
                "you load or make the data"
            )
    return _train(name, values, data, progress, on_log)


def learn(
    algo: Algo | str, env: str, *, seeds: int = 1, progress: bool = True, **settings: Any
) -> Run:
    """Learns online, in an environment, and returns the run.

    Args:
        algo: the name of an algorithm, as `sac`, or a module of your own.
        env: the environment, as `walker-walk` or `gym:Hopper-v4`.
        seeds: members of each setting.
        progress: as in `train`.
        **settings: by the names of the flags of `python -m rlp.learn`.

    Raises:
        InputError: if there is no such algorithm, environment or setting, or they do not fit.
        KeyboardInterrupt: if it was interrupted: `resume` goes on.
        FloatingPointError: if no member is left.
    """
    name = algo if isinstance(algo, str) else algos.register(algo)
    classes = (online_start.Settings, Plan, Guidance)
    values = _values(name, settings, classes) | {"num_seeds": _count("seeds", seeds)}
    with ExitStack() as held:
        return _learn(online_start.begin(name, env, values, held), progress)


def finetune(
    directory: str | Path, *, algo: Algo | None = None, progress: bool = True, **settings: Any
) -> Run:
    """Goes on online with the members of an offline run, and returns the new run.

    Args:
        directory: of the offline run.
        algo: the module of its algorithm, where it is your own.
        progress: as in `train`.
        **settings: by the names of the flags of `python -m rlp.finetune`.

    Raises:
        InputError: if there is no such run or setting, or its environment does not fit.
        KeyboardInterrupt: if it was interrupted: `resume` goes on.
        FloatingPointError: if no member is left.
    """
    source = _load(directory, algo).directory
    classes = (online_start.FineTuning, online_start.FineTuningPlan, Guidance)
    values = _checked(settings, classes)
    with ExitStack() as held:
        return _learn(online_start.begin_from(source, values, held), progress)


def resume(
    directory: str | Path,
    data: EpisodeSet | None = None,
    *,
    algo: Algo | None = None,
    progress: bool = True,
    on_log: OnLog = no_log,
    **settings: Any,
) -> Run:
    """Goes on with a run, exactly: it ends as if it had never been interrupted.

    Args:
        directory: of the run.
        data: that it learned from; None: it is read again.
        algo: the module of its algorithm, where it is your own.
        progress: as in `train`.
        on_log: as in `train`.
        **settings: what may differ: `dataset`, where the data has moved; with `extend=True` another
            `num_updates`.

    Raises:
        InputError: if there is no run, its data is not the same, or settings would change it.
        KeyboardInterrupt: if it was interrupted.
        FloatingPointError: if no member is left.
    """
    if data is not None and not isinstance(data, EpisodeSet):
        raise InputError(f"data: not a data set but {type(data).__name__}; dataset=PATH names one")
    _check_callback(on_log)
    record = _load(directory, algo).record
    if "plan" in record:
        if settings or data is not None:
            raise InputError(f"{directory}: what learns online goes on as it began")
        with ExitStack() as held:
            return _learn(online_start.go_on(Path(directory), held), progress)
    name = str(record["algo"])
    values = _values(name, settings) | {"resume": str(directory)}
    return _train(name, values, data, progress, on_log)


def compare(
    *runs: str | Path | Run, out: str | Path | None = None, algo: Algo | None = None
) -> Comparison:
    """Returns runs side by side: what they have earned, best first, and what can be told apart.

    Args:
        *runs: runs, their folders, records of a study, or folders with either.
        out: a new folder for the page, csv and pictures; None: nothing is written.
        algo: the module of the runs' algorithm, where it is your own.

    Raises:
        InputError: if there are none, one is damaged, or there is something at `out`.
    """
    if algo:
        algos.register(algo)
    paths = [run.directory if isinstance(run, Run) else Path(run) for run in runs]
    found = comparison.compare(paths)
    if out is not None:
        comparison.write(found, Path(out))
    return found


def _train(
    algo: str, values: Mapping[str, Any], data: EpisodeSet | None, progress: bool, on_log: OnLog
) -> Run:
    run, ended = experiment.train(algo, values, lambda: _terminal(progress), data, on_log)
    return _ended(run, ended)


def _learn(ready: online_start.Ready, progress: bool) -> Run:
    return _ended(ready.run, experiment.learn(ready, lambda: _terminal(progress)))


def _terminal(progress: bool) -> Terminal:
    return Terminal(quiet=False) if progress else Silent()


def _ended(run: Run, ended: Ended) -> Run:
    if ended.signal:
        raise KeyboardInterrupt(f"{run.directory} was stopped; rlp.resume goes on with it")
    if NEVER not in ended.diverged:
        raise FloatingPointError(runs.in_words(run.diverged(ended.diverged)))
    return run


def _check_callback(on_log: Any) -> None:
    if not callable(on_log):
        raise InputError(f"on_log: not a function but {type(on_log).__name__}")


def _load(directory: str | Path, algo: Algo | None) -> Run:
    """Returns the run in a directory, of the algorithm that is given.

    Raises:
        InputError: if there is none, or it is of another algorithm.
    """
    if not isinstance(directory, str | Path):
        raise InputError(f"directory: not a path but {type(directory).__name__}")
    if isinstance(algo, str):
        raise InputError(f"algo={algo}: give the module itself, of an algorithm of your own")
    name = algos.register(algo) if algo else ""
    run = runs.load(Path(directory))
    if name and run.record["algo"] != name and run.algo is not algo:
        raise InputError(f"{directory} is a run of {run.record['algo']}, not of {name}")
    return run


def load_policy(
    directory: str | Path,
    member: str = "best",
    algo: Algo | None = None,
    checkpoint: Which = "last",
) -> Agent:
    """Returns the policy of a run's last checkpoint, or of the best.

    Args:
        directory: of the run.
        member: `best` by the mean return of the last evaluation, or what the run has as `rank_by`;
            a label, as `seed=0`; or `all`.
        algo: the module of its algorithm, where it is your own.
        checkpoint: `last`; or `best`, each member at its best, where the run has `keep_best`: of
            them the `best` member is the one that was best of all.

    Raises:
        InputError: if there is no run or checkpoint, or no such member, or none was evaluated.
    """
    run = _load(directory, algo)
    chosen = restore.choose(run, records.read(Which, checkpoint, "checkpoint"))
    policy, members = restore.policy_of(run, chosen.saved), chosen.numbers(run, member)
    return Agent(run.algo, run.spec, policy, members, run.target_returns[0], run.units)


def export_policy(
    directory: str | Path,
    out: str | Path,
    member: str = "best",
    formats: Sequence[Format] = folder.USUAL,
    task: str = "",
    algo: Algo | None = None,
    checkpoint: Which = "last",
) -> Path:
    """Writes the policy of one member for use without rlp, and returns the new folder.

    Args:
        directory: of the run.
        out: the folder, which must not be there.
        member: as in `load_policy`, but one.
        formats: `numpy`, `stablehlo`, `onnx` and `safetensors` (docs/export.md).
        task: of a run of several, the one whose observations the policy is to take as they are.
        algo: the module of its algorithm, where it is your own.
        checkpoint: as in `load_policy`.

    Raises:
        InputError: if there is no run or member, or a format does not have the policy.
    """
    which = records.read(Which, checkpoint, "checkpoint")
    return folder.write(_load(directory, algo), Path(out), member, formats, task, which)


def _values(
    algo: str,
    settings: Mapping[str, Any],
    classes: Sequence[type] = (Settings, Schedule, Handling),
) -> dict[str, Any]:
    """Returns the settings, each checked."""
    if algo not in ALGOS:
        raise InputError(f"no algorithm {algo}{nearest(algo, ALGOS)}; there is {', '.join(ALGOS)}")
    for name in OF_COMMANDS:
        if name in settings:
            raise InputError(f"{name}: is no setting in Python, but an argument, or of commands")
    return _checked(settings, (*classes, ALGOS[algo].Config))


def _checked(settings: Mapping[str, Any], classes: Sequence[type]) -> dict[str, Any]:
    """Returns values by name, each as the field of one of the dataclasses wants it.

    Raises:
        InputError: if there is no such field, or a value is something else.
    """
    kinds = {k: v for cls in classes for k, v in get_type_hints(cls, include_extras=True).items()}
    swept = {name for cls in classes if cls.__name__ == "Config" for name in float_names(cls)}
    checked = {}
    for name, value in settings.items():
        if name not in kinds:
            raise InputError(f"no setting {name}{nearest(name, kinds)}")
        plain = _plain(value)
        if name in swept and isinstance(plain, list):
            found = [records.read(kinds[name], each, name) for each in plain]
            if not found or len(set(map(np.float32, found))) < len(found):
                raise InputError(f"{name}={value}: must be different values, one or several")
            checked[name] = found if len(found) > 1 else found[0]
        else:
            checked[name] = records.read(kinds[name], plain, name)
    return checked


def _plain(value: Any) -> Any:
    """Returns numpy's numbers and arrays, tuples and paths as json has them."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def _count(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{name}={value}: must be a whole number, at least 1")
    return value
