"""What a token of a sequence model sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.nn.networks import Network
from rlp.nn.transformers import sequence_model
from rlp.types import Params

ROWS = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5, 4)), jnp.float32)  # [B, K, F]
MASK = jnp.ones((3, 5), bool).at[0, :2].set(False)


@pytest.fixture(scope="module")
def model() -> tuple[Network, Params]:
    network = sequence_model(output_dim=2, embed_dim=8, num_layers=2, num_heads=2)
    return network, network.init(jax.random.key(0), ROWS[0], MASK[0])


def test_a_row_does_not_see_those_after_it(model: tuple[Network, Params]):
    network, params = model
    before = network.apply(params, ROWS, MASK)
    after = network.apply(params, ROWS.at[:, 3].add(1), MASK)
    np.testing.assert_array_equal(before[:, 2:3], after[:, 2:3])  # of padding nothing is said
    np.testing.assert_array_equal(before[1:, :3], after[1:, :3])
    assert (before[:, 3:] != after[:, 3:]).any(axis=-1).all()


def test_padding_is_not_seen(model: tuple[Network, Params]):
    network, params = model
    before = network.apply(params, ROWS, MASK)
    after = network.apply(params, ROWS.at[:, :2].add(1), MASK)
    np.testing.assert_array_equal(before[0, 2:], after[0, 2:])
    assert (before[1] != after[1]).all()


def test_only_those_that_ask_are_returned(model: tuple[Network, Params]):
    network, params = model
    whole = network.apply(params, ROWS, MASK)
    last = network.apply(params, ROWS, MASK, slice(-1, None))
    np.testing.assert_allclose(last, whole[:, -1:], atol=1e-6)
