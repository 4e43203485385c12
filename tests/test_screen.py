import numpy as np
import pytest

from rlp.screen import Screen, spread


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
        for firsts in ([2**31 - 1, 7], [2**31 - 1, 9]):
            screen.alarms(["seed=0", "seed=1"], {"NaN": np.array(firsts)})
    assert capsys.readouterr().err == "warning: seed=1: NaN from update 7; the others go on\n"


def test_a_single_value_has_no_spread():
    assert spread(np.array([871.2])) == "871"
    assert spread(np.array([820.0, 905.0])) == "862 +- 42 (820 to 905)"
