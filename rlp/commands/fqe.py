"""What policies would earn, from logged data: `python -m rlp.evaluate runs/A runs/B --fqe`."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy

from rlp import data, runs
from rlp.algos.fqe import Config
from rlp.cli.tables import ScreenTable
from rlp.cli.terminal import COMPILING, Terminal, console
from rlp.config import Discount, Positive
from rlp.data.episodes import EpisodeSet, fingerprint
from rlp.data.options import AS_STORED
from rlp.errors import InputError
from rlp.evaluation import logged
from rlp.runs import Run, provenance
from rlp.statistics import interval, mean
from rlp.system import devices, files
from rlp.training import fitted_q, restore
from rlp.training.restore import Which
from rlp.training.start import settings_of, spec_of
from rlp.types import NEVER


@dataclass(frozen=True)
class Flags:
    """Without a simulator: fitted Q evaluation in logged data."""

    fqe: bool = False  # estimate what the policies of all runs would earn, all at once
    dataset: str = ""  # logged data (default: what the first run learned from)
    num_updates: Positive = 20_000  # gradient updates of each policy's critics
    discount: Discount = 0.99  # of the rewards to come


class Estimates(NamedTuple):
    """What policies would earn, and what they have earned where that is known."""

    names: list[str]  # of M policies
    values: np.ndarray  # [M, E], discounted, from the first state of each episode; NaN: diverged
    returns: np.ndarray  # [M], of the last evaluation, NaN where there was none

    @property
    def both(self) -> np.ndarray:
        """Of which policies both are known, [M] bool."""
        return ~np.isnan(self.returns) & ~np.isnan(self.values).any(axis=1)

    @property
    def rank_correlation(self) -> float:
        """Spearman's, of values and returns."""
        means = self.values.mean(axis=1)
        return float(scipy.stats.spearmanr(means[self.both], self.returns[self.both]).statistic)

    @property
    def regret(self) -> float:
        """The best return less that of the policy with the highest value."""
        means, returns = self.values.mean(axis=1)[self.both], self.returns[self.both]
        return float(returns.max() - returns[np.argmax(means)])


def estimate(
    found: Sequence[Run], flags: Flags, seed: int, terminal: Terminal, which: Which = "last"
) -> Estimates:
    """Returns the estimates of all members of the runs, and writes them to their fqe.json.

    Args:
        found: the runs.
        flags: how they are estimated.
        seed: of all critics.
        terminal: shows how it goes.
        which: of their checkpoints.

    Raises:
        InputError: if there is no data, or a run has other observations or actions.
    """
    settings = settings_of(found[0])
    how_read = AS_STORED if flags.dataset else settings
    data_set = data.load(flags.dataset or settings.dataset, how_read)
    if not data_set.has_rewards:
        raise InputError(f"{data_set.name}: it has no rewards, so nothing can be estimated from it")
    for run in found:
        _check_widths(run, data_set)
    num_members = sum(len(run.seeds) for run in found)
    devices.split_cpu(num_members, data_set.num_bytes, batch_devices=1)
    config = Config(num_updates=flags.num_updates, discount=flags.discount)
    with terminal:
        terminal.say(
            f"fitted Q evaluation of {num_members} policies in {data_set.name}: "
            f"{len(data_set.episodes)} episodes, {data_set.lengths.sum():,} steps"
        )
        with terminal.bar("acting in the data", len(found)) as move:
            acting = _acting(found, data_set, which, terminal, move)
            actions, are_left = zip(*acting, strict=True)
        terminal.log(COMPILING)
        with terminal.bar("estimating", flags.num_updates, COMPILING) as move:
            show = _progress(terminal, move, flags.num_updates, num_members)
            values = fitted_q.values(data_set, np.concatenate(actions), config, seed, show)
    values[~np.concatenate(are_left)] = np.nan
    how = {
        "dataset": data_set.name, "fingerprint": fingerprint(data_set), "seed": seed,
        "num_updates": flags.num_updates, "discount": flags.discount, "checkpoint": which,
    }  # fmt: skip
    ends = np.cumsum([len(run.seeds) for run in found])[:-1]
    for run, of_run in zip(found, np.split(values, ends), strict=True):
        by_member = dict(zip(run.labels, map(runs.to_json, of_run), strict=True))
        record = {**how, "values": by_member, **provenance.environment()}
        files.write_json(run.directory / "fqe.json", record)
    names = [f"{run.directory} {label}" for run in found for label in run.labels]
    returns = np.concatenate([run.returns for run in found])
    return Estimates(names, values, returns if which == "last" else np.full_like(returns, np.nan))


