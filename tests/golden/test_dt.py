"""Decision Transformer against Hugging Face's model and kzl's training, batches and acting."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import dt
from rlp.algos.dt import Config, State
from rlp.data.dataset import _segment, make_dataset, unit_normalizer
from rlp.data.episodes import Episode, EpisodeSet
from rlp.interop.hugging_face import decision_transformer
from rlp.types import Params, Segment, vectors

pytestmark = pytest.mark.golden
CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}
POSITION = "encoder.wpe.weight"  # the reference models differ in it: kzl's has none


def read_params(vectors: Any, prefix: str, position: bool) -> Params:
    """Returns a state dict (or its gradients) as this package keeps the parameters."""
    names = [name for name in vectors.files if name.startswith(prefix)]
    weights = {name[len(prefix) :]: vectors[name] for name in names}
    if not position:
        weights.pop(POSITION, None)
    return decision_transformer(weights)


def read_config(vectors: Any, **changed: Any) -> Config:
    return Config(
        batch_size=len(vectors["states"]),
        context=int(vectors["cfg_K"]),
        embed_dim=int(vectors["cfg_hidden"]),
        num_layers=int(vectors["cfg_n_layer"]),
        num_heads=int(vectors["cfg_n_head"]),
        return_scale=1.0,
        dropout=0.0,
        **changed,
    )


def read_batch(vectors: Any) -> Segment:
    return Segment(
        observation=jnp.asarray(vectors["states"], jnp.float32),
        action=jnp.asarray(vectors["actions"], jnp.float32),
        return_to_go=jnp.asarray(vectors["returns_to_go"][..., 0], jnp.float32),
        timestep=jnp.asarray(vectors["timesteps"], jnp.int32),
        mask=jnp.asarray(vectors["mask"] == 1),
    )


def loss(params: Params, config: Config, batch: Segment) -> jax.Array:
    weight = batch.mask * (len(batch.mask) / jnp.sum(batch.mask))
    keys = jax.random.split(jax.random.key(0), len(weight))  # of a dropout of 0
    return dt._loss(params, config, batch, weight, keys)[0]


@pytest.mark.parametrize(("model", "position"), [("hf", True), ("nopos", False), ("kzl", False)])
def test_actions_of_real_steps(golden: Callable[[str], Any], model: str, position: bool):
    vectors = golden("dt")
    params, batch = read_params(vectors, "param.", position), read_batch(vectors)
    config = read_config(vectors)
    actions = jax.vmap(lambda one: jnp.tanh(dt._predict(config, params, one)))(batch)
    expected = vectors[f"{model}_action_preds"]
    np.testing.assert_allclose(actions[batch.mask], expected[np.asarray(batch.mask)], **CLOSE)


@pytest.mark.parametrize(("model", "position"), [("hf", True), ("nopos", False)])
def test_loss_and_gradients(golden: Callable[[str], Any], model: str, position: bool):
    vectors = golden("dt")
    params, batch = read_params(vectors, "param.", position), read_batch(vectors)
    value, grads = jax.value_and_grad(loss)(params, read_config(vectors), batch)
    assert float(value) == pytest.approx(vectors[f"{model}_loss"].item(), rel=1e-5)
    expected = read_params(vectors, f"{model}_grad.", position=False)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), grads, expected)


def test_updates_agree_with_kzl(golden: Callable[[str], Any]):
    """Warm-up, clip of the norm and weight decay; the heads that learn nothing are not here."""
    vectors = golden("dt")
    config = read_config(
        vectors,
        learning_rate=vectors["kzl_train_hp_lr"].item(),
        weight_decay=vectors["kzl_train_hp_weight_decay"].item(),
        warmup_updates=int(vectors["kzl_train_hp_warmup_steps"]),
        clip_norm=vectors["kzl_train_hp_clip_norm"].item(),
    )
    params, batch = read_params(vectors, "param.", position=False), read_batch(vectors)
    state = State(params, dt._tx(config, jnp.int32(0)).init(params))
    update = jax.jit(dt.update)
    for step in range(int(vectors["kzl_train_hp_steps"])):
        norm = jnp.sqrt(
            sum(
                jnp.sum(jnp.square(g))
                for g in jax.tree.leaves(jax.grad(loss)(state.actor, config, batch))
            )
        )
        assert float(norm) == pytest.approx(vectors["kzl_train_grad_norms"][step], rel=1e-4)
        state, metrics = update(config, state, jnp.int32(step), jax.random.key(step), batch)
        expected = vectors["kzl_train_losses"][step]
        assert float(metrics["actor_loss"]) == pytest.approx(expected, rel=1e-5)
        prefix = f"kzl_train_step{step}_after."
        if any(name.startswith(prefix) for name in vectors.files):
            assert_trained_close(state.actor, read_params(vectors, prefix, position=False))


def assert_trained_close(actual: Params, expected: Params) -> None:
    """Checks all but the keys' biases: their true gradient is 0, Adam magnifies its rounding."""

    def check(path: Any, actual: jax.Array, expected: jax.Array) -> None:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        compared = len(actual) // 2 if name.endswith("key_value.bias") else 0
        np.testing.assert_allclose(actual[compared:], expected[compared:], atol=5e-5, err_msg=name)

    jax.tree_util.tree_map_with_path(check, actual, expected)


