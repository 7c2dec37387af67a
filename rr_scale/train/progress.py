"""How far a run is, on stderr: a bar on a terminal, else one line per evaluation."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import TextIO

import numpy as np
from tqdm import tqdm

_RATE_WINDOW_S = 1.0


class Progress:
    """Shows env steps, both speeds, time left and the latest return over seeds.

    Args:
      max_steps: env steps per lane when the run is complete.
      lanes: how many lanes train; updates per second are summed over them.
      env_step: where this process starts (not 0 after a resume).
      updates: critic gradient steps per lane at that point.
      enabled: whether a bar is wanted; there is none off a terminal either way.
      stream: where to write, stderr by default.
      now: the clock, in seconds.
    """

    def __init__(
        self,
        max_steps: int,
        lanes: int,
        env_step: int = 0,
        updates: int = 0,
        enabled: bool = True,
        stream: TextIO | None = None,
        now: Callable[[], float] = time.monotonic,
    ):
        self._stream = sys.stderr if stream is None else stream
        self._max_steps = max_steps
        self._lanes = lanes
        self._now = now
        self._mark = (now(), updates)
        self._rate = 0.0
        self._returns = "return -"
        self._bar: tqdm | None = None
        if enabled and self._stream.isatty():
            self._bar = tqdm(
                total=max_steps,
                initial=env_step,
                unit=" env steps",
                file=self._stream,
                dynamic_ncols=True,
            )

    def step(self, env_step: int, updates: int) -> None:
        """Tells that `env_step` steps and `updates` updates per lane are complete."""
        if self._bar is not None:
            self._measure(updates, _RATE_WINDOW_S)
            self._bar.set_postfix_str(self._suffix(), refresh=False)
            self._bar.update(env_step - self._bar.n)

    def evaluated(self, env_step: int, updates: int, returns: Sequence[float | None]) -> None:
        """Shows the returns of an evaluation, None for a dropped lane.

        A bar shows them from the next refresh on; otherwise this prints a line.
        """
        self._returns = _summary(returns)
        if self._bar is not None:
            self._bar.set_postfix_str(self._suffix(), refresh=True)
        else:
            # Over all that happened since the line before, evaluation included:
            # the last second alone would say little.
            self._measure(updates, window=0.0)
            line = f"env step {env_step}/{self._max_steps}, {self._suffix()}"
            print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """Leaves the terminal as it was found."""
        if self._bar is not None:
            self._bar.close()

    def _measure(self, updates: int, window: float) -> None:
        since, before = self._mark
        elapsed = self._now() - since
        if elapsed > window:
            self._rate = (updates - before) * self._lanes / elapsed
            self._mark = (since + elapsed, updates)

    def _suffix(self) -> str:
        return f"{self._returns}, {self._rate:.0f} updates/s"


def _summary(returns: Sequence[float | None]) -> str:
    alive = [value for value in returns if value is not None and math.isfinite(value)]
    failed = len(returns) - len(alive)
    note = f" ({failed} failed)" if failed else ""
    if not alive:
        return f"return -{note}"
    spread = f" ± {np.std(alive, ddof=1):.1f}" if len(alive) > 1 else ""
    seeds = "1 seed" if len(alive) == 1 else f"{len(alive)} seeds"
    return f"return {np.mean(alive):.1f}{spread} over {seeds}{note}"
