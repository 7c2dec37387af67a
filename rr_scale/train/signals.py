"""Noting signals instead of dying from them, so that a step can be finished."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Schedulers of clusters send the latter two ahead of a time limit or of preemption.
NOTED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


@contextmanager
def noting_signals(what: str = "finishing the step") -> Iterator[list[int]]:
    """Signals in `NOTED` are noted in the list; a second one of a kind acts as usual.

    Args:
      what: happens next, for the line on stderr.

    Outside the main thread nothing is caught: whoever called us from Python
    handles signals there.
    """
    received: list[int] = []
    previous: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        received.append(number)
        signal.signal(number, previous[number])
        # Not print: the signal may have come in the middle of one.
        os.write(2, f"signal {number}: {what}\n".encode())

    try:
        for number in NOTED:
            previous[number] = signal.signal(number, note)
    except ValueError:
        previous.clear()
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
