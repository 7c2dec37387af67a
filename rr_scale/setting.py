"""How a field of the configuration is declared."""

from __future__ import annotations

import dataclasses
from typing import Any


def setting(
    default: Any,
    help: str,  # noqa: A002 - the word users know from --help
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] | None = None,
    free: bool = False,
) -> Any:
    """Declares a field.

    Args:
      default: its value when nobody says otherwise.
      help: one line for people.
      low, high: inclusive bounds of a number (of each, in a tuple).
      above: exclusive lower bound.
      choices: the legal strings.
      free: whether a resumed run may change it. A field that is not free
        takes part in what makes two runs the same experiment.
    """
    metadata = {
        "help": help,
        "low": low,
        "high": high,
        "above": above,
        "choices": choices,
        "free": free,
    }
    return dataclasses.field(default=default, metadata=metadata)
