"""Do rewards lowered by a transformer help an actor-critic that overestimates? On HalfCheetah.

    python experiments/transformer_reward.py            # all missing stages
    python experiments/transformer_reward.py --quick    # the same steps with tiny sizes

1. A teacher, SAC with a single critic, learns from scratch for 100 episodes; all are kept.
2. A causal transformer learns rewards and returns to go, as normal distributions, from four fifths
   of a teacher's episodes; its calibration is measured on the others.
3. A new agent like the teacher learns from shaped rewards (`shaped_sac.py`) with weights 0, 0.2,
   0.4 and 1. The bound is one standard deviation below the prediction of its seed's transformer.
4. The same, but the transformer continues to learn from what the agent sees.

Controls: every reward lowered by a constant, the mean reduction of stage 3 at each weight, without
a transformer; clipped double Q; and nothing, which is weight 0. Five paired seeds of the whole
chain; seeds and weights are members of one program for each structure. Q is compared with the
discounted return that followed in the same states, with sampled actions, as Q assumes.

The settings of SAC are those of `rlp.collect`. The settings of the transformer and the weights were
fixed before the first run. 0.4 is the weight of the study that this one repeats (genji970's
online-transformer_encoder_rl-mujoco-half-cheetah-reward-change-experiment, at 247662d). That study
reports no figures, and the condition under which its code lowers rewards is never true.

It takes an estimated three hours on 2 cores: 3 million updates. Compared with a single critic,
updates with a frozen transformer take 1.6 times as long, with a learning one 3.0 times, and with
clipped double Q 1.7 times. Two critics make 441 updates per second (docs/online.md). The records of
all rows and the page are in results/transformer_reward; interrupted runs are resumed.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import shaped_sac
import transformer_reward_page as page
from transformer_reward_measures import VALUE_SEED, Recorder, Values, calibration

import rlp
from rlp import algos, cli, data, envs, runs
from rlp.commands.evaluate import evaluate_runs
from rlp.commands.learn import finish
from rlp.commands.train import train, values_of
from rlp.data.episodes import Episode, EpisodeSet
from rlp.data.formats import packed
from rlp.evaluation import video
from rlp.runs import Run, evaluations, provenance
from rlp.system import files
from rlp.training import online_start, restore
from rlp.training.online import Plan, Start
from rlp.training.online_start import Handling

ALGO = "shaped_sac"
ENV = "gym:HalfCheetah-v4"
HELD_OUT = 5  # every fifth episode of a teacher is held out from its transformer
MOST_BYTES = 1_000_000  # of the video
VIDEO = "side_by_side.gif"
CURVES = ("actor_loss", "critic_loss", "q", "reduction", "model_loss", "reward_loss", "to_go_loss")


class Sizes(NamedTuple):
    """The sizes of the study."""

    num_seeds: int
    num_steps: int  # of each member, online
    eval_every: int  # steps between evaluations
    num_episodes: int  # of each member in an evaluation
    final_episodes: int  # in the last evaluation
    value_episodes: int  # for comparing Q with returns
    model_updates: int
    weights: tuple[float, ...]  # the first is 0
    networks: Mapping[str, str]  # flags for the sizes of networks

    @property
    def online(self) -> dict[str, str]:
        """The flags of all online learning."""
        return {
            "num_seeds": str(self.num_seeds),
            "num_steps": str(self.num_steps),
            "num_envs": "4",
            "num_random_steps": str(self.num_steps // 25),
            "eval_every": str(self.eval_every),
            "num_episodes": str(self.num_episodes),
            "checkpoint_every": str(self.eval_every),
            "log_every": str(self.num_steps // 50),
            **self.networks,
        }


FULL = Sizes(5, 100_000, 10_000, 5, 20, 3, 20_000, (0.0, 0.2, 0.4, 1.0), {})
TINY = {"hidden_dims": "16", "batch_size": "16", "model_batch_size": "16", "embed_dim": "16"}
QUICK = Sizes(2, 8_000, 8_000, 1, 2, 1, 100, (0.0, 0.4), TINY)


@dataclass(frozen=True)
class Settings:
    """The study."""

    runs: str = ""  # folder of the runs (default: runs/transformer_reward, with --quick ..._quick)
    results: str = ""  # of the records (default: results/transformer_reward, --quick: in the runs)
    quick: bool = False  # tiny sizes, which only show that everything runs
    quiet: bool = False  # print only the results


class Study(NamedTuple):
    """The sizes and folders of the study."""

    sizes: Sizes
    runs: Path
    results: Path
    quiet: bool

    def record(self, row: str) -> Path:
        """Returns the path of a row's record."""
        return self.results / f"{row}.json"


