"""What a person sees of a run, in terminals of all widths and where there is none."""

import io
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rlp.cli.terminal import COMPILING, Terminal, spread
from rlp.types import NEVER, NOT_FINITE
from tests.terminal import Emulator, run_in_terminal

NOTE = "1,234 updates/s  actor_loss 0.1234  critic_loss 12.34  q 56.78"


class Stdout(io.StringIO):
    def isatty(self) -> bool:
        return True


def in_terminal(monkeypatch: pytest.MonkeyPatch, num_columns: int, term: str = "xterm") -> Stdout:
    """Returns what takes the place of stdout, and is a terminal also where tests run without."""
    stdout = Stdout()
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", str(num_columns))
    monkeypatch.delenv("NO_COLOR", raising=False)
    return stdout


def test_names_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]):
    name = "data ([b]mine[/].npz)"
    with Terminal(quiet=False) as terminal:
        terminal.say(f"said {name}")
        terminal.warn(f"warned of {name}")
        terminal.returns({name: np.ones(2)})
    out, err = capsys.readouterr()
    assert f"said {name}\n" in out
    assert f"warning: warned of {name}\n" in err
    assert out.count(name) == 2


def test_a_setting_has_a_row_of_means_from_two_members_on(capsys: pytest.CaptureFixture[str]):
    with Terminal(quiet=True) as terminal:
        terminal.returns({}, {" discount=0.9": np.array([1.0, 5.0]), " discount=0.8": np.ones(1)})
    out = capsys.readouterr().out
    text = " ".join(out.split())
    assert "members' means discount=0.9 3 3 3 1 5 2 members" in text
    assert text.endswith("mean of the members discount=0.9: 3, 95 % interval -22 to 28 (Student's)")


def test_falls_are_counted_where_the_data_has_a_best(capsys: pytest.CaptureFixture[str]):
    with Terminal(quiet=True) as terminal:
        terminal.returns({"seed=0": np.array([1.0, 30.0, 40.0, 50.0])}, best=100.0)
    text = " ".join(capsys.readouterr().out.split())
    assert "seed=0 30 21 35 1 50 25% 4 episodes falls: episodes that earn less" in text


def test_an_alarm_is_text_once(capsys: pytest.CaptureFixture[str]):
    with Terminal(quiet=True) as terminal:
        for firsts in ([NEVER, 7], [NEVER, 9]):
            terminal.alarms(["seed=0", "seed=1"], {NOT_FINITE: np.array(firsts)})
    assert capsys.readouterr().err == (
        "warning: seed=1: NaN or infinite from update 7; the others go on\n"
    )


def test_the_others_go_on_only_where_there_are_others_that_do(capsys: pytest.CaptureFixture[str]):
    with Terminal(quiet=True) as terminal:
        terminal.alarms(["seed=0", "seed=1"], {NOT_FINITE: np.array([9, 7])})
        terminal.alarms(
            ["seed=2", "seed=3"], {"max_q above": np.array([NEVER, 5])}
        )  # it goes on, too
    assert capsys.readouterr().err.splitlines() == [
        "warning: seed=0: NaN or infinite from update 9",
        "warning: seed=1: NaN or infinite from update 7",
        "warning: seed=3: max_q above from update 5",
    ]


def test_a_single_value_has_no_spread():
    assert spread(np.array([871.2])) == "871"
    assert spread(np.array([820.0, 905.0])) == "862 +- 60 (820 to 905)"


@pytest.mark.parametrize(
    ("num_columns", "shown"),
    [
        (140, ["12,000/30,000", *NOTE.split("  "), "0:00:00", "ETA"]),
        (100, ["12,000/30,000", *NOTE.split("  ")[:2], "0:00:00", "ETA"]),
        (80, ["12,000/30,000", "1,234 updates/s", "0:00:00", "ETA"]),
        (60, ["12,000/30,000", "1,234 updates/s", "ETA"]),
        (40, ["12,000/30,000", "ETA"]),
        (8, []),
    ],
)
def test_a_bar_is_one_line_without_what_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, num_columns: int, shown: list[str]
):
    stdout = in_terminal(monkeypatch, num_columns)
    with Terminal(quiet=False) as terminal, terminal.bar("training", 30_000) as move:
        for step in (6_000, 12_000):
            move(step, NOTE)
            terminal.say(f"at {step}")
        time.sleep(0.3)  # the bar is drawn ten times a second
        terminal = Emulator(num_columns).show(stdout.getvalue())
        *said, bar = terminal.lines
    assert terminal.num_wraps == 0
    assert [line for line in said if line] == ["at 6000", "at 12000"]
    for part in ["12,000/30,000", *NOTE.split("  "), "0:00:00", "ETA"]:
        assert (part in bar) == (part in shown)
    assert bar.startswith("training")


