"""From stored actions to rlp's: bounds, choices, and what cannot be known."""

import numpy as np
import pytest

from rlp import memory
from rlp.data.actions import one_hot
from rlp.errors import InputError


def test_choices_that_no_memory_holds(monkeypatch: pytest.MonkeyPatch):
    np.testing.assert_array_equal(one_hot(np.array([2, 0]), None, "a"), [[0, 0, 1], [1, 0, 0]])
    monkeypatch.setattr(memory, "of_machine", lambda: 1_000_000)
    with pytest.raises(InputError, match=r"a: 1,000 actions of 900 choices take 0.0 GB as one-hot"):
        one_hot(np.full(1000, 899), None, "a")
