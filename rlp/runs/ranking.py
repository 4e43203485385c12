"""Which settings and members are best: criteria, and trials of a search in their order."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

Criterion = Literal["return", "action_error", "td_error", "first_q"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
METRICS: dict[Criterion, str] = {  # what a criterion is called in metrics.jsonl
    "return": "return",
    "action_error": "held_out_action_error",
    "td_error": "held_out_td_error",
    "first_q": "held_out_first_q",
}
LOWER: tuple[Criterion, ...] = ("action_error", "td_error")  # is better; of the others, higher
IN_WORDS: dict[Criterion, str] = {
    "return": "highest return of the last evaluation",
    "action_error": "smallest difference to the actions of held-out episodes",
    "td_error": "smallest Bellman error on held-out episodes",
    "first_q": "highest Q of the first states of held-out episodes, by the members' own critics",
}


class Trial(NamedTuple):
    """A setting of a search, and what is known of its members."""

    setting: dict[str, Any]  # of the hyperparameters that vary
    members: list[int]  # their numbers
    values: dict[Criterion, float]  # the means of the members that have one, else NaN
    num_lost: int  # members without a value of the criterion that is ranked by


def goodness(criterion: Criterion, values: np.ndarray) -> np.ndarray:
    """Returns numbers that are the higher, the better the values of a criterion are."""
    return -values if criterion in LOWER else values


def rank(
    settings: Sequence[tuple[dict[str, Any], list[int]]],
    values: Mapping[Criterion, np.ndarray],
    by: Criterion,
) -> list[Trial]:
    """Returns a trial for each setting, best first; those without a value are last.

    Args:
        settings: hyperparameters, and the numbers of the members that have them.
        values: of each criterion that is known, [M], NaN of a member without one.
        by: the criterion that is ranked by.
    """
    trials = [
        Trial(
            setting,
            members,
            {name: _mean(of_all[members]) for name, of_all in values.items()},
            int(np.isnan(values[by][members]).sum()),
        )
        for setting, members in settings
    ]
    return sorted(trials, key=lambda trial: _order(goodness(by, np.array(trial.values[by]))))


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _order(value: np.ndarray) -> tuple[bool, float]:
    return bool(np.isnan(value)), -float(value)


def table(record: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Returns the header and the rows of a ranking, as `to_json` has it."""
    by, trials = record["by"], record["trials"]
    names = list(trials[0]["setting"])
    criteria = [by, *(name for name in trials[0]["values"] if name != by)]
    header = ["", *names, *(name.replace("_", " ") for name in criteria), "members"]
    rows = []
    for number, trial in enumerate(trials, 1):
        found = [_number(trial["values"][name]) for name in criteria]
        setting = [str(trial["setting"][name]) for name in names]
        lost = f" ({trial['num_lost']} without a value)" if trial["num_lost"] else ""
        rows.append([str(number), *setting, *found, f"{len(trial['members'])}{lost}"])
    return header, rows


def caption(record: Mapping[str, Any]) -> str:
    """Returns what a ranking is by."""
    return (
        f"{len(record['trials'])} trials, best first by {record['by'].replace('_', ' ')}: "
        f"{IN_WORDS[record['by']]}, mean of a trial's members. The best of many looks better than "
        "it is: judge it anew."
    )


def to_json(by: Criterion, trials: Sequence[Trial], labels: Sequence[str]) -> dict[str, Any]:
    """Returns a ranking as result.json has it, its members by their labels."""
    return {
        "by": by,
        "trials": [
            {**trial._asdict(), "members": [labels[number] for number in trial.members]}
            for trial in trials
        ],
    }


def _number(value: float | None) -> str:
    return "" if value is None or np.isnan(value) else f"{value:.4g}"