def test_what_a_warning_says_is_above_the_bar(monkeypatch: pytest.MonkeyPatch):
    stdout = in_terminal(monkeypatch, 60)
    monkeypatch.setattr(sys, "stderr", stdout)
    with Terminal(quiet=False) as terminal, terminal.bar("training", 10, COMPILING):
        terminal.warn("careful")
        lines = Emulator(60).show(stdout.getvalue()).lines
    assert lines[-2] == "warning: careful"
    assert lines[-1].startswith("training")
    assert COMPILING in lines[-1]


@pytest.mark.parametrize("num_columns", [100, 80, 60, 40])
def test_returns_fit_a_terminal_with_every_number(
    monkeypatch: pytest.MonkeyPatch, num_columns: int
):
    stdout = in_terminal(monkeypatch, num_columns)
    label = "seed=0,learning_rate=0.001,actor_penalty=0.01,critic_penalty=0.1"
    with Terminal(quiet=True) as terminal:
        terminal.returns(
            {"data": np.full(1, 98_765), label: np.full(10, 12_345)}, env="gym:Hopper-v4"
        )
    terminal = Emulator(num_columns).show(stdout.getvalue())
    assert terminal.num_wraps == 0
    text = " ".join(terminal.lines)
    assert text.count("12345") == text.count("98765") == 4  # mean, median, lowest, highest
    for part in label.split(","):
        assert part in text


def test_without_a_terminal_there_are_plain_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    label = ",".join(f"a_long_name_{number}=0.001" for number in range(9))
    with Terminal(quiet=False) as terminal, terminal.bar("training", 10) as move:
        move(5, NOTE)
        terminal.log(NOTE * 3)
        terminal.returns({label: np.ones(2)})
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "training" not in out
    assert f"{NOTE * 3}\n" in out
    assert f" {label}      1     0        1     1     1   2 episodes \n" in out


def test_a_dumb_terminal_gets_no_control_codes(monkeypatch: pytest.MonkeyPatch):
    stdout = in_terminal(monkeypatch, 80, "dumb")
    with Terminal(quiet=False) as terminal, terminal.bar("training", 10) as move:
        move(5, NOTE)
        terminal.log("update 5")
        terminal.returns({"data": np.ones(2)})
    assert "\x1b" not in stdout.getvalue()
    assert "update 5\n" in stdout.getvalue()


def test_no_color_means_none(monkeypatch: pytest.MonkeyPatch):
    stdout = in_terminal(monkeypatch, 80, "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    with Terminal(quiet=False) as terminal, terminal.bar("training", 10) as move:
        move(5, NOTE)
        terminal.say("update 5")
    assert "\x1b[38" not in stdout.getvalue()


@pytest.mark.slow  # a run with evaluations
@pytest.mark.parametrize("num_columns", [80, 40])
def test_a_run_in_a_terminal_leaves_its_lines_only(tmp_path: Path, num_columns: int):
    words = "--num_updates=400 --log_every=100 --eval_every=200 --hidden_dims=8"
    words += " --num_episodes=1 --final_episodes=1"
    command = [sys.executable, "-m", "rlp.train", "bc", *words.split(), "--name=a"]
    terminal = run_in_terminal(command, num_columns, tmp_path)
    bars = [line for line in terminal.seen if line.startswith(("training", "evaluating"))]
    assert any("400" in bar for bar in bars)
    assert any(COMPILING in line for line in terminal.seen)
    left = [
        line for line in terminal.lines if line.startswith(("training", "evaluating", COMPILING))
    ]
    assert left == []
    assert len(terminal.lines) < 40


def test_flags_are_shares_and_counts_are_means(capsys: pytest.CaptureFixture[str]):
    rows = {"seed=0": np.array([1.0, 2.0, 3.0, 4.0]), "data": np.array([1.0])}
    measures = {
        "success": {"seed=0": np.array([True, True, True, False])},
        "captures": {"seed=0": np.array([0, 1, 0, 0])},
    }
    Terminal(quiet=True).returns(rows, measures=measures)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert next(line for line in lines if "seed=0" in line)[-4:] == ["75%", "0.25", "4", "episodes"]
    assert next(line for line in lines if "data" in line)[-2:] == ["1", "episodes"]
