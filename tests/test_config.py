import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlp.algos import ALGOS
from rlp.config import config, field_comments, from_dict, stack, sweep, to_dict
from rlp.errors import InputError


@config
class Example:
    """An example."""

    rate: float = 1.0  # a rate, # of something
    dims: tuple[int, ...] = (2, 3)  # widths
    head: str = "#"  # a choice


def test_floats_are_leaves_and_the_rest_is_structure():
    leaves, treedef = jax.tree.flatten(Example(rate=2))
    assert leaves == [np.float32(2)]
    assert leaves[0].dtype == np.float32
    assert treedef == jax.tree.structure(Example(rate=3.5))
    assert treedef != jax.tree.structure(Example(dims=(4,)))


def test_one_trace_serves_all_values_of_a_float():
    traces = []

    @jax.jit
    def double(c: Example) -> jax.Array:
        traces.append(c.dims)
        return jnp.asarray(c.rate * 2)

    assert [double(Example(rate=r)) for r in (1, 2.5, 3)] == [2, 5, 6]
    assert traces == [(2, 3)]
    double(Example(dims=(1,)))
    assert traces == [(2, 3), (1,)]


def test_stack_gives_every_leaf_a_member_axis():
    stacked = stack([Example(rate=1), Example(rate=2)])
    np.testing.assert_array_equal(stacked.rate, [1, 2])
    assert stacked.dims == (2, 3)


def test_stack_refuses_different_structure():
    with pytest.raises(ValueError, match="different pytree metadata"):
        stack([Example(), Example(dims=(1,))])


def test_sweep_is_every_combination():
    settings = sweep(Example, {"rate": [1.0, 2.0], "head": ["a", "b"]})
    assert [(float(s.rate), s.head) for s in settings] == [
        (1.0, "a"), (1.0, "b"), (2.0, "a"), (2.0, "b"),
    ]  # fmt: skip


def test_a_lower_bound_is_at_most_the_upper_one():
    @config
    class Clipped:
        """An example."""

        clip_min: float = -1.0  # from
        clip_max: float = 1.0  # to

    assert Clipped(clip_min=1).clip_max == 1
    with pytest.raises(InputError, match=r"--clip_min=2: is above --clip_max=1\.0"):
        Clipped(clip_min=2)
    jax.tree.map(lambda leaf: -leaf, Clipped(clip_min=-2))  # as gradients are: no settings


def test_dict_round_trip_keeps_short_numbers():
    plain = to_dict(Example(rate=3e-4))
    assert plain == {"rate": 3e-4, "dims": (2, 3), "head": "#"}
    assert to_dict(from_dict(Example, {**plain, "dims": [2, 3]})) == plain


def test_comments_are_read_from_the_source():
    assert field_comments(Example) == {
        "rate": "a rate, # of something",
        "dims": "widths",
        "head": "a choice",
    }


@pytest.mark.parametrize("name", ALGOS)
def test_every_hyperparameter_is_explained(name: str):
    *classes, _ = ALGOS[name].Config.__mro__  # the last is object
    comments = {k: v for each in classes for k, v in field_comments(each).items()}
    fields = {field.name for field in dataclasses.fields(ALGOS[name].Config)}
    assert {name for name, comment in comments.items() if comment} == fields
    assert {"num_updates", "batch_size"} <= fields
