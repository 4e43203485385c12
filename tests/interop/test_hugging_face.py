"""State dicts that are not a Decision Transformer's, and both file formats."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from rlp.errors import InputError
from rlp.interop.hugging_face import Weights, decision_transformer, read_weights, to_weights


@pytest.fixture
def weights(golden: Callable[[str], Any]) -> dict[str, np.ndarray]:
    vectors = golden("dt")
    return {n[6:]: vectors[n].astype(np.float32) for n in vectors.files if n.startswith("param.")}


def test_both_formats_give_the_same(tmp_path: Path, weights: dict[str, np.ndarray]):
    save_file(weights, tmp_path / "model.safetensors")
    np.savez(tmp_path / "model.npz", allow_pickle=False, **weights)
    read = [
        decision_transformer(read_weights(tmp_path / f"model.{e}")) for e in ("safetensors", "npz")
    ]
    jax.tree.map(np.testing.assert_array_equal, *read)


@pytest.mark.parametrize("name", ["model.safetensors", "model.npz", "missing.safetensors"])
def test_a_damaged_or_missing_file_is_named(tmp_path: Path, name: str):
    if not name.startswith("missing"):
        (tmp_path / name).write_bytes(b"nonsense" * 4)
    with pytest.raises(InputError, match=name):
        read_weights(tmp_path / name)


def without(weights: Weights, name: str) -> Weights:
    return {k: v for k, v in weights.items() if k != name}


def test_weights_that_are_missing_or_of_another_shape_are_named(weights: dict[str, np.ndarray]):
    with pytest.raises(InputError, match=r"no .embed_state\.weight"):
        decision_transformer(without(weights, "embed_state.weight"))
    name = "encoder.h.0.mlp.c_fc.weight"
    with pytest.raises(InputError, match=r"block_0\.hidden\.kernel is"):
        decision_transformer({**weights, name: weights[name][:-1]})


def test_what_is_written_has_all_names_of_the_model_and_is_read_as_it_was(
    weights: dict[str, np.ndarray],
):
    params = decision_transformer(weights)
    written = to_weights(params, len(weights["encoder.wpe.weight"]))
    assert {k: v.shape for k, v in written.items()} == {k: v.shape for k, v in weights.items()}
    jax.tree.map(np.testing.assert_array_equal, decision_transformer(written), params)
    np.testing.assert_array_equal(
        written["encoder.h.1.attn.c_attn.weight"], weights["encoder.h.1.attn.c_attn.weight"]
    )
