from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlp import envs
from rlp.errors import InputError
from rlp.evaluation.rollout import rollout
from rlp.interop.policy_file import read_policy

SHARED = Path(__file__).parents[3] / "shared" / "data" / "policies"
RNG = np.random.default_rng(0)


def arrays(**changed: Any) -> dict[str, Any]:
    made = {
        "w0": RNG.normal(size=(3, 4)), "b0": RNG.normal(size=4),
        "w1": RNG.normal(size=(4, 5)), "b1": RNG.normal(size=5),
        "w_mean": RNG.normal(size=(5, 2)), "b_mean": RNG.normal(size=2),
        "log_std": np.array([-1.0, -2.0]), "activation": "tanh", "squash": "clip",
    }  # fmt: skip
    return {name: value for name, value in {**made, **changed}.items() if value is not None}


def test_a_policy_is_what_the_file_says(tmp_path: Path):
    made = arrays(obs_mean=np.ones(3), obs_var=np.full(3, 4.0), obs_clip=0.5, obs_epsilon=0.0)
    made["w_mean"], made["b_mean"] = made["w_mean"] / 10, np.zeros(2)
    np.savez(tmp_path / "a.npz", **made)
    policy = read_policy(tmp_path / "a.npz")
    assert policy.widths == (3, 2)
    observation = RNG.normal(size=(1000, 3))
    hidden = np.clip((observation - 1) / 2, -0.5, 0.5)
    hidden = np.tanh(hidden @ made["w0"] + made["b0"])
    hidden = np.tanh(hidden @ made["w1"] + made["b1"])
    mean = hidden @ made["w_mean"] + made["b_mean"]
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(policy(observation, rng, 0), np.clip(mean, -1, 1))
    inside = np.abs(mean) < 0.1
    assert inside[:, 1].sum() > 100
    noise = (policy(observation, rng, 1) - mean)[:, 1][inside[:, 1]]
    assert noise.std() == pytest.approx(np.exp(-2), rel=0.2)


def test_a_log_std_may_depend_on_the_state_and_be_squashed(tmp_path: Path):
    made = arrays(
        log_std=None, w_log_std=np.zeros((5, 2)), b_log_std=np.array([-30.0, 9.0]),
        squash="tanh", activation="relu",
    )  # fmt: skip
    np.savez(tmp_path / "a.npz", **made)
    policy, observation = read_policy(tmp_path / "a.npz"), np.zeros((4000, 3))
    hidden = np.maximum(np.maximum(made["b0"], 0) @ made["w1"] + made["b1"], 0)
    mean = hidden @ made["w_mean"] + made["b_mean"]
    sampled = np.arctanh(policy(observation, np.random.default_rng(0), 0.1))
    assert np.abs(sampled[:, 0] - mean[0]).max() < 1e-6  # exp(-20)
    assert sampled[:, 1].std() == pytest.approx(0.1 * np.exp(2), rel=0.1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"w_mean": None}, "no policy, it has no w_mean"),
        ({"b1": None}, "no policy, it has no b1"),
        ({"w1": None, "b1": None, "w2": np.zeros((4, 5)), "b2": np.zeros(5)}, "layers in a row"),
        ({"activation": "gelu"}, "activation is gelu, not one of relu, tanh"),
        ({"w1": np.zeros((3, 5))}, "w1 does not fit the other arrays"),
        ({"log_std": np.zeros(3)}, "log_std does not fit"),
        ({"b0": np.full(4, np.nan)}, "b0 has other than finite numbers"),
        ({"extra": np.zeros(1)}, "extra is no part of a policy"),
    ],
)
def test_what_is_no_policy_is_one_line(tmp_path: Path, changed: dict[str, Any], message: str):
    np.savez(tmp_path / "a.npz", **arrays(**changed))
    with pytest.raises(InputError, match=message):
        read_policy(tmp_path / "a.npz")


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="no shared policies")
@pytest.mark.parametrize(
    ("name", "returns"),
    [
        ("sac_Hopper", (1097, 1108)),
        ("trpo_Hopper", (3625, 3625)),
        ("ppo_HalfCheetah", (5936, 5892)),
    ],
)
def test_policies_of_others_earn_what_they_are_known_for(name: str, returns: tuple[float, ...]):
    policy, rng = read_policy(SHARED / f"{name}.npz"), np.random.default_rng(0)
    env = envs.make(f"gym:{name.split('_')[1]}-v4", 2)
    found = rollout(lambda observation, _: policy(observation, rng, 0), env, [100, 101])
    np.testing.assert_allclose(found.values, returns, rtol=0.02)
