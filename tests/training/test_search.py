"""Settings that are drawn at random, and which of them came out best."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlp
from rlp import runs
from rlp.algos import iql
from rlp.errors import InputError
from rlp.pages import pictures
from rlp.training import search
from rlp.training.search import Choice, Range
from tests.whole_runs import lines, refused

TEXT = "learning_rate=1e-4..1e-2:log"


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch):
    """They take a second a page."""
    monkeypatch.setattr(pictures, "drawn", lambda *_: [])


def parsed(text: str) -> search.Space:
    return search.parse(text, iql.Config, "iql")


def test_ranges_and_lists_are_read():
    text = "actor_learning_rate=1e-5..1e-2:log,temperature=1,3,10,expectile=0.6..0.95"
    assert parsed(text) == {
        "actor_learning_rate": Range(1e-5, 1e-2, is_log=True),
        "temperature": Choice((1, 3, 10)),
        "expectile": Range(0.6, 0.95, is_log=False),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batch_size=64,256", "batch_size is no number with a point. Only those are data of the"),
        ("expectil=0.6..0.9", r"iql has no expectil .did you mean expectile"),
        ("0.6..0.9", "begins with no name"),
        ("expectile=0.9..0.6", "expectile=0.9..0.6: must begin below its end"),
        ("expectile=0.6..0.6", "must begin below its end"),
        ("expectile=0.6..1.5", ": expectile=1.5: must be from 0 to 1"),
        ("expectile=0.6..", ": expectile=: must be a number"),
        ("tau=0..1:log", "has logarithms only if it begins above 0"),
        ("discount=0.9..0.90001", "its ends are too near each other"),
        ("expectile=0.6", "must be a range, LOW..HIGH, or different values"),
        ("expectile=0.6,0.6", "must be a range, LOW..HIGH, or different values"),
        ("expectile=0.6..0.7,0.9", "is a range or a list, not both"),
        ("expectile=0.6..0.7,expectile=0.9", "has expectile twice"),
    ],
)
def test_what_cannot_be_searched_is_one_line(text: str, said: str):
    with pytest.raises(InputError, match=f"^--search.*{said}"):
        parsed(text)


def test_draws_are_in_their_ranges_and_of_the_seed():
    space = parsed("actor_learning_rate=1e-5..1e-2:log,expectile=0.6..0.95,temperature=1,3")
    drawn = search.draw(space, 400, seed=0)
    assert search.draw(space, 30, seed=0) == drawn[:30]
    assert search.draw(space, 30, seed=1) != drawn[:30]
    rates, expectiles, temperatures = map(np.array, zip(*(d.values() for d in drawn), strict=True))
    for values, low, high in ((np.log10(rates), -5, -2), (expectiles, 0.6, 0.95)):
        assert low <= values.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < values.max() <= high
        assert np.mean(values) == pytest.approx((low + high) / 2, abs=0.05 * (high - low))
    assert 0.4 < np.mean(temperatures == 1) < 0.6
    assert abs(np.corrcoef(rates, expectiles)[0, 1]) < 0.15
    assert max(len(f"{value:.10g}") for value in expectiles) <= len("0.12345")


def test_trials_differ_and_no_more_are_drawn_than_there_are():
    space = parsed("temperature=1,3,10,expectile=0.7,0.9")
    drawn = search.draw(space, 6, seed=0)
    assert len({tuple(each.values()) for each in drawn}) == 6
    with pytest.raises(InputError, match="--trials=7: --search has only 6 different settings"):
        search.draw(space, 7, seed=0)


def test_trials_are_one_population_ranked_by_what_is_held_out(
    command: Callable[..., None], capsys: Any
):
    flags = (f"--search={TEXT}", "--trials=3", "--num_seeds=2", "--validation=0.3")
    command("--name=a", *flags)
    out = capsys.readouterr().out
    run = runs.load(Path("runs/a"))
    rates = [float(config.learning_rate) for config in run.configs]
    assert len(rates) == 6
    assert rates[::2] == rates[1::2]  # the seeds of a trial have its setting
    settings = json.loads(Path("runs/a/config.json").read_text())["settings"]
    assert (settings["trials"], settings["rank_by"]) == (3, "action_error")
    last = {each["member"]: each["held_out_action_error"] for each in lines("runs/a")[-6:]}
    means = [np.mean([last[label] for label in run.labels[n : n + 2]]) for n in (0, 2, 4)]
    ranking = json.loads(Path("runs/a/result.json").read_text())["ranking"]
    order = np.argsort(means)
    assert ranking["by"] == "action_error"
    assert [each["members"][0] for each in ranking["trials"]] == [run.labels[2 * n] for n in order]
    assert [t["values"]["action_error"] for t in ranking["trials"]] == pytest.approx(sorted(means))
    rows = [line.split() for line in out.splitlines() if line.lstrip()[:2] in ("1 ", "2 ", "3 ")]
    rows = [row for row in rows if row[1] != "trials,"]
    assert [float(row[1]) for row in rows] == pytest.approx([rates[2 * n] for n in order])
    assert "3 trials, best first by action error: smallest difference" in out
    of_best = [label for label in run.labels if label in ranking["trials"][0]["members"]]
    assert run.labels[run.best] == min(of_best, key=lambda label: last[label])
    page = Path("runs/a/report.html").read_text()
    assert "3 trials, best first by action error" in page


@pytest.mark.slow
def test_a_search_goes_on_as_it_began(command: Callable[..., None], capsys: Any):
    flags = (f"--search={TEXT}", "--trials=2", "--validation=0.3")
    command("--name=whole", *flags)
    command("--name=cut", *flags, "--num_updates=20")
    command("--resume=runs/cut", *flags, "--num_updates=40", "--extend")
    whole, cut = (
        json.loads(Path(f"runs/{name}/result.json").read_text())["ranking"]
        for name in ("whole", "cut")
    )
    assert cut == whole
    again = ("--resume=runs/cut", "--trials=3")
    assert "--trials=3: runs/cut began with 2" in refused(capsys, lambda: command(*again))
    command("--name=none")
    again = ("--resume=runs/none", f"--search={TEXT}")
    assert "runs/none began with none" in refused(capsys, lambda: command(*again))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((f"--search={TEXT}",), "nothing would say which trial is best: give --validation=0.1"),
        (("--trials=8",), "--trials=8: is of a --search, and there is none"),
        (("--trials=100000",), "--trials=100000: must be at most 10,000"),
        (
            (f"--search={TEXT}", "--learning_rate=1", "--validation=0.3"),
            "--learning_rate: is searched, so it has no value of its own",
        ),
        (("--rank_by=first_q", "--validation=0.3"), "bc has no critics"),
        (("--rank_by=action_error",), "is found on held-out episodes: give --validation=0.1"),
        (("--rank_by=return",), "with --eval_every=0 no member has a return"),
        (
            (f"--search={TEXT}", "--trials=9999", "--hidden_dims=4096,4096", "--validation=0.3"),
            "networks and optimizers of 9,999 members:",
        ),
    ],
)
def test_what_cannot_be_ranked_or_trained_is_one_line(
    command: Callable[..., None], flags: tuple[str, ...], said: str, capsys: Any
):
    assert said in refused(capsys, lambda: command(*flags))
    assert not Path("runs").exists()


def test_python_has_the_same(command: Callable[..., None], exorl: Path):
    flags = (f"--search={TEXT}", "--trials=2", "--validation=0.3", "--seed=3")
    command("--name=a", *flags)
    run = rlp.train(
        "bc", exorl, progress=False, search=TEXT, trials=2, validation=0.3, seed=3, name="b",
        batch_size=8, hidden_dims=(8,), num_updates=40, log_every=10, eval_every=0,
    )  # fmt: skip
    assert run.labels == runs.load(Path("runs/a")).labels
    first = run.ranking()[0]
    assert first.members == [run.best]
    best = rlp.load_policy(run.directory)(np.ones(4))
    label = run.labels[run.best]
    np.testing.assert_array_equal(best, rlp.load_policy(run.directory, member=label)(np.ones(4)))
    with pytest.raises(
        InputError, match=r"make several a part of it: --search=tau=0.1..0.2,expectile=0.7,0.9"
    ):
        rlp.train("iql", exorl, search="tau=0.1..0.2", expectile=[0.7, 0.9], validation=0.3)
