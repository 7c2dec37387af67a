"""Errors that are the user's to mend: one clear line, exit status 2.

The command line prints them without a traceback. Anything else that is raised
is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Wrong input or a wrong place; the message is one line and says what to do."""


class CheckpointError(UserError):
    """A committed checkpoint is missing, altered or does not fit; names the file."""


class LaneFailure(Exception):
    """A lane turned non-finite under nan_policy=stop; exit status 1."""


def require(condition: bool, message: str) -> None:
    """Raises UserError with `message` unless `condition` holds."""
    if not condition:
        raise UserError(message)


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest known word, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.4)
    return f"; did you mean '{close[0]}'?" if close else ""
