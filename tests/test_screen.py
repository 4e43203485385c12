import numpy as np
import pytest

from rlp.screen import Screen, spread
from rlp.types import NEVER, NOT_FINITE


def test_names_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]):
    name = "data ([b]mine[/].npz)"
    with Screen(quiet=False) as screen:
        screen.say(f"said {name}")
        screen.warn(f"warned of {name}")
        screen.returns({name: np.ones(2)})
    out, err = capsys.readouterr()
    assert f"said {name}\n" in out
    assert f"warning: warned of {name}\n" in err
    assert out.count(name) == 2


def test_a_setting_has_a_row_of_means_from_two_members_on(capsys: pytest.CaptureFixture[str]):
    with Screen(quiet=True) as screen:
        screen.returns({}, {" discount=0.9": np.array([1.0, 5.0]), " discount=0.8": np.ones(1)})
    out = capsys.readouterr().out
    assert " ".join(out.split()).endswith("members' means discount=0.9 3 2 1 5 2 members")


def test_an_alarm_is_told_once(capsys: pytest.CaptureFixture[str]):
    with Screen(quiet=True) as screen:
        for firsts in ([NEVER, 7], [NEVER, 9]):
            screen.alarms(["seed=0", "seed=1"], {NOT_FINITE: np.array(firsts)})
    assert capsys.readouterr().err == (
        "warning: seed=1: NaN or infinite from update 7; the others go on\n"
    )


def test_the_others_go_on_only_where_there_are_others_that_do(capsys: pytest.CaptureFixture[str]):
    with Screen(quiet=True) as screen:
        screen.alarms(["seed=0", "seed=1"], {NOT_FINITE: np.array([9, 7])})
        screen.alarms(
            ["seed=2", "seed=3"], {"max_q above": np.array([NEVER, 5])}
        )  # it goes on, too
    assert capsys.readouterr().err.splitlines() == [
        "warning: seed=0: NaN or infinite from update 9",
        "warning: seed=1: NaN or infinite from update 7",
        "warning: seed=3: max_q above from update 5",
    ]


def test_a_single_value_has_no_spread():
    assert spread(np.array([871.2])) == "871"
    assert spread(np.array([820.0, 905.0])) == "862 +- 42 (820 to 905)"
