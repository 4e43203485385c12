"""Goes on online with an offline run: `python -m rlp.finetune runs/NAME --num_steps=100000`.

Members begin with their actors, critics, optimizers and statistics as they are; half of each batch
is the data they have learned from.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rlp import cli
from rlp.commands.learn import finish, refuse_others
from rlp.config import NonNegativeFloat, Positive, PositiveFloat
from rlp.errors import InputError
from rlp.runs import Run
from rlp.training import online, online_start
from rlp.training.online_start import FineTuning, Handling

KIND = "fine-tuning"


@dataclass(frozen=True)
class Source:
    """The offline run."""

    run: str  # its directory


@dataclass(frozen=True)
class Plan(online.Plan):
    """The learning."""

    num_steps: Positive = 100_000  # environment steps of each member
    num_envs: Positive = 1  # environments of each member, stepped together
    updates_per_step: PositiveFloat = 1.0  # gradient updates an environment step
    num_random_steps: int = 0  # first steps of each member with random actions
    learning_starts: int = (
        5_000  # steps before the first update; at least those with random actions
    )
    exploration: NonNegativeFloat = 0.1  # of policies that do not sample: noise; share of choices


def finetune(given: cli.Given) -> Run:
    """Learns with the flags as typed, prints the result and returns the run."""
    handling, source = cli.parse(Handling, given), Path(cli.parse(Source, given).run)
    with ExitStack() as held:  # the lock of the run
        if handling.resume:
            refuse_others(given, ("run",))
            ready = online_start.go_on(Path(handling.resume), held, KIND)
            if Path(ready.run.record["settings"]["source"]) != source:
                raise InputError(f"{handling.resume} did not begin from {source}")
        else:
            values = cli.parse_values((FineTuning, Plan), given)
            plan = cli.parse(Plan, given)
            ready = online_start.begin_from(source, values, plan, held)
        return finish(ready, handling, f"python -m rlp.finetune {source}")


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    doc = "Goes on online with the members of an offline run, on its data and what they collect."
    flags = (Source, FineTuning, Plan, Handling)
    cli.main("python -m rlp.finetune", cli.Command(finetune, flags, doc), argv)


if __name__ == "__main__":
    main()
