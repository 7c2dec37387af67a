"""One job, in a process of its own: python -m rr_scale.sweep.job FILE

FILE is JSON: `config` (a configuration as in `run.json`), and if wanted
`threads` and `devices` (how XLA divides the CPU; a run that is resumed keeps
what it had) and `save_dir` (relative to FILE). Continues what the folder holds.
What happens is written to `events.jsonl` beside FILE.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from rr_scale import configure, platform
from rr_scale.config import RunConfig
from rr_scale.envs.suites import check_name
from rr_scale.errors import LaneFailure, UserError
from rr_scale.runfile import open_run
from rr_scale.sweep.record import add_event
from rr_scale.train.lock import HEARTBEAT_SECONDS, STALE_SECONDS, RunLock, find_holder
from rr_scale.validation import validate

_PATIENCE_S = STALE_SECONDS + 3 * HEARTBEAT_SECONDS
_POLL_S = 1.0


class JobFile(NamedTuple):
    """What a job is started with."""

    config: RunConfig  # valid and resolved
    threads: int | None
    devices: int | None


def main(argv: list[str]) -> int:
    """Runs a job to its end; returns the exit status, as the command line of a run would."""
    if len(argv) != 2:
        print("usage: python -m rr_scale.sweep.job FILE", file=sys.stderr)
        return 2
    # Until the run takes them over: a warning that comes earlier than the first
    # step must not kill, the SIGTERM that follows it will.
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    file = Path(argv[1])
    try:
        job = read_job(file)
        wait_until_free(file.parent, Path(job.config.save_dir))
        with RunLock(file.parent):
            return _recorded(job, file.parent)
    except UserError as error:
        print("error:", _one_line(error), file=sys.stderr)
        return 2


def read_job(file: Path) -> JobFile:
    """What a file says, checked.

    Raises:
      UserError: it cannot be read, or the configuration is not valid.
    """
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        config = configure.from_dict(stored["config"])
        layout = [None if stored.get(key) is None else int(stored[key]) for key in _LAYOUT]
        save_dir = stored.get("save_dir")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} cannot be read as a job: {error!r}") from None
    if save_dir:
        # Not resolve(): the folder of a sweep may be reached through a link.
        place = os.path.normpath(file.parent.absolute() / save_dir)
        config = dataclasses.replace(config, save_dir=place)
    validate(config)
    check_name(config.env_name)
    return JobFile(configure.resolve(config), *layout)


def wait_until_free(*folders: Path) -> None:
    """Waits while another process holds one of the folders.

    The process before may have died on another machine, where only its
    heartbeat tells.

    Raises:
      UserError: it is alive.
    """
    deadline = time.monotonic() + _PATIENCE_S
    for folder in folders:
        holder = find_holder(folder)
        if holder:
            print(f"waiting for {folder}, held by {_name(holder)}", file=sys.stderr, flush=True)
        while holder:
            if time.monotonic() > deadline:
                raise UserError(f"{folder} is in use by {_name(holder)}")
            time.sleep(_POLL_S)
            holder = find_holder(folder)


_LAYOUT = ("threads", "devices")


def _name(holder: dict[str, Any]) -> str:
    return f"process {holder.get('pid', '?')} on host {holder.get('host', '?')}"


def _recorded(job: JobFile, folder: Path) -> int:
    facts = {"device": "CUDA_VISIBLE_DEVICES", "slurm": "SLURM_JOB_ID"}
    told = {name: os.environ.get(variable, "") for name, variable in facts.items()}
    add_event(folder, "started", pid=os.getpid(), **told)
    status, message = 1, ""
    try:
        status = _run(job)
    except (UserError, LaneFailure) as error:
        status, message = (2 if isinstance(error, UserError) else 1), _one_line(error)
        print("error:", message, file=sys.stderr)
    except BaseException as error:
        message = f"{type(error).__name__}: {_one_line(error)}"
        raise
    finally:
        add_event(folder, "ended", status=status, message=message)
    return status


def _run(job: JobFile) -> int:
    recorded = open_run(job.config, job.config.save_dir).recorded_layout()
    threads, devices = recorded[0] or job.threads, recorded[1] or job.devices
    platform.prepare(threads, job.config.devices or devices, len(configure.lanes(job.config)))

    # Starts jax, which must find the process set up.
    from rr_scale.session import run

    return run(job.config).exit_status


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main(sys.argv))
