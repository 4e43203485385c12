"""Learns in an environment: `python -m rlp.learn sac walker-walk [--flag=value ...]`.

With `--dataset` half of each batch is logged data, as in RLPD (2302.02948).
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rlp import cli, runs
from rlp.algos import ALGOS
from rlp.cli.terminal import Terminal
from rlp.commands.train import values_of
from rlp.errors import InputError
from rlp.runs import Run
from rlp.training import experiment, online_start
from rlp.training.guide import Guidance
from rlp.training.online_start import Handling, Ready, Settings
from rlp.training.plan import Plan, Watch

KIND = "learning"


@dataclass(frozen=True)
class Where:
    """The environment."""

    env: str  # such as walker-walk or gym:Hopper-v4


def learn(algo_name: str, given: cli.Given) -> Run:
    """Learns with the given flags, prints the result and returns the run.

    Raises:
        SystemExit: if a signal stopped it, or all members have diverged.
    """
    handling, env_name = cli.parse(Handling, given), cli.parse(Where, given).env
    again = f"python -m rlp.learn {algo_name} {env_name}"
    with ExitStack() as held:  # the lock of the run
        if handling.resume:
            refuse_others(given, ("env",))
            ready = online_start.go_on(Path(handling.resume), held, KIND)
            if (ready.run.record["algo"], ready.run.record["env"]) != (algo_name, env_name):
                raise InputError(f"{handling.resume} is not a run of {algo_name} in {env_name}")
        else:
            values = values_of(algo_name, given, (Settings, Plan, Guidance))
            ready = online_start.begin(algo_name, env_name, values, held)
        return finish(ready, handling, again)


def finish(ready: Ready, handling: Handling, again: str, watch: Watch | None = None) -> Run:
    """Learns to the end of a plan and returns the run.

    Args:
        ready: a run and what its loop needs.
        handling: of the run.
        again: the command that resumes it, without `--resume`.
        watch: hooks that are called during learning.

    Raises:
        SystemExit: if a signal stopped it, or all members have diverged.
    """

    def terminal() -> Terminal:
        return Terminal(handling.quiet)

    ended = experiment.learn(ready, terminal, watch)
    run = ready.run
    diverged = run.diverged(ended.diverged)
    if ended.signal:
        terminal().say(f"stopped; to go on: {again} --resume={run.directory}")
        raise SystemExit(128 + ended.signal)
    if len(diverged) == len(run.seeds):
        raise SystemExit(f"error: no member is left, {runs.in_words(diverged)}")
    return run


def refuse_others(given: cli.Given, words: Sequence[str]) -> None:
    """Checks that no flag would change a resumed run.

    Raises:
        InputError: if one would.
    """
    if other := sorted(given.keys() - {*words, "resume", "quiet"}):
        flags = ", ".join(f"--{name}" for name in other)
        raise InputError(f"{flags}: a run goes on as it began")


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    commands = {
        name: cli.Command(
            run=lambda given, name=name: learn(name, given),
            flags=(Where, Settings, Plan, Guidance, Handling, algo.Config),
            doc=(algo.__doc__ or "").splitlines()[0],
        )
        for name, algo in ALGOS.items()
    }
    cli.main("python -m rlp.learn", commands, argv)


if __name__ == "__main__":
    main()
