import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp import runs
from rlp.algos import iql
from rlp.commands import train
from rlp.data.dataset import make_dataset
from rlp.data.episodes import EpisodeSet, hold_out
from rlp.errors import InputError
from rlp.evaluation import logged
from rlp.training import restore, validation
from rlp.training.validation import ACTION_ERROR, FIRST_Q, TD_ERROR, HeldOut
from tests.whole_runs import lines, refused


def test_episodes_are_held_out_whole_and_the_same_each_time(episodes: EpisodeSet):
    rest, held_out = hold_out(episodes, 0.3)
    assert len(held_out.episodes) == 1
    again = hold_out(episodes, 0.3)[1]
    np.testing.assert_array_equal(again.episodes[0].reward, held_out.episodes[0].reward)
    lengths = sorted([*rest.lengths, *held_out.lengths])
    assert lengths == sorted(episodes.lengths)
    with pytest.raises(
        InputError, match=r"--validation=0\.1: of the 4 episodes of made that is none"
    ):
        hold_out(episodes, 0.1)


def lowest_q(
    config: Any, state: Any, statistics: Any, observation: np.ndarray, action: np.ndarray
) -> np.ndarray:
    given = jnp.asarray(observation), jnp.asarray(action)
    return np.asarray(iql.q_of(config, state, statistics, *given)).min(axis=0)


def test_measures_are_those_of_the_formulas(
    tmp_path: Path, exorl: Path, episodes: EpisodeSet, monkeypatch: pytest.MonkeyPatch
):
    """With rewards in other units, and an episode that terminates among the held-out."""
    monkeypatch.chdir(tmp_path)
    flags = ["--num_seeds=2", "--reward_scale=3", "--batch_size=8", "--hidden_dims=8"]
    words = [f"--dataset={exorl}", "--eval_every=0", "--num_updates=5", "--name=a", "--quiet"]
    train.main(["iql", *words, *flags])
    run = runs.load(Path("runs/a"))
    saved, _ = restore.load(run)
    held_out = EpisodeSet("held out", "", [episodes.episodes[1], episodes.episodes[2]])
    dataset = make_dataset(held_out, saved.normalizer)
    statistics = make_dataset(episodes, saved.normalizer).statistics
    found = validation.measures(run, saved, HeldOut(held_out, dataset), statistics)
    actors = restore.policy_of(run, saved)
    actions = logged.actions(iql, run.spec, actors, held_out, np.zeros(2))
    scale = 3 / float(statistics.mean_abs_reward)
    for member, config in enumerate(run.configs):
        state = jax.tree.map(lambda leaf, member=member: leaf[member], saved.states)
        errors, tds, firsts, row = [], [], [], 0
        for episode in held_out.episodes:
            observation = (episode.observation - np.asarray(saved.normalizer.mean)) / np.asarray(
                saved.normalizer.std
            )
            acts = actions[member, row : row + len(observation)]
            row += len(observation)
            goes_on = np.ones(len(episode.reward))
            goes_on[-1] = 0 if episode.terminated else 1
            given = config, state, statistics
            next_q = lowest_q(*given, observation[1:], acts[1:])
            backup = scale * episode.reward + config.discount * goes_on * next_q
            q = lowest_q(*given, observation[:-1], episode.action)
            tds += ((backup - q) / scale).tolist()
            errors += np.square(acts[:-1] - episode.action).mean(axis=1).tolist()
            firsts.append(lowest_q(*given, observation[:1], acts[:1])[0] / scale)
        assert found[ACTION_ERROR][member] == pytest.approx(np.mean(errors), rel=1e-4)
        assert found[TD_ERROR][member] == pytest.approx(np.sqrt(np.mean(np.square(tds))), rel=1e-3)
        assert found[FIRST_Q][member] == pytest.approx(np.mean(firsts), rel=1e-3)


def test_members_are_judged_at_each_checkpoint_and_a_resumed_run_the_same(
    command: Callable[..., None], capsys: Any
):
    held = ("--validation=0.3", "--checkpoint_every=10", "--num_seeds=2")
    command("--name=whole", *held)
    out = capsys.readouterr().out
    assert "1 held-out episodes" in out
    whole = [each for each in lines("runs/whole") if ACTION_ERROR in each]
    assert [(each["step"], each["member"]) for each in whole] == [
        (step, f"seed={seed}") for step in (10, 20, 30, 40) for seed in (0, 1)
    ]
    assert len({each[ACTION_ERROR] for each in whole}) == 8
    result = json.loads(Path("runs/whole/result.json").read_text())
    assert result["held_out"] == {
        each["member"]: {ACTION_ERROR: each[ACTION_ERROR]} for each in whole[-2:]
    }
    assert len(result["data"]["returns"]) == 3  # of those that are learned from
    command("--name=cut", *held, "--num_updates=20")
    command("--resume=runs/cut", "--num_updates=40", "--extend", "--quiet")
    assert [each for each in lines("runs/cut") if ACTION_ERROR in each] == whole


def test_a_share_that_holds_nothing_out_is_one_line(command: Callable[..., None], capsys: Any):
    assert "of the 4 episodes" in refused(capsys, lambda: command("--validation=0.01"))
    assert "must be at least 0 and below 1" in refused(capsys, lambda: command("--validation=1"))
    assert not Path("runs").exists()
