"""Flat columns are cut where the file says so: by flags, and by the next observations it gives."""

import warnings
from typing import Any

import numpy as np
import pytest

from rlp import data
from rlp.data.episodes import EpisodeSet
from rlp.data.flat import check_rows, cut, time_limits
from rlp.errors import DataWarning, InputError

N, LENGTH = 40, 10
RNG = np.random.default_rng(0)


def columns(num_rows: int = N, length: int = LENGTH) -> dict[str, Any]:
    """Episodes of one length, each with a successor of its own after the last step."""
    states = RNG.standard_normal((num_rows + num_rows // length, 3)).astype(np.float32)
    is_last = np.arange(len(states)) % (length + 1) == length
    return {
        "observation": states[~is_last],
        "action": RNG.uniform(-1, 1, (num_rows, 2)).astype(np.float32),
        "reward": np.ones(num_rows, np.float32),
        "terminated": np.zeros(num_rows, bool),
        "truncated": np.arange(num_rows) % length == length - 1,
        "next_observation": states[1:][~is_last[:-1]],
    }


def read(found: dict[str, Any]) -> tuple[EpisodeSet, str]:
    """Returns a data set of columns, and all that was warned of."""
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        made = data.from_arrays(**found)
    return made, "; ".join(str(warning.message) for warning in raised)


def transitions(made: EpisodeSet) -> dict[bytes, bytes]:
    """Returns what follows on each observation."""
    return {
        episode.observation[t].tobytes(): episode.observation[t + 1].tobytes()
        for episode in made.episodes
        for t in range(len(episode.observation) - 1)
    }


def test_without_a_jump_nothing_is_said():
    made, said = read(columns())
    assert said == ""
    assert made.lengths.tolist() == [LENGTH] * 4
    assert made.is_whole.all()


def test_a_reset_that_no_flag_marks_cuts():
    found = columns()
    found["truncated"] = found["truncated"] & (np.arange(N) != 2 * LENGTH - 1)
    made, said = read(found)
    assert made.lengths.tolist() == [LENGTH] * 4
    assert made.is_whole.tolist() == [True, False, False, True]
    assert "1 cuts where the next observation is not that of the next row: resets" in said
    np.testing.assert_array_equal(made.episodes[1].observation[-1], found["next_observation"][19])


def test_flags_that_are_never_set_are_told():
    found = columns()
    found["truncated"][:] = False
    made, said = read(found)
    assert made.lengths.tolist() == [LENGTH] * 4
    assert "3 cuts" in said
    assert "and no flag marks an end" in said


def test_rows_in_random_order_keep_their_own_successors():
    found = columns()
    order = RNG.permutation(N)
    made, said = read({name: column[order] for name, column in found.items()})
    assert "in another order than the steps" in said
    assert not made.is_whole.any()
    expected = {
        a.tobytes(): b.tobytes()
        for a, b in zip(found["observation"], found["next_observation"], strict=True)
    }
    assert transitions(made) == expected


def test_steps_that_were_left_out_are_told():
    found = columns()
    made, said = read({name: column[::2] for name, column in found.items()})
    assert "steps were left out between the rows" in said
    assert (
        transitions(made).items()
        <= {
            a.tobytes(): b.tobytes()
            for a, b in zip(found["observation"], found["next_observation"], strict=True)
        }.items()
    )


def test_the_reset_of_an_environment_that_resets_itself_is_no_successor():
    found = columns()
    found["next_observation"][:-1] = found["observation"][1:]
    made, said = read(found)
    assert "at 4 time limits the next observation is the first of the next episode" in said
    known = [len(episode.observation) - len(episode.action) for episode in made.episodes]
    assert known == [0, 0, 0, 0]  # that of the last one is a reset, too


def test_few_states_may_meet_by_chance():
    found = columns()
    for name in ("observation", "next_observation"):
        found[name] = np.round(3 * found[name])
    found["next_observation"][:-1][~found["truncated"][:-1]] = found["observation"][1:][
        ~found["truncated"][:-1]
    ]
    found["next_observation"][LENGTH - 1] = found["observation"][LENGTH]
    made, said = read(found)
    assert said == ""
    assert [len(episode.observation) for episode in made.episodes] == [LENGTH + 1] * 4


@pytest.mark.parametrize("coarse", ["observation", "next_observation"])
def test_observations_are_compared_in_the_coarser_precision(coarse: str):
    found = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in columns().items()}
    noise = 1e-9 * RNG.standard_normal((N, 3))
    found["observation"], found["next_observation"] = (
        found[name] + noise for name in ("observation", "next_observation")
    )
    found["next_observation"][:-1] = np.where(
        found["truncated"][:-1, None], found["next_observation"][:-1], found["observation"][1:]
    )
    found[coarse] = found[coarse].astype(np.float32)
    made, said = read(found)
    assert said == ""
    assert made.lengths.tolist() == [LENGTH] * 4


def test_a_trajectory_is_cut_at_its_flags():
    found = columns(20, 20)
    terminated = np.isin(np.arange(20), [4, 12])
    states = np.concatenate([found["observation"], found["next_observation"][-1:]])
    episodes = cut(
        states, found["action"], found["reward"], terminated, np.zeros(20, bool), ends_whole=True
    )
    assert [len(episode.action) for episode in episodes] == [5, 8, 7]
    assert [episode.terminated for episode in episodes] == [True, True, False]
    assert not any(episode.is_fragment for episode in episodes)
    np.testing.assert_array_equal(episodes[2].observation, states[13:])


def test_the_unfinished_end_of_a_file_is_a_fragment():
    made, _ = read({name: column[: N - 3] for name, column in columns().items()})
    assert made.is_whole.tolist() == [True, True, True, False]


def test_time_limits_come_after_as_many_steps_as_the_user_says():
    terminated = np.isin(np.arange(12), [3, 11])
    truncated, notes = time_limits(terminated, 3)
    assert np.flatnonzero(truncated).tolist() == [2, 6, 9]
    assert notes == []
    truncated, (note,) = time_limits(terminated, 0)
    assert not truncated.any()
    assert "--episode_length=1000" in note


@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        ("observation", np.zeros((2, 20, 3)), r"observation has the shape \[2, 20, 3\]"),
        (
            "observation",
            np.zeros((N, 9, 9, 3), np.uint8),
            r"images \[9, 9, 3\], which are not read",
        ),
        ("observation", np.zeros((N, 0)), r"rows of no numbers, \[40, 0\]"),
        ("observation", np.array([{"a": 1}] * N), r"observation is not numbers but object"),
        ("action", np.array([["left"]] * N), r"action is not numbers but <U4 \(text\)"),
        ("reward", np.zeros((N, 2)), r"reward has the shape \[40, 2\], not rows of one number"),
        ("reward", np.zeros(N, "M8[s]"), r"reward is not numbers but .* \(dates\)"),
        ("terminated", np.full(N, np.nan), "terminated: a flag is 0 or 1, not nan as in row 0"),
        ("truncated", np.arange(N), "truncated: a flag is 0 or 1, not 2 as in row 2"),
    ],
)
def test_what_is_no_column_is_named(name: str, column: np.ndarray, message: str):
    with pytest.raises(InputError, match=message):
        data.from_arrays(**{**columns(), name: column})


