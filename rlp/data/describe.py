"""A data set at a glance, on a terminal and on its data card."""

import io

import numpy as np
from jax import tree
from rich.console import Console, Group
from rich.table import Table

from rlp.cli.tables import ScreenTable
from rlp.data.dataset import make_dataset, unit_normalizer
from rlp.data.episodes import EpisodeSet, fingerprint, has_successors
from rlp.envs.bodies import d4rl_score

SATURATED = 0.99  # an action of larger magnitude counts as at its bound


def page(data: EpisodeSet) -> Group:
    """Returns the facts of a set and the range of each column, for a rich console."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, fact in facts(data).items():
        table.add_row(name, fact)
    return Group(table, _columns(data))


def card(data: EpisodeSet) -> str:
    """Returns the page as markdown."""
    text = io.StringIO()
    Console(file=text, markup=False, width=100).print(page(data))
    lines = "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())
    return f"# {data.name}\n\n```\n{lines}\n```\n"


def facts(data: EpisodeSet) -> dict[str, str]:
    """Returns the facts of a set by name."""
    returns, lengths = data.returns[data.is_whole], data.lengths
    action, reward = (_all_steps(data, name) for name in ("action", "reward"))
    terminated = sum(episode.terminated for episode in data.episodes)
    cuts = sum(episode.is_fragment and not episode.terminated for episode in data.episodes)
    unknown = int((~has_successors(data)).sum())
    arrays = make_dataset(data, unit_normalizer(data.episodes[0].observation.shape[1]))
    found = {
        "environment": data.env or "not stated: give --env=NAME to train",
        "episodes": f"{len(lengths)} of {_range(lengths)} steps, {lengths.sum():,} steps in all",
        "ends": f"{terminated} terminations, {len(lengths) - terminated - cuts} time limits"
        + (f", {cuts} cuts" if cuts else "")
        + (f"; the last successor of {unknown} is not known" if unknown else ""),
        **_returns(returns, len(lengths) - len(returns)),
        **_rewards(reward, data.has_rewards),
        **_actions(action, data),
        "NaN, infinite": "none",  # reading refuses them
        "on the device": f"{sum(leaf.nbytes for leaf in tree.leaves(arrays)) / 1e6:,.1f} MB",
        "fingerprint": fingerprint(data),
    }
    if len(returns) and (score := d4rl_score(data.env, returns)) is not None:
        found["D4RL score"] = f"{score.mean():.1f} ({score.min():.1f} to {score.max():.1f})"
    texts = {name: text for name, text in data.metadata.items() if isinstance(text, str)}
    found |= {name: text for name, text in texts.items() if name not in found}
    return found | {f"note {number}": note for number, note in enumerate(data.notes, start=1)}


def _returns(returns: np.ndarray, num_fragments: int) -> dict[str, str]:
    """Returns the statistics of the returns of whole episodes, and the number of fragments."""
    parts = f"; not known of {num_fragments} fragments" if num_fragments else ""
    if not len(returns):
        return {"return": f"not known: all episodes are fragments ({num_fragments})"}
    spread = f"mean {returns.mean():.1f}, std {returns.std():.1f}, {_range(returns)}"
    return {"return": spread + parts}


def _rewards(reward: np.ndarray, has_rewards: bool) -> dict[str, str]:
    if not has_rewards:
        return {"reward": "none: only algorithms that clone can learn from it", "return": "none"}
    return {"reward": f"mean {reward.mean():.4g}, std {reward.std():.4g}, {_range(reward)}"}


def _actions(action: np.ndarray, data: EpisodeSet) -> dict[str, str]:
    if data.discrete:
        shares = ", ".join(f"{share:.1%}" for share in action.mean(axis=0)[:20])
        return {"choices": f"{action.shape[1]}, taken in {shares}"}
    found = {
        "saturated": f"{np.mean(np.abs(action) > SATURATED):.1%} of actions beyond {SATURATED}"
    }
    if data.bounds and np.any(np.abs(data.bounds) != 1):
        low, high = (", ".join(f"{value:.4g}" for value in bound) for bound in data.bounds)
        found["bounds"] = f"-1 is {low}, 1 is {high} to the environment"
    return found


def _columns(data: EpisodeSet) -> ScreenTable:
    table = ScreenTable(("column", "min", "mean", "max", "std"))
    for name in ("observation", "action"):
        for number, values in enumerate(_all_steps(data, name).T):
            figures = values.min(), values.mean(), values.max(), values.std()
            table.add_row(f"{name} {number}", *(f"{figure:.3f}" for figure in figures))
        table.add_section()
    return table


def _all_steps(data: EpisodeSet, name: str) -> np.ndarray:
    """Returns one column over all steps of all episodes, [S, ...] float64."""
    rows = [getattr(episode, name)[: len(episode.action)] for episode in data.episodes]
    return np.concatenate(rows, dtype=np.float64)


def _range(values: np.ndarray) -> str:
    low, high = (f"{value:.6g}" for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"
