"""Evaluates the policies of a run: `python -m rlp.evaluate runs/NAME --num_episodes=50`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rlp import cli, envs, offline, runs
from rlp.config import Positive
from rlp.rollout import EVALUATION_SEED, evaluate
from rlp.screen import Screen


@dataclass(frozen=True)
class Settings:
    """The evaluation."""

    run: str  # the directory of a run
    num_episodes: Positive = 10  # episodes of each member
    seed: int = EVALUATION_SEED  # of the first episode's initial state; the others follow
    env: str = ""  # environment (default: the one the run was evaluated in)
    quiet: bool = False  # print the result only


def evaluate_run(given: cli.Given) -> None:
    """Evaluates the last checkpoint, prints the returns and writes them to evaluation.json."""
    settings = cli.parse(Settings, given)
    run = runs.load(Path(settings.run))
    policy, step = offline.load_policy(run)
    env_name = settings.env or run.record["env"]
    env = envs.make(env_name, len(run.seeds) * settings.num_episodes)
    envs.check_widths(
        env, env_name, run.spec.observation_dim, run.spec.action_dim, str(run.directory)
    )
    seeds = range(settings.seed, settings.seed + settings.num_episodes)
    with Screen(settings.quiet) as screen:
        screen.say(f"{run.directory} at update {step:,}, {settings.num_episodes} episodes a member")
        with screen.bar("evaluating", run.spec.max_episode_steps) as show:
            returns = evaluate(run.algo, run.spec, policy, env, seeds, show)
        screen.returns(dict(zip(run.labels, returns, strict=True)), over_members=run.labels)
        path = run.directory / "evaluation.json"
        result = {"step": step, "env": env_name, "first_seed": settings.seed}
        by_member = dict(zip(run.labels, returns.tolist(), strict=True))
        runs.write_json(path, {**result, "returns": by_member, **runs.environment()})
        screen.say(f"written to {path}")


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    doc = "Evaluates the last checkpoint of a run: deterministic actions, fixed initial states."
    cli.main("python -m rlp.evaluate", cli.Command(evaluate_run, (Settings,), doc), argv)


if __name__ == "__main__":
    main()
