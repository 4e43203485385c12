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
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        home = os.environ.get("RLP_HOME") or Path.home() / ".rlp"
        jax.config.update("jax_compilation_cache_dir", str(Path(home, "compiled")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_SECONDS)
