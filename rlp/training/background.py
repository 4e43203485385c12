"""Background work during training: writing, evaluating, saving.

If an accelerator trains, a thread does the work in order while training continues, and policies act
on the CPU. If the CPU trains, sharing it would not help, so training waits.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Concatenate, ParamSpec, TypeVar

import jax

from rlp.runs import Run
from rlp.runs.metrics import MetricsLog
from rlp.system import devices

P = ParamSpec("P")
T = TypeVar("T")


class Jobs:
    """Jobs on the log of a run, done in order; only the first of several processes does them.

    Use it as a context manager: leaving it waits for the jobs and closes the log.
    """

    def __init__(self, run: Run, resumed_at: int, wandb: bool) -> None:
        self._log = MetricsLog(run, resumed_at, wandb) if devices.is_first() else None
        self._cpu = devices.spare_cpu()
        self._thread = ThreadPoolExecutor(1)
        self._jobs: list[Future[None]] = []

    def submit(
        self, job: Callable[Concatenate[MetricsLog, P], None], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Calls a job with the log and the arguments, now or after the jobs before it."""
        if self._log is None:
            return
        if self._cpu is None:
            job(self._log, *args, **kwargs)
        else:
            self._jobs.append(self._thread.submit(self._do, job, self._log, *args, **kwargs))

    def _do(self, job: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        with jax.default_device(self._cpu):
            job(*args, **kwargs)

    def wait(self) -> None:
        """Waits for all jobs; raises the exception of a job that failed."""
        while self._jobs:
            self._jobs.pop(0).result()

    def keep(self, tree: T) -> T:
        """Returns a copy of arrays for a later job: training overwrites those on the device."""
        return jax.device_get(tree)

    def __enter__(self) -> "Jobs":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.wait()
        finally:
            self._thread.shutdown(cancel_futures=True)
            if self._log:
                self._log.close()