def test_acting_agrees_with_kzl(golden: Callable[[str], Any]):
    """The steps before are fed one by one, with rewards that leave the stored returns to go."""
    stored = golden("dt")
    config, params = read_config(stored), read_params(stored, "param.", position=False)
    observations, actions = stored["kzl_act_states"], stored["kzl_act_actions"]
    returns, timesteps = stored["kzl_act_returns_to_go"][:, 0], stored["kzl_act_timesteps"]
    spec = vectors(observations.shape[1], actions.shape[1], int(stored["cfg_max_ep_len"]))
    memory = dt.policy.init_memory(config, spec, jnp.float32(returns[0]))
    memory = memory._replace(timestep=jnp.int32(timesteps[0]))
    rewards = np.append(0, -np.diff(returns))
    predicted = jnp.zeros(0)
    for observation, reward, action in zip(observations, rewards, actions, strict=True):
        predicted, memory = dt.policy.act(
            config, params, memory, jnp.asarray(observation, jnp.float32), jnp.float32(reward),
            jax.random.key(0), jnp.float32(0),
        )  # fmt: skip
        taken = memory.segment.action.at[-1].set(jnp.asarray(action, jnp.float32))
        memory = memory._replace(segment=memory.segment._replace(action=taken))
    np.testing.assert_allclose(predicted, stored["kzl_act_action"], **CLOSE)


def read_episodes(vectors: Any) -> EpisodeSet:
    names = ("observations", "actions", "rewards", "terminals")
    made = []
    for i in range(len(vectors["lengths"])):
        observation, action, reward, terminal = (vectors[f"traj{i}_{name}"] for name in names)
        made.append(Episode(observation, action, reward, bool(terminal[-1])))
    return EpisodeSet("", "", made)


@pytest.mark.parametrize("mode", ["normal", "delayed"])
def test_segments_are_those_of_kzl(golden: Callable[[str], Any], mode: str):
    vectors = golden("dt_batch")
    data, length = read_episodes(vectors), int(vectors["K"])
    dataset = make_dataset(data, unit_normalizer(data.episodes[0].observation.shape[1]))
    first_rows = np.cumsum([0, *(data.lengths + 1)])
    for row, (episode, start) in enumerate(vectors["pairs"]):
        segment = _segment(dataset, first_rows[episode] + start, length, mode == "delayed")
        mask = vectors[f"{mode}_mask"][row] == 1
        np.testing.assert_array_equal(segment.mask, mask)
        for name, expected, atol in (
            ("observation", vectors[f"{mode}_raw_states"][row], 0),
            ("action", vectors[f"{mode}_actions"][row], 0),
            ("return_to_go", vectors[f"{mode}_raw_rtg"][row, :-1, 0], 1e-3),
            ("timestep", vectors[f"{mode}_timesteps"][row], 0),
        ):
            actual = np.asarray(getattr(segment, name))
            np.testing.assert_allclose(actual[mask], expected[mask], atol=atol, err_msg=name)


def test_segments_start_at_every_step_alike(golden: Callable[[str], Any]):
    """So an episode is drawn in proportion to its length, and its end as often as its start."""
    vectors = golden("dt_batch")
    data = read_episodes(vectors)
    dataset = make_dataset(data, unit_normalizer(data.episodes[0].observation.shape[1]))
    np.testing.assert_allclose(
        data.lengths[vectors["sorted_inds"]] / int(dataset.num_steps), vectors["sampling_p"]
    )
    assert len(dataset.step_rows) == data.lengths.sum()


def test_an_episode_longer_than_the_timesteps(golden: Callable[[str], Any]):
    vectors = golden("dt_batch")
    reward = vectors["cut_rewards_in"]
    nothing = np.zeros((len(reward), 1), np.float32)
    data = EpisodeSet("", "", [Episode(nothing, nothing, reward, False)])
    dataset = make_dataset(data, unit_normalizer(1))
    length, last = vectors["cut_timesteps"].shape[1], int(vectors["cut_max_ep_len"]) - 1
    for row, (_, start) in enumerate(vectors["cut_pairs"]):
        segment = _segment(dataset, start, length, delayed=False)
        mask = vectors["cut_mask"][row] == 1
        np.testing.assert_array_equal(segment.mask, mask)
        timestep = np.minimum(segment.timestep, last)  # as the network bounds it
        np.testing.assert_array_equal(timestep[mask], vectors["cut_timesteps"][row][mask])
        rtg = segment.return_to_go / vectors["cut_scale"]
        expected = vectors["cut_rtg"][row, :-1, 0]
        np.testing.assert_allclose(rtg[mask], expected[mask], **CLOSE)
