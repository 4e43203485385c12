"""Reads TFRecord files of tf.train.Example without TensorFlow; every checksum is verified."""

import functools
import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rlp.data.reading import check_file, check_sizes
from rlp.errors import InputError

EXAMPLE = """
package: "tf" syntax: "proto3" name: "example.proto"
message_type {
  name: "Bytes" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES }
}
message_type {
  name: "Floats" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT }
}
message_type {
  name: "Ints" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 }
}
message_type {
  name: "Feature" oneof_decl { name: "kind" }
  field { name: "bytes_list" number: 1 type_name: ".tf.Bytes" type: TYPE_MESSAGE oneof_index: 0 }
  field { name: "float_list" number: 2 type_name: ".tf.Floats" type: TYPE_MESSAGE oneof_index: 0 }
  field { name: "int64_list" number: 3 type_name: ".tf.Ints" type: TYPE_MESSAGE oneof_index: 0 }
}
message_type {
  name: "Features"
  field {
    name: "feature" number: 1 label: LABEL_REPEATED
    type_name: ".tf.Features.FeatureEntry" type: TYPE_MESSAGE
  }
  nested_type {
    name: "FeatureEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING }
    field { name: "value" number: 2 type_name: ".tf.Feature" type: TYPE_MESSAGE }
  }
}
message_type {
  name: "Example"
  field { name: "features" number: 1 type_name: ".tf.Features" type: TYPE_MESSAGE }
}
"""  # TensorFlow's example.proto and feature.proto
MAX_RECORD = 2**28  # bytes of an episode


Features = dict[str, np.ndarray | list[bytes]]


def read_examples(path: Path) -> Iterator[Features]:
    """Yields the features of each record by name: numbers [N], or texts.

    Raises:
        InputError: if the file is damaged.
    """
    from google.protobuf.message import DecodeError

    check_file(path)
    size, num_bytes = path.stat().st_size, 0
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if compressed else path.open("rb") as file:
            for record in _records(file):
                num_bytes += len(record)
                check_sizes({"its records": (num_bytes, size)}, str(path))
                example = _example_class().FromString(record)
                yield {name: _values(f) for name, f in example.features.feature.items()}
    except InputError:
        raise
    except (OSError, EOFError, ValueError, zlib.error, struct.error, DecodeError) as error:
        raise InputError(f"{path}: damaged or no TFRecord file ({error})") from error


def _records(file: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    """Yields records: a length, its checksum, the bytes, their checksum."""
    while head := file.read(12):
        (length,) = struct.unpack("<Q", head[:8])
        _check(head[:8], head[8:])
        if length > MAX_RECORD:
            raise ValueError(f"a record of {length:,} bytes")
        record = file.read(length)
        _check(record, file.read(4))
        yield record


def _check(content: bytes, stored: bytes) -> None:
    from crc32c import crc32c  # the Castagnoli polynomial, which zlib lacks

    crc = crc32c(content)
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    if struct.pack("<I", masked) != stored:
        raise ValueError("a checksum does not fit")


def _values(feature: Any) -> np.ndarray | list[bytes]:
    kind = feature.WhichOneof("kind")
    if kind == "bytes_list":
        return list(feature.bytes_list.value)
    if kind == "float_list":
        return np.array(feature.float_list.value, np.float32)
    return np.array(feature.int64_list.value, np.int64)


@functools.cache
def _example_class() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

    described = text_format.Parse(EXAMPLE, descriptor_pb2.FileDescriptorProto())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(described)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tf.Example"))
