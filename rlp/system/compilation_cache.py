"""Compiled programs are kept from one command to the next, so that the second need not compile.

They lie in RLP_HOME/compiled (RLP_HOME is ~/.rlp unless set), or where JAX_COMPILATION_CACHE_DIR
says, under a hash of the program, jax's version and the machine; the folder may be removed anytime.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import jax
from jax._src import compilation_cache

from rlp.system.files import whole

MIN_SECONDS = 0.2  # what compiles faster is not worth a file
DIGEST_BYTES = 32


class Kept:
    """Programs in files of a folder, each behind its digest: a cache as jax uses one.

    Its own would never replace a file that was damaged, or cut off by a full disk or a
    kill, and would warn of it in every command.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def get(self, key: str) -> bytes | None:
        """Returns a program, None if there is none that is whole."""
        with suppress(OSError):
            content = self._file(key).read_bytes()
            digest, program = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
            return program if digest == hashlib.sha256(program).digest() else None

    def put(self, key: str, value: bytes) -> None:
        """Keeps a program where the folder can be written and the disk has room."""
        with suppress(OSError), whole(self._file(key)) as file:
            file.write(hashlib.sha256(value).digest() + value)

    def _file(self, key: str) -> Path:
        return self._path / f"{key}-rlp"


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
    compilation_cache.get_file_cache = lambda path: (Kept(path), path)
