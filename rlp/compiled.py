"""Compiled programs are kept from one command to the next, so that the second need not compile.

They lie in RLP_HOME/compiled (RLP_HOME is ~/.rlp unless set), or where JAX_COMPILATION_CACHE_DIR
says, under a hash of the program, jax's version and the machine; the folder may be removed anytime.
"""

import os
from pathlib import Path

import jax

MIN_SECONDS = 0.2  # what compiles faster is not worth a file


def keep() -> None:
    """Keeps what this process compiles, and takes what others have kept."""
    home = os.environ.get("RLP_HOME") or Path.home() / ".rlp"
    defaults = {
        "JAX_COMPILATION_CACHE_DIR": str(Path(home, "compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": MIN_SECONDS,
    }
    for name, value in defaults.items():
        if name not in os.environ:
            jax.config.update(name.lower(), value)
