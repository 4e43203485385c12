"""Makes the sample files beside it with the libraries that people make such files with.

    python tests/data/samples/make.py minari parquet     # with minari[hdf5,arrow] installed
    python tests/data/samples/make.py stable_baselines3 d3rlpy
    python tests/data/samples/make.py rlds               # with tensorflow, tensorflow-datasets

Every sample holds the same three episodes (5, 4 and 3 steps, the first terminated), as far as its
format can. The libraries are not needed to test with the files, which are kept beside this one:
made by minari 0.5.4, pyarrow 26, stable-baselines3 2.9.0, d3rlpy 2.8.1 and tensorflow-datasets 4.9.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
LENGTHS = (5, 4, 3)


def episodes() -> list[dict[str, Any]]:
    """Returns the episodes: observation [T + 1, 3], action [T, 2], reward [T], terminated."""
    rng = np.random.default_rng(0)
    return [
        {
            "observation": rng.standard_normal((length + 1, 3)).astype(np.float32),
            "action": rng.uniform(-1, 1, (length, 2)).astype(np.float32),
            "reward": rng.uniform(0, 1, length).astype(np.float32),
            "terminated": number == 0,
        }
        for number, length in enumerate(LENGTHS)
    ]


def choices(episode: dict[str, Any]) -> np.ndarray:
    """Returns an episode's discrete actions in the samples that have such, [T] int64 below 3."""
    return np.digitize(episode["action"][:, 0], (-0.3, 0.3))


def last(episode: dict[str, Any], flag: bool) -> np.ndarray:
    """Returns a flag that is set in an episode's last row only, [T] bool."""
    flags = np.zeros(len(episode["action"]), bool)
    flags[-1] = flag
    return flags


def minari() -> None:
    """Minari's three storages."""
    import gymnasium
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    for kind in ("hdf5", "arrow", "parquet"):
        folder = HERE / f"minari_{kind}" / "data"
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.mkdir(parents=True)
        storage = MinariStorage.new(
            folder,
            gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32),
            gymnasium.spaces.Box(-2, 2, (2,), np.float32),
            data_format=kind,
        )
        storage.update_episodes(
            EpisodeBuffer(
                id=number,
                observations=episode["observation"],
                actions=2 * episode["action"],
                rewards=list(episode["reward"].astype(float)),
                terminations=list(last(episode, episode["terminated"])),
                truncations=list(last(episode, not episode["terminated"])),
            )
            for number, episode in enumerate(episodes())
        )


def parquet() -> None:
    """Hugging Face's decision_transformer_gym_replay: a row a trajectory."""
    import pyarrow
    from pyarrow import parquet as writer

    folder = HERE / "parquet" / "train"
    folder.mkdir(parents=True, exist_ok=True)
    columns = {
        "observations": [e["observation"][:-1].tolist() for e in episodes()],
        "actions": [e["action"].tolist() for e in episodes()],
        "rewards": [e["reward"][:, None].tolist() for e in episodes()],
        "dones": [last(e, e["terminated"]).tolist() for e in episodes()],
    }
    single = pyarrow.list_(pyarrow.list_(pyarrow.float32()))
    kinds = [single, single, single, pyarrow.list_(pyarrow.bool_())]
    schema = pyarrow.schema(list(zip(columns, kinds, strict=True)))
    table = pyarrow.table(columns, schema=schema)
    writer.write_table(table, folder / "0000.parquet", write_page_checksum=True)


