import pytest

from rlp.data import reading
from rlp.data.reading import announced
from rlp.errors import InputError


def test_large_data_is_announced_and_small_is_not(capsys: pytest.CaptureFixture[str]):
    assert list(announced([1, 2], "here", 1000)) == [1, 2]
    assert capsys.readouterr().err == ""
    assert list(announced([1, 2], "here", 2 * reading.LARGE)) == [1, 2]
    assert "reading here: 0.2 GB" in capsys.readouterr().err


def test_what_cannot_fit_is_refused_before_it_is_read():
    with pytest.raises(InputError, match=r"here: 1,000,000\.0 GB of arrays, but this machine has"):
        announced([1], "here", 10**15)
