"""Reading the arguments of the tools in `scripts/`; training has `flags.py`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import IO, NoReturn

from rr_scale.errors import UserError


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UserError` where others end the process."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message)

    def print_help(self, file: IO[str] | None = None) -> None:
        """As argparse does; whoever reads it may leave."""
        with reader_may_leave():
            super().print_help(file)


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """Around the printing of long texts: the process ends quietly if `head` has read enough."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Or Python complains at its end about what it could not write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