def _progress(
    terminal: Terminal, move: Callable[..., None], num_updates: int, num_policies: int
) -> Callable[[int], None]:
    """Returns what shows how many updates there were: on the bar, or in lines where there is none.

    Of lines there is one for each twentieth of the updates at most.
    """
    began, each, said = time.perf_counter(), num_updates / 20, 0

    def show(step: int) -> None:
        nonlocal said
        speed = step * num_policies / (time.perf_counter() - began)
        note = f"{speed:>7,.0f} updates/s{' in all' if num_policies > 1 else ''}"
        move(step, note)
        if step - said >= each or step == num_updates:
            said = step
            terminal.log(f"update {step:>9,}  {note}")

    return show


def _check_widths(run: Run, data_set: EpisodeSet) -> None:
    of_data, of_run = spec_of(data_set), run.spec
    if (of_data.observation, of_data.action) != (of_run.observation, of_run.action):
        raise InputError(
            f"{run.directory}: its observations {of_run.observation.shape} and "
            f"{of_run.action.kind} actions {of_run.action.shape} are not those of "
            f"{data_set.name}, {of_data.observation.shape} and {of_data.action.kind} "
            f"{of_data.action.shape}"
        )


def _acting(
    found: Sequence[Run],
    data_set: EpisodeSet,
    which: Which,
    terminal: Terminal,
    show: Callable[[int], None],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields what each run's members do in the data [M, N, A], and which are left [M]."""
    for number, run in enumerate(found):
        terminal.log(f"{run.directory} acts in the data")
        saved = restore.choose(run, which).saved
        aims = np.array(run.target_returns)[data_set.tasks if len(run.tasks) > 1 else 0]
        aims = np.broadcast_to(aims, len(data_set.episodes))
        actors = restore.policy_of(run, saved)
        yield logged.actions(run.algo, run.spec, actors, data_set, aims), saved.diverged == NEVER
        show(number + 1)


def show(estimates: Estimates, discount: float) -> None:
    """Prints the estimates, best first, beside the returns where they are known."""
    names, values, returns = estimates
    is_known, means = ~np.isnan(returns), values.mean(axis=1)
    columns = ["", "value", "95 % interval", *["return"] * bool(is_known.any())]
    table = ScreenTable(columns)
    order = np.argsort(-np.nan_to_num(means, nan=-np.inf))
    for number in map(int, order):
        low, high = interval(mean, values[number][:, None])
        cells = [f"{means[number]:.2f}", f"{low:.2f} to {high:.2f}"]
        if np.isnan(means[number]):
            cells = ["diverged", ""]
        if is_known.any():
            cells.append(f"{returns[number]:.0f}" if is_known[number] else "")
        table.add_row(names[number], *cells)
    console().print(table)
    console().print(
        f"value: rewards to come in the first states of the data's episodes, discounted by "
        f"{discount:g}; interval: over those states (bootstrap), not over what may be wrong in Q"
    )
    if estimates.both.sum() > 2:
        console().print(
            f"against the returns: rank correlation {estimates.rank_correlation:.2f}; the policy "
            f"of the highest value earns {estimates.regret:.0f} less than the best"
        )
    console().print("written to fqe.json of each run")