def learn(
    study: Study, row: str, flags: Mapping[str, str], models: Sequence[shaped_sac.State] = ()
) -> Run:
    """Returns the completed run of a row, and writes its record; resumes the run if it exists.

    Args:
        study: the study of the row.
        row: its name.
        flags: of its run.
        models: states with the transformer of each seed, if it has one.
    """
    directory = study.runs / row
    if study.record(row).exists():
        return runs.load(directory)
    given = {**study.sizes.online, **flags, "runs": str(study.runs), "name": row}
    watches = Recorder if row == "teacher" else Values
    with ExitStack() as held:  # the lock of the run
        if (directory / "config.json").exists():
            ready = online_start.go_on(directory, held)
        else:
            values = values_of(ALGO, given, (online_start.Settings, Plan))
            ready = online_start.begin(ALGO, ENV, values, held)
        ready = ready._replace(start=_with_models(ready.start, models))
        watch = watches(ready.run, study.sizes.value_episodes)
        again = f"the same command; it is in {directory}"
        run = finish(ready, Handling(quiet=study.quiet), again, watch)
    episodes, quiet = str(study.sizes.final_episodes), str(study.quiet)
    evaluate_runs({"runs": str(directory), "num_episodes": episodes, "quiet": quiet})
    curves = run.curves()
    record = {
        "final": evaluations.read(run)[-1]["returns"],
        "evaluations": run.evaluations(),
        "values": files.read_json(directory / "values.json"),
        "curves": {name: curves[name] for name in CURVES if name in curves},
        **run.record,
    }
    files.write_json(study.record(row), record)
    return run


def _with_models(start: Start, models: Sequence[shaped_sac.State]) -> Start:
    """Returns a start with the transformer of each member's seed; seeds vary fastest."""
    if not models:
        return start
    members = start.members
    of_members = [models[i % len(models)] for i in range(len(members.keys))]
    stacked = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *of_members)
    states = members.states._replace(model=stacked.model, model_opt=stacked.model_opt)
    return start._replace(members=members._replace(states=states))


def split_episodes(study: Study, teacher: Run, number: int) -> tuple[Path, list[Episode]]:
    """Returns the file of a teacher's episodes for its transformer, and the held-out episodes."""
    num_envs = teacher.record["plan"]["num_envs"]
    whose = range(number * num_envs, (number + 1) * num_envs)
    paths = (teacher.directory / "episodes").glob("*.npz")
    of_teacher = sorted(
        (int(path.stem.split("_")[1]), path) for path in paths if int(path.stem[:3]) in whose
    )
    episodes = [data.load(str(path)).episodes[0] for _, path in of_teacher]
    file = study.runs / f"episodes_{number}.npz"
    if not file.exists():
        kept = [each for i, each in enumerate(episodes) if (i + 1) % HELD_OUT]
        packed.write(file, EpisodeSet(file.stem, ENV, kept))
    return file, episodes[HELD_OUT - 1 :: HELD_OUT]


