"""An algorithm of one's own is trained, evaluated, resumed and reported like ours."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rlp
from rlp import algos, envs, testing
from rlp.commands import evaluate, train
from tests import own_algorithm
from tests.whole_runs import Ten, refused

NAME = "my_package.my_algorithm"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the package, in which commands are run."""
    folder = tmp_path / "my_package"
    folder.mkdir()
    shutil.copy(own_algorithm.__file__, folder / "my_algorithm.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    known = set(algos.ALGOS)
    yield tmp_path
    for name in set(algos.ALGOS) - known:
        del algos.ALGOS[name]
    for name in ("my_package", NAME):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("check", testing.CHECKS, ids=lambda check: check.__name__[6:])
def test_contract(check: Callable[[Any, Any], None]):
    check(own_algorithm, own_algorithm.Config(batch_size=8))


def forget() -> None:
    """Makes the next command one of a new process, to which nothing is known."""
    del algos.ALGOS[NAME]


@pytest.mark.usefixtures("package")
def test_it_is_trained_resumed_and_evaluated(
    exorl: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.setattr(envs, "make", lambda _, size, *__: Ten(size))
    words = [f"--algo={NAME}", f"--dataset={exorl}", "--eval_every=0", "--num_seeds=2"]
    train.main([*words, "--name=a", "--log_every=100", "--learning_rate=1e-2,1e-3"])
    assert "my_package.my_algorithm  4 members" in capsys.readouterr().out
    assert "clones the mean action" not in capsys.readouterr().out
    assert Path("runs/a/report.html").exists()
    forget()
    assert "one of your own is given by its module" in refused(
        capsys, lambda: evaluate.main(["runs/a", "--quiet"])
    )
    evaluate.main(["runs/a", f"--algo={NAME}", "--num_episodes=2", "--env=ten"])
    assert "seed=1,learning_rate=0.001" in capsys.readouterr().out
    forget()
    train.main([f"--algo={NAME}", "--resume=runs/a", "--num_updates=300", "--extend", "--quiet"])
    assert rlp.load_policy("runs/a", member="seed=0,learning_rate=0.01")(np.zeros(4)).shape == (2,)


@pytest.mark.usefixtures("package")
def test_help_explains_its_hyperparameters(capsys: Any):
    train.main([f"--algo={NAME}", "--help"])
    assert "--learning_rate" in (out := capsys.readouterr().out)
    assert "Adam's" in out


def test_in_python_it_is_the_module(exorl: Path, tmp_path: Path):
    settings = {"eval_every": 0, "runs": str(tmp_path / "runs"), "progress": False}
    run = rlp.train(own_algorithm, exorl, **settings, num_updates=20, name="a")
    del algos.ALGOS[own_algorithm.__name__]
    with pytest.raises(rlp.InputError, match="or algo=MODULE in Python"):
        rlp.load_policy(run.directory)
    assert rlp.load_policy(run.directory, algo=own_algorithm)(np.zeros(4)).shape == (2,)
    del algos.ALGOS[own_algorithm.__name__]


def test_no_name_in_a_folder_is_imported(exorl: Path, tmp_path: Path, package: Path, capsys: Any):
    flags = {"eval_every": 0, "runs": str(tmp_path / "runs"), "progress": False}
    run = rlp.train("bc", exorl, **flags, num_updates=2, hidden_dims=(8,), name="a")
    (package / "evil.py").write_text("raise SystemExit('it was imported')")
    path = run.directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "algo": "evil"}))
    assert "has no algorithm evil" in refused(capsys, lambda: evaluate.main([str(run.directory)]))


def test_an_entry_point_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch):
    point = EntryPoint("mine", own_algorithm.__name__, algos.GROUP)
    monkeypatch.setattr(algos, "entry_points", lambda **given: [point] * (given["name"] == "mine"))
    assert algos.load("mine") == "mine"
    assert algos.ALGOS.pop("mine") is own_algorithm


@pytest.mark.usefixtures("package")
def test_what_is_no_algorithm_is_refused_in_one_line(capsys: Any):
    for name, said in (
        ("my_packag.mine", "there is no module my_packag"),
        ("json", "json is no algorithm: it has no Config, SUPPORTS"),
    ):
        assert said in refused(capsys, lambda name=name: train.main([f"--algo={name}"]))
    without_size = SimpleNamespace(**{**vars(own_algorithm), "Config": object})
    with pytest.raises(rlp.InputError, match="its Config has no num_updates"):
        algos.register(without_size, "mine")
    with pytest.raises(rlp.InputError, match="another algorithm of that name"):
        algos.register(own_algorithm, "bc")