def test_arrays_of_episodes_and_steps_are_refused_in_words():
    stacked = {name: column.reshape(4, LENGTH, -1) for name, column in columns().items()}
    with pytest.raises(InputError, match="put the steps of all episodes one after the other"):
        data.from_arrays(**stacked)


def test_columns_without_a_row_have_no_steps():
    with pytest.raises(InputError, match="here: it has no steps"):
        check_rows({"action": np.zeros((0, 2))}, "here")


def test_warnings_are_of_a_kind_that_can_be_caught():
    found = columns()
    found["truncated"][:] = False
    with pytest.warns(DataWarning, match="arrays: 3 cuts"):
        data.from_arrays(**found)


def test_rows_in_which_an_environment_only_resets_itself_are_left_out():
    """As gymnasium's vector environments have them, unless told otherwise."""
    found, idle = columns(), np.arange(LENGTH, N, LENGTH)
    last = found["next_observation"][idle - 1]
    stored = {name: np.insert(column, idle, 0, axis=0) for name, column in found.items()}
    rows = idle + np.arange(len(idle))
    stored["observation"][rows] = last
    stored["next_observation"][rows] = stored["observation"][rows + 1]
    made, said = read(stored)
    assert "3 rows behind the end of an episode, with reward 0" in said
    assert made.lengths.tolist() == [LENGTH] * 4
    assert transitions(made) == transitions(read(found)[0])


def test_zeros_at_a_time_limit_are_no_successor():
    found = columns()
    found["next_observation"][found["truncated"]] = 0
    made, said = read(found)
    assert "at 4 time limits" in said
    assert [len(episode.observation) for episode in made.episodes] == [LENGTH] * 4


def test_what_stands_behind_a_termination_does_not_matter():
    found = columns()
    found["terminated"], found["truncated"] = found["truncated"], found["terminated"]
    found["next_observation"][found["terminated"]] = np.nan
    made, said = read(found)
    assert said == ""
    assert [len(episode.observation) for episode in made.episodes] == [LENGTH] * 4
