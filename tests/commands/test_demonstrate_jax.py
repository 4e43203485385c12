"""Data sets of environments in JAX."""

from pathlib import Path

import numpy as np
import pytest

from rlp import data
from rlp.commands import collect
from rlp.commands.demonstrate_jax import Part, parts
from rlp.envs.cellworld_resources import World
from rlp.errors import InputError
from tests.whole_runs import refused

GO = ["jax:botevade", "--num_envs=4", "--quiet", "--out=set.npz"]


@pytest.mark.slow
def test_a_mixture_has_the_steps_of_each(
    small_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    collect.main([*GO, "--policy=goal:0.25,random:0.75", "--num_steps=400"])
    made = data.load("set.npz")
    assert (made.env, made.discrete) == ("jax:botevade", True)
    assert made.lengths.sum() == 400
    assert "goal:0.25 and random:0.75" in Path("set.md").read_text()
    goal = int(np.argmax(made.episodes[0].action[0]))
    assert small_world.locations[small_world.open_cells[goal]].tolist() == pytest.approx(
        [0.92, 0.5]
    )
    to_goal = np.concatenate([each.action[:, goal] for each in made.episodes])
    assert 100 <= to_goal.sum() < 150
    for each in made.episodes:
        assert each.terminated or each.is_fragment
        arrived = np.hypot(each.observation[:, 0] - 1, each.observation[:, 1] - 0.5) <= 0.1
        assert arrived[:-1].sum() == 0
        assert arrived[-1] == each.terminated


@pytest.mark.parametrize("text", ["a:0.5,b:0.4", "a:2,b:-1", "a:0.5,b", "a:x"])
def test_shares_must_add_up(text: str):
    with pytest.raises(InputError, match="share"):
        parts(text)


def test_policies_without_shares_have_alike():
    assert parts("runs/a,goal") == [Part("runs/a", 0.5), Part("goal", 0.5)]


@pytest.mark.usefixtures("small_world")
def test_who_cannot_play_is_named(capsys: pytest.CaptureFixture[str]):
    assert "did you mean planner" in refused(capsys, lambda: collect.main([*GO, "--policy=planer"]))
    assert "no run runs/a" in refused(capsys, lambda: collect.main([*GO, "--policy=runs/a"]))
