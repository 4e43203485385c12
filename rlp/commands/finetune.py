"""Fine-tunes an offline run online: `python -m rlp.finetune runs/NAME --num_steps=100000`.

Members keep their actors, critics, optimizers and statistics. Half of each batch is the data that
they learned from.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rlp import cli
from rlp.commands.learn import finish, refuse_others
from rlp.errors import InputError
from rlp.runs import Run
from rlp.training import online_start
from rlp.training.guide import Guidance
from rlp.training.online_start import FineTuning, FineTuningPlan, Handling

KIND = "fine-tuning"


@dataclass(frozen=True)
class Source:
    """The offline run."""

    run: str  # its directory


def finetune(given: cli.Given) -> Run:
    """Learns with the given flags, prints the result and returns the run."""
    handling, source = cli.parse(Handling, given), Path(cli.parse(Source, given).run)
    with ExitStack() as held:  # the lock of the run
        if handling.resume:
            refuse_others(given, ("run",))
            ready = online_start.go_on(Path(handling.resume), held, KIND)
            if Path(ready.run.record["settings"]["source"]) != source:
                raise InputError(f"{handling.resume} did not begin from {source}")
        else:
            values = cli.parse_values((FineTuning, FineTuningPlan, Guidance), given)
            ready = online_start.begin_from(source, values, held)
        return finish(ready, handling, f"python -m rlp.finetune {source}")


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    doc = "Fine-tunes the members of an offline run online, on its data and what they collect."
    flags = (Source, FineTuning, FineTuningPlan, Guidance, Handling)
    cli.main("python -m rlp.finetune", cli.Command(finetune, flags, doc), argv)


if __name__ == "__main__":
    main()
