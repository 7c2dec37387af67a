"""Noting signals instead of dying from them, so that a step can be finished."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def noting_signals() -> Iterator[list[int]]:
    """SIGTERM and SIGINT are noted in the list; a second one acts as usual.

    Outside the main thread nothing is caught: whoever called us from Python
    handles signals there.
    """
    received: list[int] = []
    previous: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        received.append(number)
        signal.signal(number, previous[number])
        # Not print: the signal may have come in the middle of one.
        os.write(2, b"signal %d: finishing the step\n" % number)

    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            previous[number] = signal.signal(number, note)
    except ValueError:
        previous.clear()
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