def learn_model(study: Study, file: Path, number: int) -> Run:
    """Returns the run in which a seed's transformer learns from a teacher's episodes."""
    directory, sizes = study.runs / f"model_{number}", study.sizes
    if (directory / "result.json").exists():
        return runs.load(directory)
    updates = str(sizes.model_updates)
    given = {
        "dataset": str(file), "seed": str(number), "eval_every": "0", "model": "learning",
        "num_updates": updates, "model_updates": updates, "normalize": "False",
        "log_every": str(sizes.model_updates // 50), "runs": str(study.runs),
        "name": directory.name, "quiet": str(study.quiet), **sizes.networks,
    }  # fmt: skip
    if (directory / "config.json").exists():
        given["resume"] = str(directory)
    return train(ALGO, given)


def learn_models(study: Study, teacher: Run) -> list[shaped_sac.State]:
    """Returns states with the transformer of each seed; writes their calibration."""
    states, found = [], []
    for number in range(study.sizes.num_seeds):
        file, held_out = split_episodes(study, teacher, number)
        run = learn_model(study, file, number)
        states.append(restore.load(run)[0].states)
        model = jax.tree.map(lambda leaf: leaf[0], states[-1].model)
        curves = {name: run.curves()[name] for name in CURVES if name in run.curves()}
        found.append({"calibration": calibration(run, model, held_out), "curves": curves})
    files.write_json(study.record("models"), {"seeds": found, **provenance.environment()})
    return states


def reductions(run: Run) -> list[float]:
    """Returns how much the rewards of each setting were lowered, averaged over seeds and time."""
    curves = run.curves()["reduction"]
    means = {label: np.mean([value for _, value in points]) for label, points in curves.items()}
    return [float(np.mean([means[label] for label in of])) for of in run.settings.values()]


def film(study: Study, shown: Mapping[str, tuple[Run, str]]) -> None:
    """Writes a video of members side by side, each with its label, from one initial state."""
    agents = [
        rlp.load_policy(run.directory, member, algo=shaped_sac) for run, member in shown.values()
    ]

    def act(observation: np.ndarray, reward: np.ndarray) -> np.ndarray:
        del reward
        return np.stack([agent(row) for agent, row in zip(agents, observation, strict=True)])

    path = study.results / VIDEO
    size = video.KINDS[path.suffix].cell
    for seconds in (8, 4, 2):
        env = envs.make(ENV, len(agents), picture_size=size)
        assert isinstance(env, envs.Visible)
        with closing(env):
            video.write(path, act, env, [VALUE_SEED] * len(agents), list(shown), seconds)
        if path.stat().st_size <= MOST_BYTES:
            return


def main(given: cli.Given) -> None:
    """Runs the missing stages, and writes the page, its pictures and the video."""
    settings = cli.parse(Settings, given)
    video.check(Path(VIDEO))  # before a simulator is imported
    algos.register(shaped_sac)
    study = _study(settings)
    if not (study.results / VIDEO).exists():  # the video is written last
        run_stages(study)
    page.write(study.results, __doc__ or "")


def run_stages(study: Study) -> None:
    """Runs the missing stages, and writes their records and the video."""
    teacher = learn(study, "teacher", {})
    models = learn_models(study, teacher)
    nothing, *weights = study.sizes.weights
    new = {"seed": "100"}  # other seeds than the teachers'
    frozen = {**new, "model": "frozen", "weight": _several([nothing, *weights])}
    with_model = learn(study, "frozen", frozen, models)
    learn(study, "learning", {**new, "model": "learning", "weight": _several(weights)}, models)
    constants = reductions(with_model)[1:]
    lowered = learn(study, "lowered", {**new, "reduction": _several(constants)})
    clipped = learn(study, "clipped", {**new, "num_critics": "2"})
    first = [labels[0] for labels in with_model.settings.values()]
    at = study.sizes.weights.index(page.WEIGHT)
    film(study, {
        "nothing": (with_model, first[0]),
        f"transformer, {page.WEIGHT}": (with_model, first[at]),
        "as much less": (lowered, lowered.labels[(at - 1) * study.sizes.num_seeds]),
        "clipped double Q": (clipped, clipped.labels[0]),
    })  # fmt: skip


def _study(settings: Settings) -> Study:
    name = "transformer_reward_quick" if settings.quick else "transformer_reward"
    where = Path(settings.runs or f"runs/{name}")
    usual = where / "results" if settings.quick else Path(__file__).parent / "results" / name
    sizes = QUICK if settings.quick else FULL
    return Study(sizes, where, Path(settings.results or usual), settings.quiet)


def _several(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)


if __name__ == "__main__":
    doc = (__doc__ or "").splitlines()[0]
    cli.main("python experiments/transformer_reward.py", cli.Command(main, (Settings,), doc))
