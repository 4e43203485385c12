import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from rlp import cli
from rlp.algos import ALGOS
from rlp.config import (
    Discount,
    Distinct,
    Name,
    NewFile,
    NonNegativeFloat,
    Positive,
    PositiveFloat,
    Share,
    float_names,
)
from rlp.system import files

MAY_BE_NEGATIVE = {
    "target_entropy", "target_gap", "log_std_min", "log_std_max", "log_std_offset",
    "clip_gap_min", "clip_gap_max", "last_reward",
}  # fmt: skip


@dataclass(frozen=True)
class Flags:
    """The flags."""

    place: str  # where
    num_seeds: Positive = 1  # how many
    normalize: bool = True  # whether
    rate: float = 0.5  # how fast
    head: Literal["one", "two"] = "one"  # which
    hidden_dims: tuple[Positive, ...] = (2, 3)  # widths
    tau: Share = 1.0  # how much
    discount: Discount = 0.0  # how far
    scale: PositiveFloat = 1.0  # by which
    noise: NonNegativeFloat = 0.0  # how much of it
    sizes: Distinct[Positive] = (1,)  # each once
    name: Name = ""  # of the run
    json: NewFile = ""  # where figures go


def run(*words: str) -> Flags | None:
    seen: list[Flags] = []
    command = cli.Command(lambda given: seen.append(cli.parse(Flags, given)), (Flags,), "Does it.")
    cli.main("prog", command, words)
    return seen[0] if seen else None


def refusal(capsys: Any, *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        run(*words)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    return err


def test_flags_are_read_by_their_annotation():
    words = "here --num-seeds 4 --normalize=false --rate=1e-3 --head=two --hidden_dims=5,6"
    assert run(*words.split()) == Flags("here", 4, False, 1e-3, "two", (5, 6))


def test_zero_is_a_number_where_it_means_something():
    assert cli.parse_value("num_actions", "0", int) == 0
    with pytest.raises(cli.InputError, match="--num_actions=-1: must be at least 0"):
        cli.parse_value("num_actions", "-1", int)


@pytest.mark.parametrize("text", ["10000", "1e4", "1E4", "10_000", "01e4"])
def test_a_whole_number_may_be_written_with_its_zeros_counted(text: str):
    assert cli.parse_value("num_seeds", text, Positive) == 10_000


def test_a_name_may_be_chosen_once():
    assert cli.chosen("algos", "bc,dt", ["bc", "iql", "dt"]) == ["bc", "dt"]
    for text, message in {"bc,bc": "twice", "bc,": "empty", "bx": "did you mean bc"}.items():
        with pytest.raises(cli.InputError, match=message):
            cli.chosen("algos", text, ["bc", "iql", "dt"])


@pytest.mark.parametrize("name", ALGOS)
def test_no_rate_scale_weight_or_noise_is_negative(name: str):
    config = ALGOS[name].Config
    for field in set(float_names(config)) - MAY_BE_NEGATIVE:
        with pytest.raises(cli.InputError, match=f"--{field}=-1: must be"):
            cli.parse_sweep(config, {field: "-1"})


def test_a_bare_flag_is_true_and_no_makes_it_false():
    assert run("here", "--normalize") == Flags("here", normalize=True)
    assert run("here", "--nonormalize") == Flags("here", normalize=False)


def test_a_word_may_be_given_as_a_flag():
    assert run("--place=there") == Flags("there")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("here", "--nun_seeds=3"), "no flag --nun_seeds (did you mean num_seeds?)"),
        (("here", "--num_seeds=1.5"), "--num_seeds=1.5: must be a whole number"),
        (("here", "--num_seeds=0"), "--num_seeds=0: must be at least 1"),
        (("here", "--num_seeds"), "--num_seeds has no value"),
        (("here", "--normalize=1"), "--normalize=1: must be true or false"),
        (("here", "--rate=fast"), "--rate=fast: must be a number"),
        (("here", "--rate=nan"), "--rate=nan: must be finite, in 32 bits"),
        (("here", "--rate=1e39"), "--rate=1e39: must be finite, in 32 bits"),
        (("here", "--num_seeds=2147483648"), "must be at most 2147483647"),
        (("here", "--tau=1.5"), "--tau=1.5: must be from 0 to 1"),
        (("here", "--discount=1"), "--discount=1: must be at least 0 and below 1"),
        (("here", "--discount=nan"), "--discount=nan: must be finite"),
        (("here", "--head=three"), "--head=three: must be one of one, two"),
        (("here", "--hidden_dims=2,x"), "--hidden_dims=x: must be a whole number"),
        (("here", "--hidden_dims=0"), "--hidden_dims=0: must be at least 1"),
        (("here", "there"), "stray word there"),
        ((), "PLACE is missing"),
        (("here", "--num_seeds=1.5e0"), "--num_seeds=1.5e0: must be a whole number"),
        (("here", "--num_seeds=1e99"), "must be at most 2147483647"),
        (("here", "--num_seeds=1e-1"), "--num_seeds=1e-1: must be a whole number"),
        (("here", "--num_seeds=\uff13"), "--num_seeds=\uff13: must be a whole number"),
        (("here", "--rate=\uff13"), "--rate=\uff13: must be a number"),
        (("here", "--rate=1e-50"), "--rate=1e-50: is too near 0 for 32 bits"),
        (("here", "--discount=0.99999999"), "must be at least 0 and below 1, in 32 bits"),
        (("here", "--scale=0"), "--scale=0: must be above 0"),
        (("here", "--noise=-1e-3"), "--noise=-1e-3: must be at least 0"),
        (("here", "--hidden_dims=5,"), "--hidden_dims=5,: has an empty entry"),
        (("here", "--hidden_dims=5,,6"), "--hidden_dims=5,,6: has an empty entry"),
        (("here", "--hidden_dims="), "--hidden_dims=: has an empty entry"),
        (("here", "--sizes=1,2,1"), "--sizes=1,2,1: must be different values"),
        (("here", "--name="), "--name=: has no value"),
        (("here", "--name= "), "--name= : has no value"),
        (("here", "--name=a/b"), "--name=a/b: must be a name without /"),
        (("here", "--name=.."), "--name=..: must be a name without /"),
        (("here", "--name=" + 101 * "é"), "of at most 200 bytes"),
        (("here", "--name=a\x1b[31m"), r"'--name=a\x1b[31m': has a character that cannot be"),
        (("here", "--name=a\n"), r"'--name=a\n': has a character that cannot be printed"),
        (("here", "--json=/"), "--json=/: must be a file, and this is a folder"),
        (("here", "--rate"), "--rate has no value"),
        (("here", "--rate", "--num_seeds=2"), "--rate has no value"),
        (("here", "--noname"), "--name has no value"),
        (("here", "--nothing"), "no flag --nothing"),
        (("here", "--num_seeds=1", "--num-seeds", "2"), "--num_seeds is given twice"),
        (("here", "--normalize", "--nonormalize"), "--normalize is given twice"),
        (("here", "--place=there"), "PLACE is given twice: here and --place=there"),
        (("here", "--=1"), "no flag --;"),
        (("here", "-"), "stray word -:"),
        (("here", "--", "--interactive"), "stray word --:"),
    ],
)
def test_bad_input_is_one_line(capsys: Any, words: tuple[str, ...], message: str):
    assert message in refusal(capsys, *words)


