"""OpenGL without a display, for whoever draws what a simulator shows.

MuJoCo takes MUJOCO_GL when it is imported, so this comes first. Nothing else needs OpenGL.
"""

import os
import subprocess
import sys

from rlp.errors import InputError

VARIABLE = "MUJOCO_GL"
OFF_SCREEN = ("egl", "osmesa")  # a GPU's or Mesa's; Mesa's on the CPU
TRIAL = "import mujoco; context = mujoco.GLContext(16, 16); context.make_current()"
PATIENCE = 60.0  # seconds


def choose() -> str:
    """Returns what MuJoCo draws with, which is set in the environment; what is set there stays.

    Each is tried in a process of its own: one that fails would leave its traces in this one.

    Raises:
        InputError: if there is nothing to draw with.
    """
    if sys.platform == "darwin":  # has its own
        return os.environ.get(VARIABLE, "cgl")
    given = os.environ.get(VARIABLE)
    for backend in (given,) if given else OFF_SCREEN:
        if _works(backend):
            os.environ[VARIABLE] = backend
            return backend
    found = f"{VARIABLE}={given} does not work" if given else "neither EGL nor OSMesa works"
    raise InputError(
        f"drawing needs OpenGL, and {found} here; on Debian and Ubuntu: "
        "apt-get install libegl1, or libosmesa6"
    )


def _works(backend: str) -> bool:
    """Returns whether MuJoCo can draw with it."""
    trial = subprocess.run(
        [sys.executable, "-c", TRIAL],
        env={**os.environ, VARIABLE: backend},
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return trial.returncode == 0
