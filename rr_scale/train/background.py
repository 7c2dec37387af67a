"""Work beside the training loop: one job at a time, its result taken up by the loop."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

Job = Callable[[], Any]
Done = Callable[[Any], None]


class Background:
    """Runs jobs one after another in a thread of its own.

    Results are handed over in the caller's thread only, in the order of the
    jobs, so that whatever `done` touches needs no lock.

    Args:
      enabled: if not, a job runs at once, in the caller's thread.
    """

    def __init__(self, enabled: bool = True):
        self._executor = ThreadPoolExecutor(1) if enabled else None
        self._running: tuple[Future, Done] | None = None

    @property
    def idle(self) -> bool:
        """Whether the result of every job was handed over."""
        return self._running is None

    def start(self, job: Job, done: Done) -> None:
        """Starts `job`; waits for the one before, so that none pile up.

        Args:
          job: runs in the thread.
          done: gets its result, in the caller's thread, in a later call.
        """
        self.finish()
        if self._executor is None:
            done(job())
        else:
            self._running = (self._executor.submit(job), done)

    def poll(self) -> None:
        """Hands over the result if there is one; raises what the job raised."""
        if self._running is not None and self._running[0].done():
            self.finish()

    def finish(self) -> None:
        """Waits for the job and hands over its result; raises what the job raised."""
        if self._running is not None:
            (future, done), self._running = self._running, None
            done(future.result())

    def close(self) -> None:
        """Waits for the job; its result or error goes nowhere if nobody asked before."""
        if self._executor is not None:
            self._executor.shutdown()