def test_help_explains_every_flag_and_runs_nothing(capsys: Any):
    assert run("here", "--help") is None
    text = capsys.readouterr().out
    for line in ("--num_seeds", "how many", "--hidden_dims", "2,3", "PLACE", "which (one, two)"):
        assert line in text
    for line in ("by which (above 0)", "how much (from 0 to 1)", "widths (at least 1)"):
        assert line in text


def test_an_unknown_command_names_the_nearest(capsys: Any):
    commands = {"train": cli.Command(print, (), "")}
    with pytest.raises(SystemExit) as stop:
        cli.main("prog", commands, ["trian"])
    assert stop.value.code == 2
    assert "no trian (did you mean train?)" in capsys.readouterr().err


def test_an_interruption_is_one_line(capsys: Any):
    def interrupted(_: cli.Given) -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        cli.main("prog", cli.Command(interrupted, (), ""), [])
    assert stop.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_full_disk_is_one_line(capsys: Any):
    def write(_: cli.Given) -> None:
        raise OSError(28, "No space left on device", "runs/x")

    with pytest.raises(SystemExit) as stop:
        cli.main("prog", cli.Command(write, (), ""), [])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: runs/x: No space left on device\n"


def test_a_file_where_a_folder_should_be_is_one_line(tmp_path: Path, capsys: Any):
    (tmp_path / "file").touch()

    def write(_: cli.Given) -> None:
        files.write_json(tmp_path / "file" / "a.json", 1)

    with pytest.raises(SystemExit):
        cli.main("prog", cli.Command(write, (), ""), [])
    assert capsys.readouterr().err == f"error: {tmp_path}/file: File exists\n"


def test_several_values_only_for_floats():
    @dataclass(frozen=True)
    class Config:
        """Hyperparameters."""

        rate: float = 1.0  # a rate
        tau: Share = 1.0  # a share
        batch_size: int = 2  # a size

    given = {"rate": "1,2e-1", "tau": "1,0", "batch_size": "3", "other": "4"}
    assert cli.parse_sweep(Config, given) == {
        "rate": [1.0, 0.2],
        "tau": [1.0, 0.0],
        "batch_size": [3],
    }
    with pytest.raises(cli.InputError, match="batch_size=1,2: must be a whole number"):
        cli.parse_sweep(Config, {"batch_size": "1,2"})
    with pytest.raises(cli.InputError, match=r"rate=1e-3,0\.001: has a value twice"):
        cli.parse_sweep(Config, {"rate": "1e-3,0.001"})
    with pytest.raises(cli.InputError, match=r"tau=2: must be from 0 to 1"):
        cli.parse_sweep(Config, {"tau": "0.5,2"})


def test_memory_that_does_not_suffice_is_one_line(capsys: Any):
    def take(_: cli.Given) -> None:
        raise MemoryError("1,000 simulators")

    with pytest.raises(SystemExit) as stop:
        cli.main("prog", cli.Command(take, (), ""), [])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: the memory does not suffice: 1,000 simulators\n"


def test_a_closed_pipe_is_no_traceback():
    words = "python=$1; $python -m rlp.train bc --help | head -1"
    shell = ["bash", "-c", words, "bash", sys.executable]
    done = subprocess.run(shell, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage")
    assert done.stderr == ""
