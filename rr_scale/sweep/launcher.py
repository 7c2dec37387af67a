"""What a way to start jobs has in common with the others."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from rr_scale.sweep.folder import SweepFolder
from rr_scale.sweep.plan import Job

ROOT = Path(__file__).resolve().parents[2]
JOB_COMMAND = (sys.executable, "-m", "rr_scale.sweep.job")
"""Starts a job; its file is the last argument."""


class Launcher(Protocol):
    """Starts the jobs of a sweep that are not done."""

    def check(self) -> None:
        """Whether it can work here; called before anything is written.

        Raises:
          UserError: it cannot.
        """

    def launch(self, sweep: SweepFolder, jobs: Sequence[Job]) -> int:
        """Starts jobs.

        Args:
          sweep: on disk.
          jobs: those that are not done.

        Returns:
          The exit status: 0, 1 if jobs failed for good, 128 + n if signal n
          ended it.

        Raises:
          UserError: they cannot be started.
        """


def job_environment() -> dict[str, str]:
    """The environment of a job: this package comes first, wherever the job is started."""
    path = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{path}" if path else str(ROOT)}


def say(text: str) -> None:
    """One line for people, at once."""
    print(text, flush=True)
