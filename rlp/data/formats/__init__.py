"""The data formats, one file each: `matches` recognises a path, `read` returns its episodes."""

from rlp.data.formats import (
    cellworld_experiment,
    columns,
    d3rlpy,
    d4rl,
    exorl,
    huggingface,
    minari,
    ogbench,
    packed,
    replay_columns,
    rlds,
    stable_baselines3,
    trajectories,
)

FORMATS = (
    minari, exorl, huggingface, rlds, ogbench, packed, columns, d4rl, d3rlpy,
    stable_baselines3, trajectories, replay_columns, cellworld_experiment,
)  # fmt: skip
