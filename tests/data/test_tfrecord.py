"""TFRecord files that claim more than their bytes can hold."""

import gzip
import struct
from pathlib import Path

import pytest
from crc32c import crc32c

from rlp.data import reading, tfrecord
from rlp.data.tfrecord import read_examples
from rlp.errors import InputError


def record(content: bytes) -> bytes:
    """Returns a record as TensorFlow stores it."""

    def checksum(part: bytes) -> bytes:
        crc = crc32c(part)
        return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(content))
    return length + checksum(length) + content + checksum(content)


def test_records_made_to_fill_the_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "a-00000-of-00001"
    example = tfrecord._example_class()()
    example.features.feature["a"].bytes_list.value.append(bytes(500_000))
    path.write_bytes(gzip.compress(record(example.SerializeToString()) * 3))
    monkeypatch.setattr(reading, "LARGE", 1_000_000)
    records = read_examples(path)
    assert len(next(records)["a"]) == 1
    with pytest.raises(InputError, match=r"a-00000-of-00001: .* are made to fill the memory"):
        list(records)


def test_a_record_that_is_no_example_is_refused(tmp_path: Path):
    path = tmp_path / "a-00000-of-00001"
    path.write_bytes(record(b"\xff" * 10))
    with pytest.raises(InputError, match="damaged or no TFRecord file"):
        list(read_examples(path))
