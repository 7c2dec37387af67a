"""Jobs as processes of this machine, as many at once as devices or cores allow."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rr_scale import platform
from rr_scale.sweep import record
from rr_scale.sweep.folder import SweepFolder
from rr_scale.sweep.launcher import JOB_COMMAND, job_environment, say
from rr_scale.sweep.plan import Job
from rr_scale.train.signals import noting_signals

_POLL_S = 0.2


def accelerators() -> list[str]:
    """What `CUDA_VISIBLE_DEVICES` can name here; empty without NVIDIA devices."""
    if os.environ.get("JAX_PLATFORMS", "").split(",")[0] == "cpu":
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [one.strip() for one in visible.split(",") if one.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    listed = subprocess.run(command, capture_output=True, text=True)
    return listed.stdout.split() if listed.returncode == 0 else []


class LocalLauncher:
    """Starts jobs on this machine and starts them again if they fail.

    Every job is a process in a session of its own, which outlives the
    launcher: if that is killed, jobs that run go on, and the next launcher
    waits for them instead of starting them again.

    Args:
      workers: jobs at once; 0: one per accelerator, or as many as the CPUs of
        the sweep's jobs fit into those of this machine.
      retries: how often a job that failed is started again.
      command: starts a job; its file is appended.
    """

    def __init__(self, workers: int = 0, retries: int = 2, command: Sequence[str] = JOB_COMMAND):
        self._workers = workers
        self._retries = retries
        self._command = tuple(command)

    def check(self) -> None:
        """A process can always be started."""

    def launch(self, sweep: SweepFolder, jobs: Sequence[Job]) -> int:
        """See `Launcher.launch`; returns when all jobs are done or have failed for good."""
        devices = accelerators()
        workers = self._workers or len(devices) or max(1, platform.usable_cpus() // sweep.cpus)
        with noting_signals("stopping the jobs") as signals:
            crew = _Crew(sweep, self._command, self._retries, workers, devices)
            crew.take(jobs)
            while crew.busy:
                if signals:
                    crew.stop()
                    return 128 + signals[0]
                crew.step()
                time.sleep(_POLL_S)
        return 1 if crew.lost else 0


class _Running(NamedTuple):
    """A job that is worked on."""

    job: Job
    process: subprocess.Popen[bytes] | None  # None: an earlier launcher's, or another machine's
    device: str | None  # taken for it; None: none of this machine's


class _Crew:
    """The processes of one launch."""

    def __init__(
        self,
        sweep: SweepFolder,
        command: tuple[str, ...],
        retries: int,
        workers: int,
        devices: list[str],
    ):
        self._sweep = sweep
        self._command = command
        self._retries = retries
        self._workers = workers
        self._has_devices = bool(devices)
        self._idle_devices = devices * -(-workers // len(devices)) if devices else []
        self._waiting: list[Job] = []
        self._running: list[_Running] = []
        self._failures: dict[str, int] = {}
        self.lost: list[Job] = []  # failed for good, or stopped by somebody else

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._running)

    def take(self, jobs: Sequence[Job]) -> None:
        """Jobs to do; those that an earlier launcher left running are only waited for."""
        for job in jobs:
            if record.is_running(self._sweep, job):
                say(f"runs already: {job.name}")
                self._running.append(_Running(job, None, self._device_of(job)))
            else:
                self._waiting.append(job)

    def step(self) -> None:
        """Looks after processes that ended, and starts as many as there is room for."""
        for one in [one for one in self._running if self._is_over(one)]:
            self._running.remove(one)
            if one.device is not None:
                self._idle_devices.append(one.device)
            self._ended(one.job, self._status(one))
        while self._waiting and self._has_room():
            self._start(self._waiting.pop(0))

    def stop(self) -> None:
        """Lets all processes write a checkpoint and end; what waits is left for another time."""
        for one in list(self._running):
            if one.process is not None:
                one.process.terminate()
            elif not record.stop(self._sweep, one.job):
                say(f"left running: {one.job.name}, on another machine")
                self._running.remove(one)
                continue
            say(f"stopping {one.job.name}")
        while not all(map(self._is_over, self._running)):
            time.sleep(_POLL_S)
        for one in self._running:
            self._status(one)
        say("stopped; the same command continues")

    def _has_room(self) -> bool:
        if self._has_devices:
            return bool(self._idle_devices)
        # What runs on other machines takes no room here.
        here = [one for one in self._running if one.process or record.is_here(self._sweep, one.job)]
        return len(here) < self._workers

    def _device_of(self, job: Job) -> str | None:
        """Takes the device of a job that runs on this machine."""
        started = [
            one for one in record.events(self._sweep.job_dir(job)) if one["event"] == "started"
        ]
        device = started[-1].get("device") if started else None
        if device not in self._idle_devices or not record.is_here(self._sweep, job):
            return None
        self._idle_devices.remove(device)
        return device

    def _is_over(self, one: _Running) -> bool:
        if one.process is not None:
            return one.process.poll() is not None
        return not record.is_running(self._sweep, one.job)

    def _status(self, one: _Running) -> int | None:
        """The exit status of a process that is gone, noted if it could not do that itself."""
        if one.process is None:
            last = record.events(self._sweep.job_dir(one.job))[-1:]
            return last[0].get("status") if last else None
        status = one.process.returncode
        if status < 0:
            folder = self._sweep.job_dir(one.job)
            record.add_event(folder, "ended", status=status, message=f"killed by signal {-status}")
        return status

    def _start(self, job: Job) -> None:
        device = self._idle_devices.pop(0) if self._idle_devices else None
        environment = job_environment()
        if device is not None:
            environment["CUDA_VISIBLE_DEVICES"] = device
        with self._sweep.log(job).open("ab") as log:
            process = subprocess.Popen(
                [*self._command, str(self._sweep.job_file(job))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        self._running.append(_Running(job, process, device))
        say(f"started {job.name} (process {process.pid})")

    def _ended(self, job: Job, status: int | None) -> None:
        """Decides what comes of a job whose process is gone; None: nobody saw how."""
        if record.is_done(self._sweep, job):
            say(f"done    {job.name}")
            return
        if status in record.STOPPED:
            say(f"stopped {job.name}: somebody sent it a signal; the same command continues")
            self.lost.append(job)
            return
        failures = self._failures[job.name] = self._failures.get(job.name, 0) + 1
        why = record.status(self._sweep, job).note or f"exit status {status}"
        if failures <= self._retries:
            say(f"failed  {job.name} ({why}); retry {failures} of {self._retries}")
            self._waiting.append(job)
        else:
            say(f"failed  {job.name} ({why}); see {_relative(self._sweep.log(job))}")
            record.add_event(self._sweep.job_dir(job), "gave_up", message=why)
            self.lost.append(job)


def _relative(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
