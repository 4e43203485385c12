"""Trains a population on logged data: `python -m rlp.train ALGORITHM [--flag=value ...]`."""

import sys
from collections.abc import Sequence
from typing import Any

from rlp import algos, cli, runs
from rlp.algos import ALGOS, presets
from rlp.cli.terminal import Terminal
from rlp.errors import InputError
from rlp.runs import Run
from rlp.system import devices
from rlp.training import experiment
from rlp.training.offline import Schedule
from rlp.training.start import Handling, Settings

OWN = "--algo="
BUILT_IN = tuple(ALGOS)


def values_of(
    algo_name: str,
    given: cli.Given,
    classes: Sequence[type] = (Settings, Schedule, Handling),
) -> dict[str, Any]:
    """Returns the settings given by flags, by name, each with its type."""
    own = cli.parse_sweep(ALGOS[algo_name].Config, given)
    return cli.parse_values(classes, given) | {
        name: values if len(values) > 1 else values[0] for name, values in own.items()
    }


def train(algo_name: str, given: cli.Given) -> Run:
    """Trains with the given flags, prints the result and returns the run.

    Raises:
        SystemExit: if a signal stopped it, or all members have diverged.
    """
    handling, values = cli.parse(Handling, given), values_of(algo_name, given)
    if handling.distributed:
        devices.join(handling.distributed)

    def terminal() -> Terminal:
        return Terminal(handling.quiet or not devices.is_first())

    run, ended = experiment.train(algo_name, values, terminal)
    diverged = run.diverged(ended.diverged)
    if ended.signal:
        word = algo_name if algo_name in BUILT_IN else OWN + algo_name
        again = f"python -m rlp.train {word} --resume={run.directory}"
        terminal().say(f"stopped; to go on: {again}{experiment.without(diverged)}")
        raise SystemExit(128 + ended.signal)
    if len(diverged) == len(run.seeds):
        raise SystemExit(f"error: no member is left, {runs.in_words(diverged)}")
    return run


def _doc(algo_name: str) -> str:
    """Returns a line about the algorithm, and its presets if there are several."""
    algo = ALGOS[algo_name]
    first, *_ = (algo.__doc__ or "").splitlines()
    known = presets(algo)
    if len(known) == 1:
        return first
    lines = [
        f"  {name:8} {experiment.flags(values) or 'as listed below'}"
        for name, values in known.items()
    ]
    return "\n".join([first, "", "Presets, the first unless --preset=NAME:", *lines])


def main(argv: Sequence[str] | None = None) -> None:
    """The command line; `--algo=MODULE` instead of a name loads your own algorithm."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0].startswith(OWN):
        try:
            words[0] = algos.load(words[0].removeprefix(OWN))
        except InputError as error:
            cli.fail(str(error))
    commands = {
        name: cli.Command(
            run=lambda given, name=name: train(name, given),
            flags=(Settings, Schedule, Handling, algo.Config),
            doc=_doc(name),
        )
        for name, algo in ALGOS.items()
    }
    cli.main("python -m rlp.train", commands, words)


if __name__ == "__main__":
    main()
