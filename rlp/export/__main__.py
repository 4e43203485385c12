"""Writes a policy for use without rlp: `python -m rlp.export runs/NAME --out=policy`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rlp import algos, cli, runs
from rlp.config import Distinct
from rlp.export import folder
from rlp.training.restore import Which


@dataclass(frozen=True)
class Settings:
    """The policy and its new folder."""

    run: str  # the directory of a run
    out: str = "policy"  # a new folder
    member: str = "best"  # by the last evaluation; or a label, as seed=0, or a number from 0
    formats: Distinct[folder.Format] = folder.USUAL  # of its files
    checkpoint: Which = "last"  # or best: the member at its best, of a run that has --keep_best
    task: str = ""  # of a run of several: whose observations it takes (default: with a one-hot)
    algo: str = ""  # module of the run's algorithm, where it is your own


def export(given: cli.Given) -> None:
    """Writes the folder and prints what it has."""
    settings = cli.parse(Settings, given)
    if settings.algo:
        algos.load(settings.algo)
    run, out = runs.load(Path(settings.run)), Path(settings.out)
    folder.write(run, out, settings.member, settings.formats, settings.task, settings.checkpoint)
    files = sorted(path for path in out.rglob("*") if path.is_file())
    sizes = (f"{path.relative_to(out)} {path.stat().st_size / 1000:,.0f} kB" for path in files)
    print(f"{out}: {', '.join(sizes)}")


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    doc = "Writes the policy of one member of a run for use without rlp (docs/export.md)."
    cli.main("python -m rlp.export", cli.Command(export, (Settings,), doc), argv)


if __name__ == "__main__":
    main()
