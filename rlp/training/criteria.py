"""What members of a run are judged by, and whether that will be known of them."""

from typing import Literal

from rlp.algos import ALGOS
from rlp.errors import InputError
from rlp.runs.ranking import Criterion
from rlp.types import critics


def ranked_by(
    asked: Criterion | Literal["auto"],
    algo_name: str,
    is_evaluated: bool,
    is_validated: bool,
    is_search: bool,
) -> Criterion:
    """Returns what members are ranked by: what is asked for, else returns, else actions.

    Q and Bellman errors are no default: those of another discount, expectile or penalty mean
    something else (`experiments/held_out_criteria.py`).

    Args:
        asked: the criterion; `auto`: there is none.
        algo_name: of the algorithm.
        is_evaluated: whether a simulator evaluates members.
        is_validated: whether episodes are held out.
        is_search: whether members are trials of a search.

    Raises:
        InputError: if it will not be known, or nothing will be of a search.
    """
    if asked != "auto":
        check("rank_by", asked, algo_name, is_evaluated, is_validated)
        return asked
    if is_search and not (is_evaluated or is_validated):
        raise InputError(
            "--search: nothing would say which trial is best: give --validation=0.1, or let a "
            "simulator evaluate them (--eval_every)"
        )
    return "return" if is_evaluated or not is_search else "action_error"


def check(
    flag: str, criterion: Criterion, algo_name: str, is_evaluated: bool, is_validated: bool
) -> None:
    """Checks that a criterion, the value of a flag, will be known of members.

    Raises:
        InputError: if it will not.
    """
    if criterion == "return":
        if not is_evaluated:
            raise InputError(f"--{flag}=return: with --eval_every=0 no member has a return")
        return
    if not is_validated:
        raise InputError(
            f"--{flag}={criterion}: is found on held-out episodes: give --validation=0.1"
        )
    if criterion != "action_error" and not critics(ALGOS[algo_name]):
        raise InputError(
            f"--{flag}={criterion}: {algo_name} has no critics; of it there is action_error"
        )
