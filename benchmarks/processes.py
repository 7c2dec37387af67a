"""Child processes that end with their parent, whatever ends it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from benchmarks.options import Layout

ROOT = Path(__file__).resolve().parent.parent
DEVICE_FLAG = "--xla_force_host_platform_device_count"


class MeasurementFailed(Exception):
    """A child did not deliver; the message is its last line."""


def work(
    job: str,
    request: Mapping[str, Any],
    layout: Layout = Layout(),  # noqa: B008 - immutable
    xla_flags: str = "",
    variables: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Runs `benchmarks.jobs.<job>.measure(**request)` in a process of its own.

    Args:
      job: name of the module.
      request: its arguments, as JSON can hold them.
      layout: what XLA is started with.
      xla_flags: added to XLA_FLAGS.
      variables: other environment variables.

    Returns:
      What it measured, with `load_average` and `layout` beside.

    Raises:
      MeasurementFailed: the process failed.
    """
    arguments = json.dumps({"job": job, **request})
    command = [sys.executable, "-m", "benchmarks.worker", arguments]
    return json_line(command, {**environment(layout, xla_flags), **(variables or {})})


def json_line(command: Sequence[str], variables: Mapping[str, str]) -> dict[str, Any]:
    """The JSON object that a command prints as its last line."""
    with (
        tempfile.TemporaryFile() as errors,
        child(command, variables, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        output = process.communicate()[0].decode()
        if process.returncode != 0:
            fail(command, errors)
    return json.loads(output.strip().splitlines()[-1])


def fail(command: Sequence[str], errors: BinaryIO) -> NoReturn:
    """Raises `MeasurementFailed` with the last line that a command wrote to `errors`."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    shown = " ".join(command[1:3])[:60]
    raise MeasurementFailed(f"{shown}: {lines[-1] if lines else 'failed without a word'}")


def environment(layout: Layout, xla_flags: str = "") -> dict[str, str]:
    """The variables of this process, with those that make `layout`."""
    variables = dict(os.environ)
    flags = [*variables.get("XLA_FLAGS", "").split(), *xla_flags.split()]
    if layout.threads:
        variables["NPROC"] = str(layout.threads)
    if layout.devices:
        flags = [flag for flag in flags if not flag.startswith(DEVICE_FLAG)]
        flags.append(f"{DEVICE_FLAG}={layout.devices}")
    if flags:
        variables["XLA_FLAGS"] = " ".join(flags)
    return variables


@contextlib.contextmanager
def child(
    command: Sequence[str], variables: Mapping[str, str], **streams: Any
) -> Iterator[subprocess.Popen]:
    """A running process; it and its own children are gone when the block ends."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=dict(variables), start_new_session=True, **streams
    )
    try:
        yield process
    finally:
        # The group is that of the session: it may outlive its leader.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.stdout:
            process.stdout.close()
        process.wait()


def wait_with_peak(process: subprocess.Popen, limit_s: float) -> tuple[int | None, int]:
    """Waits for a process; its status (None: it was still running) and peak memory in bytes."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            # Linux counts in KiB, macOS in bytes.
            return process.returncode, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        time.sleep(0.02)
    return None, 0


def usable_cores() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
