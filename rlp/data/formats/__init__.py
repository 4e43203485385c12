"""The data formats, one file each: `matches(path)` looks, `read(path)` yields episodes."""

from rlp.data.formats import exorl, packed

FORMATS = (exorl, packed)