def stable_baselines3() -> None:
    """The replay buffer of an algorithm, saved as its model does, round its end once."""
    import gymnasium
    from stable_baselines3.common.buffers import ReplayBuffer
    from stable_baselines3.common.save_util import save_to_pkl

    space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    box = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    three = gymnasium.spaces.Discrete(3)
    for name, size, memory, actions in (
        ("full", 10, False, box),
        ("part", 40, False, box),
        ("small", 40, True, box),
        ("discrete", 40, False, three),
    ):
        buffer = ReplayBuffer(
            size, space, actions, "cpu", 1, memory, handle_timeout_termination=not memory
        )
        for episode in episodes():
            taken = episode["action"] if actions is box else choices(episode)[:, None]
            for t in range(len(taken)):
                ends = t + 1 == len(episode["action"])
                buffer.add(
                    episode["observation"][t : t + 1],
                    episode["observation"][t + 1 : t + 2],
                    taken[t : t + 1],
                    episode["reward"][t : t + 1],
                    np.array([ends]),
                    [{"TimeLimit.truncated": ends and not episode["terminated"]}],
                )
        save_to_pkl(HERE / f"stable_baselines3_{name}.pkl", buffer)


def d3rlpy() -> None:
    """d3rlpy's version 2, with vectors and with discrete actions."""
    import d3rlpy

    for name in ("d3rlpy", "d3rlpy_discrete"):
        made = [
            d3rlpy.dataset.Episode(
                episode["observation"][:-1],
                episode["action"] if name == "d3rlpy" else choices(episode)[:, None],
                episode["reward"][:, None],
                episode["terminated"],
            )
            for episode in episodes()
        ]
        buffer = d3rlpy.dataset.create_infinite_replay_buffer(made)
        with (HERE / f"{name}.h5").open("w+b") as file:
            buffer.dump(file)


def rlds() -> None:
    """RL Unplugged's raw episodes, and the same as TensorFlow Datasets writes them."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    def floats(values: np.ndarray) -> Any:
        return tf.train.Feature(float_list=tf.train.FloatList(value=np.ravel(values)))

    def whole(value: int) -> Any:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    folder = HERE / "rl_unplugged" / "walker_walk"
    folder.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / "train-00000-of-00001"), "GZIP") as file:
        for number, episode in enumerate(episodes()):
            discount = np.ones(len(episode["action"]) + 1)
            discount[-1] = 0 if episode["terminated"] else 1
            features = {
                "observation/velocity": floats(episode["observation"][:, 1:]),
                "observation/height": floats(episode["observation"][:, :1]),
                "action": floats(np.pad(episode["action"], ((0, 1), (0, 0)))),
                "reward": floats(np.pad(episode["reward"], (1, 0))),
                "discount": floats(discount),
                "step_type": floats(np.zeros(len(discount))),
                "episode_id": whole(number),
                "timestamp": whole(0),
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            file.write(example.SerializeToString())

    tensor = tfds.features.Tensor(
        shape=(2,), dtype=np.float32, encoding=tfds.features.Encoding.ZLIB
    )
    height = tfds.features.Tensor(shape=(1,), dtype=np.float32)
    step = {
        "observation": {"velocity": tensor, "height": height},
        "action": tfds.features.Tensor(shape=(2,), dtype=np.float32),
        "reward": np.float32, "discount": np.float32,
        "is_first": np.bool_, "is_last": np.bool_, "is_terminal": np.bool_,
    }  # fmt: skip

    class Rlds(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> Any:
            features = tfds.features.FeaturesDict({"steps": tfds.features.Dataset(step)})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, _: Any) -> Any:
            return {"train": self._generate_examples()}

        def _generate_examples(self) -> Any:
            for number, episode in enumerate(episodes()):
                length = len(episode["action"])
                action = np.pad(episode["action"], ((0, 1), (0, 0)))
                reward = np.pad(episode["reward"], (0, 1))
                steps = [
                    {
                        "observation": {
                            "velocity": episode["observation"][t, 1:],
                            "height": episode["observation"][t, :1],
                        },
                        "action": action[t],
                        "reward": reward[t],
                        "discount": 0.0 if episode["terminated"] and t >= length - 1 else 1.0,
                        "is_first": t == 0,
                        "is_last": t == length,
                        "is_terminal": episode["terminated"] and t == length,
                    }
                    for t in range(length + 1)
                ]
                yield number, {"steps": steps}

    builder = Rlds(data_dir=str(HERE / "rlds"))
    builder.download_and_prepare()


if __name__ == "__main__":
    for name in sys.argv[1:]:
        globals()[name]()
