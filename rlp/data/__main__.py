"""Looks at data: `python -m rlp.data info walker-walk/medium`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from rlp import cli, data
from rlp.data import describe
from rlp.data.episodes import EpisodeSet
from rlp.data.formats import packed
from rlp.errors import InputError
from rlp.files import write_text


@dataclass(frozen=True)
class Info:
    """The data."""

    dataset: str  # a bundled name or a path; a+b joins data sets


def info(given: cli.Given) -> None:
    """Prints what there is to know of a data set."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(describe.page(data.load(cli.parse(Info, given).dataset)))


@dataclass(frozen=True)
class Pack:
    """The data and its file."""

    dataset: str  # a bundled name or a path; a+b joins data sets
    out: str  # the file, NAME.npz; its data card is NAME.md
    num_episodes: int = 0  # keep this many, evenly spaced among all; 0: all


def pack(given: cli.Given) -> None:
    """Writes a data set as one file, with its data card."""
    settings = cli.parse(Pack, given)
    out = Path(settings.out)
    if out.suffix != ".npz":
        raise InputError(f"{out}: must end in .npz")
    whole = data.load(settings.dataset)
    if settings.num_episodes:
        whole = _evenly_spaced(whole, settings.num_episodes)
    out.parent.mkdir(parents=True, exist_ok=True)
    packed.write(out, whole)
    written = replace(data.load(str(out)), name=f"{out.parent.name}/{out.stem}")
    write_text(out.with_suffix(".md"), describe.card(written))
    print(f"{out}: {len(written.episodes)} episodes, {out.stat().st_size / 1e6:.1f} MB")


def _evenly_spaced(data_set: EpisodeSet, count: int) -> EpisodeSet:
    every = len(data_set.episodes)
    if count > every:
        raise InputError(f"--num_episodes={count}: {data_set.name} has {every}")
    kept = np.linspace(0, every - 1, count).round().astype(int)
    stale = ("name", "returns", "fingerprint")  # said of the whole
    metadata = {k: v for k, v in data_set.metadata.items() if k not in stale}
    metadata["chosen"] = f"{count} of {every} episodes, evenly spaced"
    return replace(data_set, episodes=[data_set.episodes[i] for i in kept], metadata=metadata)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    commands = {
        "info": cli.Command(info, (Info,), "Prints what there is to know of a data set."),
        "pack": cli.Command(pack, (Pack,), "Writes a data set as one .npz file, with a data card."),
    }
    cli.main("python -m rlp.data", commands, argv)


if __name__ == "__main__":
    main()
