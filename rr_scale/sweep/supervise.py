"""What runs on a node of the cluster: one job, in a child process, until it is done.

The training process is a child so that it can be asked to write a checkpoint
before the job is given back to the queue, and can be started again if it fails.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rr_scale.errors import UserError
from rr_scale.sweep import record
from rr_scale.sweep.launcher import JOB_COMMAND, job_environment

_POLL_S = 0.2
_STALLED = 3  # time limits in a row without a new checkpoint, after which it is given up


class Supervised:
    """A job that submitit can call on a node, interrupt, and call again.

    Args:
      job_file: what the job is started with.
      retries: how often it is started again if it fails.
      command: starts a job; its file is appended.
      reached: env step of the newest checkpoint when it was interrupted last.
      stalled: interruptions in a row since when that has not changed.
    """

    def __init__(
        self,
        job_file: str,
        retries: int,
        command: tuple[str, ...] = JOB_COMMAND,
        reached: int = -1,
        stalled: int = 0,
    ):
        self.job_file = job_file
        self.retries = retries
        self.command = command
        self.reached = reached
        self.stalled = stalled
        self._child: int | None = None

    def __call__(self) -> int:
        """Runs the job; returns the exit status of its last start.

        Raises:
          UserError: it failed too often.
        """
        folder, failures = Path(self.job_file).parent, 0
        while True:
            status = self._start_and_wait()
            if status == 0 or status in record.STOPPED:
                # Stopped by a signal: the scheduler's, which takes care of the rest.
                return status
            if status < 0:
                message = f"killed by signal {-status}"
                record.add_event(folder, "ended", status=status, message=message)
            if _is_complete(Path(self.job_file)):
                return status
            failures += 1
            if failures > self.retries:
                record.add_event(folder, "gave_up")
                raise UserError(f"{folder.name} failed {failures} times, see {folder / 'log.txt'}")
            print(f"exit status {status}: retry {failures} of {self.retries}", flush=True)

    def checkpoint(self) -> Any:
        """Stops the child after a checkpoint; called by submitit ahead of a time limit.

        Returns:
          What is to be called after the requeue; None if there was no progress
          for several time limits in a row.
        """
        from submitit.helpers import DelayedSubmission

        folder = Path(self.job_file).parent
        self._stop_child()
        reached = record.reached(_run_dir(Path(self.job_file)))
        stalled = self.stalled + 1 if reached == self.reached else 0
        if stalled >= _STALLED:
            message = f"no checkpoint after step {reached} within {stalled} time limits"
            record.add_event(folder, "gave_up", message=message)
            return None
        record.add_event(folder, "requeued", env_step=reached)
        return DelayedSubmission(
            Supervised(self.job_file, self.retries, self.command, reached, stalled)
        )

    def _start_and_wait(self) -> int:
        folder = Path(self.job_file).parent
        with (folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                [*self.command, self.job_file],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=job_environment(),
            )
        self._child = process.pid
        # Not wait(): a signal handler that came in between could not wait as well.
        while process.poll() is None:
            time.sleep(_POLL_S)
        self._child = None
        return process.returncode

    def _stop_child(self) -> None:
        if self._child is None:
            return
        try:
            os.kill(self._child, signal.SIGTERM)
            # Looks without reaping: whoever is interrupted by us does that.
            while os.waitid(os.P_PID, self._child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                time.sleep(_POLL_S)
        except (ProcessLookupError, ChildProcessError):
            pass
        print("the job has stopped", file=sys.stderr, flush=True)


def _run_dir(job_file: Path) -> Path:
    stored = json.loads(job_file.read_text(encoding="utf-8"))
    return job_file.parent / stored["save_dir"]


def _is_complete(job_file: Path) -> bool:
    stored = json.loads(job_file.read_text(encoding="utf-8"))
    try:
        return record.reached(_run_dir(job_file)) >= stored["config"]["max_steps"]
    except UserError:
        return False
