"""Guards for every test, and data small enough to train on in a second."""

import gc
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from rlp.commands import train
from rlp.data.episodes import Episode, EpisodeSet
from rlp.envs import cellworld_resources as resources
from rlp.envs.cellworld_resources import CACHE, World
from tests.envs import made_world
from tests.whole_runs import FAST

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)

for name, value in {
    "jax_disable_most_optimizations": True,  # compile time is what tests cost
    "jax_num_cpu_devices": 1,
}.items():
    jax.config.update(name, value)
    os.environ[name.upper()] = str(value)  # of processes that tests start
if jax.__version_info__ < (0, 11):  # later ones do not know the flag, which saves 40 % of the time
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_use_fusion_emitters=false"

HOME = tempfile.TemporaryDirectory()  # removed when the tests end
os.environ["RLP_HOME"] = HOME.name  # tests leave the user's own alone

SHARED = Path(__file__).parents[2] / "shared" / "data"
MOST_BYTES = 3e9  # that a process may keep between two files of tests: programs that were compiled


@pytest.fixture(autouse=True, scope="module")
def forget_programs() -> Iterator[None]:
    yield
    resident = Path("/proc/self/statm")  # not on macOS
    if resident.exists():
        num_bytes = int(resident.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        if num_bytes > MOST_BYTES:
            jax.clear_caches()
            gc.collect()


@pytest.fixture
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"the real data files are not at {SHARED}")
    return SHARED


@pytest.fixture
def golden() -> Callable[[str], Any]:
    """The vectors of a reference implementation, from tests/golden or the folder RLP_GOLDEN."""
    folder = Path(os.environ.get("RLP_GOLDEN", Path(__file__).parent / "golden"))
    return lambda name: np.load(folder / f"{name}.npz", allow_pickle=False)


def make_episode(
    length: int, seed: int = 0, terminated: bool = False, observation_dim: int = 4
) -> Episode:
    rng = np.random.default_rng(seed)
    return Episode(
        observation=rng.standard_normal((length + 1, observation_dim)).astype(np.float32),
        action=rng.uniform(-1, 1, (length, 2)).astype(np.float32),
        reward=rng.uniform(0, 1, length).astype(np.float32),
        terminated=terminated,
    )


@pytest.fixture
def episodes() -> EpisodeSet:
    lengths = (7, 3, 12, 5)
    made = [make_episode(n, seed, terminated=n == 3) for seed, n in enumerate(lengths)]
    return EpisodeSet("made", "", made)


def write_exorl(folder: Path, episodes: EpisodeSet) -> Path:
    """Writes the episodes as ExORL does: row 0 a dummy, actions lead to the observation."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, episode in enumerate(episodes.episodes):
        length = len(episode.action)
        discount = np.ones((length + 1, 1), np.float32)
        discount[-1] = 0 if episode.terminated else 1
        np.savez_compressed(
            folder / f"episode_{number:06d}_{length}.npz",
            observation=episode.observation,
            action=np.pad(episode.action, ((1, 0), (0, 0))),
            reward=np.pad(episode.reward, (1, 0))[:, None],
            discount=discount,
        )
    return folder


@pytest.fixture
def exorl(tmp_path: Path, episodes: EpisodeSet) -> Path:
    return write_exorl(tmp_path / "data", episodes)


@pytest.fixture
def command(tmp_path: Path, exorl: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs `rlp.train bc` in an empty folder, on a small data set, without evaluation."""
    monkeypatch.chdir(tmp_path)
    defaults = (f"--dataset={exorl}", "--eval_every=0", "--quiet", *FAST)

    def run(*words: str) -> None:
        names = {word.split("=")[0] for word in words}
        resumed = "--resume" in names
        kept = [word for word in defaults if not resumed and word.split("=")[0] not in names]
        train.main(["bc", *words, *kept])

    return run


@pytest.fixture(scope="session")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_world.write(tmp_path_factory.mktemp("cellworld"))


@pytest.fixture
def small_world(made_folder: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv(CACHE, str(made_folder))
    return resources.read()


@pytest.fixture
def real_world(monkeypatch: pytest.MonkeyPatch) -> World:
    folder = os.environ.get(CACHE, str(SHARED / "cellworld" / "cache"))
    if not Path(folder).is_dir():
        pytest.skip(f"the files of cellworld_data are not at {folder}")
    monkeypatch.setenv(CACHE, folder)
    return resources.read()
