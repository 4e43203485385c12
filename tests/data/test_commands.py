from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlp import data
from rlp.data.__main__ import main
from rlp.data.episodes import EpisodeSet, fingerprint
from tests.whole_runs import refused


def test_info_prints_the_facts(exorl: Path, episodes: EpisodeSet, capsys):
    main(["info", str(exorl)])
    assert fingerprint(episodes) in capsys.readouterr().out


def test_convert_writes_the_same_data_and_its_card(
    tmp_path: Path, exorl: Path, episodes: EpisodeSet
):
    out = tmp_path / "sets" / "mine.npz"
    main(["convert", str(exorl), str(out)])
    assert fingerprint(data.load(str(out))) == fingerprint(episodes)
    assert fingerprint(episodes) in out.with_suffix(".md").read_text()


def test_convert_chooses_episodes_evenly_and_says_so(tmp_path: Path, exorl: Path):
    (exorl / "metadata.json").write_text('{"licence": "CC0", "fingerprint": "of the whole"}')
    out = tmp_path / "few.npz"
    main(["convert", str(exorl), str(out), "--num_episodes=2"])
    read = data.load(str(out))
    assert read.returns.tolist() == data.load(str(exorl)).returns[[0, 3]].tolist()
    assert read.metadata == {"licence": "CC0", "chosen": "2 of 4 episodes, evenly spaced"}


@pytest.mark.parametrize(("form", "out"), [("d4rl", "a.hdf5"), ("minari", "a"), ("exorl", "b")])
def test_convert_writes_the_same_data_in_every_format(
    tmp_path: Path, exorl: Path, episodes: EpisodeSet, form: str, out: str, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = ["convert", str(exorl), out, f"--to={form}"]
    main(words)
    assert "4 episodes, 27 steps, the same data when read again" in capsys.readouterr().out
    assert fingerprint(data.load(out)) == fingerprint(episodes)
    assert "exists: choose a new name" in refused(capsys, lambda: main(words))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["info", "no-such-set"], "no data set no-such-set"),
        (["info"], "DATASET is missing"),
        (["convert", "walker-walk/medium", "out.txt"], "out.txt: must end in .npz"),
        (["convert", "walker-walk/medium", "o", "--to=tfds"], "--to=tfds"),
        (["convert", "walker-walk/medium", "o.npz", "--to=exorl"], "o.npz: a folder will be made"),
        (["relabel", "walker-walk/medium", "o.hdf5"], "o.hdf5: a folder will be made"),
        (["relabel", "walker-walk/medium", "o", "--env=cheetah-run"], "cheetah-run has 17 and 6"),
        (["convert", "walker-walk/medium", "o.npz", "--num_episodes=99"], "walker-walk/medium has"),
    ],
)
def test_bad_input_is_one_line(words: list[str], message: str, capsys):
    assert message in refused(capsys, lambda: main(words))


def test_only_states_that_are_told_are_relabelled(tmp_path: Path, capsys):
    observation = data.load("walker-walk/medium").episodes[0].observation[:11]
    columns: dict[str, Any] = {
        "action": np.zeros((10, 6)), "reward": np.zeros(10), "terminated": np.zeros(10, bool),
        "truncated": np.arange(10) == 9, "env": "walker-walk",
    }  # fmt: skip
    shuffled = observation[:, ::-1]
    more: dict[str, dict[str, Any]] = {
        "shuffled": {"observation": shuffled[:-1], "next_observation": shuffled[1:]},
        "short": {"observation": observation[:-1]},
    }
    for name, observed in more.items():
        np.savez(tmp_path / f"{name}.npz", **columns, **observed)
        words = ["relabel", f"{tmp_path}/{name}.npz", str(tmp_path / "o")]
        assert "episode 0 has no state after every" in refused(capsys, lambda w=words: main(w))
        assert not (tmp_path / "o").exists()


def test_discrete_actions_are_told_and_kept_by_npz(tmp_path: Path, capsys):
    path = tmp_path / "columns.npz"
    end = np.array([False, False, False, True])
    np.savez(
        path, observation=np.zeros((4, 3)), next_observation=np.zeros((4, 3)),
        action=np.array([0, 1, 1, 1]), reward=np.zeros(4), terminated=end, truncated=end,
    )  # fmt: skip
    main(["info", str(path)])
    assert "2, taken in 25.0%, 75.0%" in capsys.readouterr().out
    main(["convert", str(path), f"{tmp_path}/packed.npz", "--to=npz"])
    assert "the same data" in capsys.readouterr().out
    assert data.load(f"{tmp_path}/packed.npz").discrete
    words = ["convert", str(path), f"{tmp_path}/out", "--to=minari"]
    assert "which only --to=npz keeps" in refused(capsys, lambda: main(words))


@pytest.mark.filterwarnings("ignore::rlp.errors.DataWarning")
def test_convert_keeps_what_it_can_and_no_more(tmp_path: Path, capsys):
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {
        "observation": rng.standard_normal((9, 3)), "action": rng.uniform(-1, 1, (9, 2)),
        "terminated": np.arange(9) % 4 == 3, "truncated": np.zeros(9, bool),
    }  # fmt: skip
    columns["next_observation"] = np.roll(columns["observation"], -1, axis=0) + 0.0
    columns["next_observation"][[3, 7, 8]] += 1
    np.savez(tmp_path / "none.npz", **columns)
    np.savez(tmp_path / "cut.npz", reward=np.ones(9), **columns)
    words = ["convert", f"{tmp_path}/none.npz", f"{tmp_path}/out.hdf5", "--to=d4rl"]
    assert "what --to=d4rl can keep cannot be known without" in refused(capsys, lambda: main(words))
    main(["convert", f"{tmp_path}/cut.npz", f"{tmp_path}/cut.hdf5", "--to=d4rl"])
    assert data.load(f"{tmp_path}/cut.hdf5").lengths.tolist() == [4, 4]  # not the unfinished end
    for name in ("none", "cut"):
        main(["convert", f"{tmp_path}/{name}.npz", f"{tmp_path}/{name}_packed.npz"])
        before, after = (data.load(f"{tmp_path}/{name}{end}.npz") for end in ("", "_packed"))
        assert fingerprint(after) == fingerprint(before)
        assert after.is_whole.tolist() == before.is_whole.tolist() == [True, True, False]
        assert after.has_rewards == before.has_rewards == (name == "cut")
