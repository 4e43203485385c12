"""Looks at data: `python -m rlp.data info walker-walk/medium`."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rlp import cli, data, envs
from rlp.cli.terminal import Terminal, console, spread
from rlp.config import Positive
from rlp.data import describe
from rlp.data import verify as replay
from rlp.data.episodes import Episode, EpisodeSet, fingerprint, whole_episodes
from rlp.data.formats import d4rl, exorl, minari, packed
from rlp.data.options import ReadOptions
from rlp.errors import DataWarning, InputError
from rlp.system.files import whole_folder, write_json, write_text

FILES = {"npz": (packed, ".npz"), "d4rl": (d4rl, ".hdf5")}
FOLDERS = {"minari": minari, "exorl": exorl}
OF_EPISODES = ("name", "returns", "fingerprint")  # metadata that depends on all episodes


@dataclass(frozen=True)
class Info:
    """The data."""

    dataset: str  # a bundled name, minari:NAME or a path; a+b joins


def info(given: cli.Given) -> None:
    """Prints the facts of a data set."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # the page shows all notes
        read = data.load(cli.parse(Info, given).dataset, cli.parse(ReadOptions, given))
    console().print(describe.page(read))


@dataclass(frozen=True)
class Convert:
    """The data and its new form."""

    dataset: str  # a bundled name, minari:NAME or a path; a+b joins
    out: str  # a new file (npz: NAME.npz, d4rl: NAME.hdf5) or folder (minari, exorl)
    to: Literal["npz", "d4rl", "minari", "exorl"] = "npz"  # format; npz gets a data card
    num_episodes: int = 0  # keep this many, evenly spaced among all; 0: all


def convert(given: cli.Given) -> None:
    """Writes a data set in another format, completely or not at all, and reads it back."""
    settings = cli.parse(Convert, given)
    form, out = settings.to, Path(settings.out)
    if form in FILES and out.suffix != FILES[form][1]:
        raise InputError(f"{out}: must end in {FILES[form][1]}")
    if form in FOLDERS:
        _check_folder(out)
    if out.exists():
        raise InputError(f"{out} exists: choose a new name")
    wanted = data.load(settings.dataset, cli.parse(ReadOptions, given))
    if form != "npz":
        wanted = whole_episodes(wanted, f"what --to={form} can keep")
    if wanted.discrete and form != "npz":
        raise InputError(f"{settings.dataset}: its actions are discrete, which only --to=npz keeps")
    if settings.num_episodes:
        wanted = _evenly_spaced(wanted, settings.num_episodes)
    if form in FILES:
        FILES[form][0].write(out, wanted)
    else:
        with whole_folder(out) as folder:
            FOLDERS[form].write(folder, wanted)
    written = replace(data.load(str(out)), name=f"{out.parent.name}/{out.stem}")
    if form == "npz":
        write_text(out.with_suffix(".md"), describe.card(written))
    same = fingerprint(written) == fingerprint(wanted)
    print(
        f"{out}: {len(written.episodes)} episodes, {written.lengths.sum():,} steps, "
        f"{'the same data' if same else 'NOT the same data'} when read again"
    )


@dataclass(frozen=True)
class Verify:
    """The data and its environment."""

    dataset: str  # a bundled name, minari:NAME or a path; a+b joins
    num_rows: Positive = 300  # steps to replay, evenly spaced


def verify(given: cli.Given) -> None:
    """Replays steps of a data set in the simulator; exit code 1 if one cannot be reproduced."""
    settings, options = cli.parse(Verify, given), cli.parse(ReadOptions, given)
    read = data.load(settings.dataset, options)
    name = read.env
    if not name:
        raise InputError(
            f"{settings.dataset} does not say which environment it is from: --env=NAME"
        )
    env = _environment(name, read)
    if not isinstance(env, envs.Simulator):
        raise InputError(f"{name}: its simulator cannot be set to a state")
    with Terminal(quiet=False) as terminal:
        physics = data.load_physics(settings.dataset, options)
        found = replay.verify(read, physics, env, settings.num_rows, terminal)
        states = "stored states" if physics else "states rebuilt from observations"
        terminal.say(
            f"{settings.dataset} in {name}: {found.num_rows} steps from {states}\n"
            f"next observations repeated: {found.observations:.1%}, worst error {found.worst:.2g}\n"
            f"rewards repeated: {_share(found.rewards)}"
        )
        terminal.say("it replays" if found.repeats else f"it does not replay: {found.cause}")
    if not found.repeats:
        raise SystemExit(1)


