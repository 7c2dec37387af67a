"""What became of a job, from its folders alone: on any machine that sees them."""

from __future__ import annotations

import datetime
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any, NamedTuple

from rr_scale.errors import UserError
from rr_scale.sweep.folder import SweepFolder
from rr_scale.sweep.plan import Job
from rr_scale.train.folders import Folders
from rr_scale.train.lock import find_holder
from rr_scale.train.signals import NOTED

_TAIL_BYTES = 1 << 16
_EVENTS = "events.jsonl"
STOPPED = frozenset({-number for number in NOTED} | {128 + number for number in NOTED})
"""Exit statuses of a process that a signal asked to stop: no failure."""


class Status(NamedTuple):
    """One job."""

    job: Job
    state: str  # done, running, queued, waiting, failed
    env_step: int  # reached, of job.config.max_steps
    wall_s: float  # time the run has taken until its last row of metrics; 0 if there is none
    timed_step: int  # env step of that row
    failures: int  # starts that ended badly, or of which nobody saw the end
    note: str  # what a person should know; '' if nothing

    @property
    def left_s(self) -> float | None:
        """Seconds to the end at the speed so far; None if that is not known."""
        if self.state == "done":
            return 0.0
        if not self.timed_step:
            return None
        return self.wall_s / self.timed_step * (self.job.config.max_steps - self.env_step)


def add_event(job_dir: Path, event: str, **facts: Any) -> None:
    """Appends what happened to a job."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    line = json.dumps({"time": now, "event": event, "host": socket.gethostname(), **facts})
    with (job_dir / _EVENTS).open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")


def events(job_dir: Path) -> list[dict[str, Any]]:
    """What happened to a job, oldest first; a line that is not whole is left out."""
    try:
        lines = (job_dir / _EVENTS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            one = json.loads(line)
        except ValueError:
            continue
        if isinstance(one, dict) and isinstance(one.get("event"), str):
            found.append(one)
    return found


def reached(run_dir: Path) -> int:
    """The env step of the newest checkpoint, 0 if there is none.

    Raises:
      CheckpointError: a committed checkpoint is gone.
    """
    return Folders(run_dir / "checkpoints").latest() or 0


def is_done(sweep: SweepFolder, job: Job) -> bool:
    """Whether a run has come to the end of its budget."""
    try:
        return reached(sweep.run_dir(job)) >= job.config.max_steps
    except UserError:
        return False


def is_running(sweep: SweepFolder, job: Job) -> bool:
    """Whether a process works on a job, here or elsewhere."""
    return find_holder(sweep.job_dir(job)) is not None


def is_here(sweep: SweepFolder, job: Job) -> bool:
    """Whether a process of this machine works on a job."""
    holder = find_holder(sweep.job_dir(job)) or {}
    return holder.get("host") == socket.gethostname()


def stop(sweep: SweepFolder, job: Job) -> bool:
    """Asks the process that works on a job to stop; False if it is not on this machine."""
    holder = find_holder(sweep.job_dir(job)) or {}
    if holder.get("host") != socket.gethostname() or "pid" not in holder:
        return False
    try:
        os.kill(holder["pid"], signal.SIGTERM)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def status(sweep: SweepFolder, job: Job) -> Status:
    """What became of a job."""
    happened = events(sweep.job_dir(job))
    running = is_running(sweep, job)
    failures, note = _failures(happened, running)
    try:
        step = reached(sweep.run_dir(job))
    except UserError as error:
        step, note = 0, str(error)
    first = job.config.variants[0].name if job.config.variants else ""
    row_step, timed_step, wall_s = last_rows(sweep.run_dir(job) / first)
    last = happened[-1]["event"] if happened else ""
    if step >= job.config.max_steps:
        state, note = "done", _failed_lanes(sweep.run_dir(job), step)
    elif running:
        state, note = "running", ""
    elif last == "gave_up":
        state = "failed"
    else:
        state = "queued" if last in ("submitted", "requeued") else "waiting"
    # Rows beyond the last checkpoint count only while somebody is at work.
    step = max(step, row_step) if state == "running" else step
    return Status(job, state, step, wall_s, timed_step, failures, note)


def _failures(happened: list[dict[str, Any]], running: bool) -> tuple[int, str]:
    count, note, started = 0, "", False
    for one in happened:
        event = one["event"]
        # A start without an end: the process was killed, or its machine died.
        if event == "started" and started:
            count, note = count + 1, "died without a word"
        if event == "ended" and one.get("status") not in (0, *STOPPED):
            count, note = count + 1, str(one.get("message") or f"exit status {one.get('status')}")
        elif event == "ended":
            note = "" if one.get("status") == 0 else "stopped by a signal"
        if event == "gave_up" and one.get("message"):
            note = str(one["message"])
        started = event == "started" or (started and event != "ended")
    if started and not running:
        count, note = count + 1, "died without a word"
    return count, note


def _failed_lanes(run_dir: Path, step: int) -> str:
    try:
        path = Folders(run_dir / "checkpoints").path(step) / "host.json"
        stored = json.loads(path.read_text(encoding="utf-8"))
        failed = len(stored["health"]["failed"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f"{failed} of its lanes failed (not finite)" if failed else ""


def last_rows(folder: Path) -> tuple[int, int, float]:
    """The last env step in the text files; the last row of the wall time, and that time."""
    newest, timed_step, wall_s = 0, 0, 0.0
    for name in ("results.csv", "metrics.csv"):
        for cells in _tail(folder / name):
            newest = max(newest, int(cells[4]))
            if cells[3] == "time/wall_s":
                timed_step, wall_s = int(cells[4]), float(cells[7])
    return newest, timed_step, wall_s


def _tail(path: Path) -> list[list[str]]:
    """The cells of the last whole rows of a result file."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _TAIL_BYTES))
            lines = stream.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return []
    # The first line may have lost its beginning, and is the header otherwise; what
    # follows the last line end is still being written.
    rows = [line.split(",") for line in lines[1:-1]]
    return [cells for cells in rows if len(cells) == 8 and cells[4].isdecimal()]
