"""Reading the arguments of the tools in `scripts/`; training has `flags.py`."""

from __future__ import annotations

import argparse
from typing import NoReturn

from rr_scale.errors import UserError


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UserError` where others end the process."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message)
