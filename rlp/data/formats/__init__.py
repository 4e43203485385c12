"""The data formats, one file each: `matches(path)` looks, `read(path)` yields episodes."""

from rlp.data.formats import d3rlpy, d4rl, exorl, minari, ogbench, packed, trajectories

FORMATS = (minari, exorl, ogbench, packed, d4rl, d3rlpy, trajectories)