def _share(share: float | None) -> str:
    return "no row could be compared" if share is None else f"{share:.1%}"


@dataclass(frozen=True)
class Relabel:
    """The data and its new task."""

    dataset: str  # a bundled name, minari:NAME or a path; a+b joins
    out: str  # a new folder, in ExORL's layout
    env: str = "walker-run"  # the task whose rewards to compute


def relabel(given: cli.Given) -> None:
    """Writes a data set with the rewards that another task gives for its states.

    The states are stored, or rebuilt from the observations (possible for walker and cheetah).
    """
    from rlp.envs.dm_control import DmControl  # other commands do not need the simulator

    settings = cli.parse(Relabel, given)
    out = Path(settings.out)
    _check_folder(out)
    read = data.load(settings.dataset)
    env = _environment(settings.env, read)
    if not isinstance(env, DmControl):
        raise InputError(f"{settings.env}: its rewards are not a function of its states alone")
    physics = data.load_physics(settings.dataset)
    with Terminal(quiet=False) as terminal:
        with whole_folder(out) as folder, terminal.bar("relabelling", len(read.episodes)) as move:
            for number, episode in enumerate(read.episodes):
                stored = physics[number] if physics else None
                states = _rebuilt(env, episode) if stored is None else stored
                if states is None or len(states) == len(episode.action):
                    raise InputError(
                        f"{settings.dataset}: episode {number} has no state after every action, "
                        "neither stored nor rebuilt from observations: rewards are unknown"
                    )
                reward = np.array([env.reward_of(state) for state in states[1:]], np.float32)
                exorl.write_episode(folder, number, episode._replace(reward=reward), stored)
                move(number + 1)
            metadata = _without_old(read.metadata)
            metadata |= {"env": settings.env, "relabelled": f"from {read.env}"}
            write_json(folder / "metadata.json", metadata)
        returns = data.load(str(out)).returns
        terminal.say(f"{out}: {len(returns)} episodes, return {spread(returns)} in {settings.env}")


def _rebuilt(env: envs.Simulator, episode: Episode) -> list[np.ndarray] | None:
    """Returns an episode's states, rebuilt from its observations; None if one cannot be."""
    states = [env.rebuild(observation) for observation in episode.observation]
    known = [state for state in states if state is not None]
    return known if len(known) == len(states) else None


def _environment(name: str, read: EpisodeSet) -> envs.VectorEnv:
    """Returns the environment, checked to have observations and actions as wide as the data's."""
    env, first = envs.make(name, bounds=read.bounds), read.episodes[0]
    envs.check_widths(env, name, first.observation.shape[1], first.action.shape[1], read.name)
    return env


def _check_folder(out: Path) -> None:
    if out.suffix in {suffix for _, suffix in FILES.values()}:
        raise InputError(f"{out}: a folder will be made, but this is the name of a file")


def _evenly_spaced(data_set: EpisodeSet, count: int) -> EpisodeSet:
    every = len(data_set.episodes)
    if count > every:
        raise InputError(f"--num_episodes={count}: {data_set.name} has {every}")
    kept = np.linspace(0, every - 1, count).round().astype(int)
    metadata = _without_old(data_set.metadata)
    metadata["chosen"] = f"{count} of {every} episodes, evenly spaced"
    return replace(data_set, episodes=[data_set.episodes[i] for i in kept], metadata=metadata)


def _without_old(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Returns metadata without the entries that become wrong when episodes change."""
    return {k: v for k, v in metadata.items() if k not in OF_EPISODES}


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    commands = {
        "info": cli.Command(info, (Info, ReadOptions), "Prints the facts of a data set."),
        "verify": cli.Command(
            verify, (Verify, ReadOptions), "Replays steps in the simulator to verify the data."
        ),
        "relabel": cli.Command(relabel, (Relabel,), "Computes the rewards of another task."),
        "convert": cli.Command(
            convert, (Convert, ReadOptions), "Writes a data set in another format."
        ),
    }
    cli.main("python -m rlp.data", commands, argv)


if __name__ == "__main__":
    main()
