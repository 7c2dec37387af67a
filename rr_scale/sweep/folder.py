"""The folder of a sweep: which jobs it consists of, and where each one's files are.

sweep.json               all jobs and the CPUs of each; written first
lock                     of the local launcher
jobs/<name>/job.json     what `rr_scale.sweep.job` is started with
jobs/<name>/events.jsonl what happened to it
jobs/<name>/log.txt      what it printed
runs/<name>/             the run, in one folder per variant if there are any
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rr_scale import configure, platform
from rr_scale.durable import replace_bytes
from rr_scale.errors import UserError
from rr_scale.sweep.plan import Job

NAME = "sweep.json"
_FORMAT = 1


class SweepFolder:
    """A sweep that is on disk.

    Args:
      path: the folder.
      jobs: all jobs, in the order in which they are started.
      cpus: CPUs of each job; results on a CPU depend on it.
    """

    def __init__(self, path: Path, jobs: Sequence[Job], cpus: int):
        self.path = path.absolute()
        self.jobs = tuple(jobs)
        self.cpus = cpus

    def job_dir(self, job: Job) -> Path:
        """What is known about a job."""
        return self.path / "jobs" / job.name

    def job_file(self, job: Job) -> Path:
        """What a job is started with."""
        return self.job_dir(job) / "job.json"

    def log(self, job: Job) -> Path:
        """What a job printed, all its starts together."""
        return self.job_dir(job) / "log.txt"

    def run_dir(self, job: Job) -> Path:
        """The folder of the run."""
        return self.path / "runs" / job.name

    def write(self) -> None:
        """Writes `sweep.json`, then what each job is started with; a crash between is harmless."""
        stored = {
            "format": _FORMAT,
            "cpus": self.cpus,
            "jobs": {job.name: configure.to_dict(job.config) for job in self.jobs},
        }
        self.path.mkdir(parents=True, exist_ok=True)
        _write_if_other(self.path / NAME, stored)
        for job in self.jobs:
            layout = platform.share(self.cpus, job.num_lanes)
            self.job_dir(job).mkdir(parents=True, exist_ok=True)
            content = {
                "format": _FORMAT,
                "threads": layout.threads,
                "devices": layout.devices,
                "save_dir": f"../../runs/{job.name}",
                "config": configure.to_dict(job.config),
            }
            _write_if_other(self.job_file(job), content)


def read_sweep(path: Path) -> SweepFolder:
    """The sweep that a folder holds.

    Raises:
      UserError: it holds none, or its record is broken.
    """
    file = path / NAME
    if not file.is_file():
        raise UserError(f"{path} holds no sweep (no {NAME})")
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        if stored["format"] != _FORMAT:
            raise UserError(f"format {stored['format']}, this version reads {_FORMAT}")
        jobs = [Job(name, configure.from_dict(one)) for name, one in stored["jobs"].items()]
        return SweepFolder(path, jobs, int(stored["cpus"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError) as error:
        raise UserError(f"{file} cannot be read as the record of a sweep: {error}") from None


def plan_folder(path: Path, jobs: Sequence[Job], cpus: int = 0) -> SweepFolder:
    """What a folder will hold once `write` is called; writes nothing.

    A folder that holds a sweep may get more jobs, and settings that a resumed
    run may change, such as a larger budget. Nothing else may differ.

    Args:
      path: a new folder, an empty one, or one with a sweep.
      jobs: all jobs.
      cpus: CPUs of each; 0: what the sweep there has, or a share of this machine's.

    Raises:
      UserError: the folder holds another sweep, or something that is no sweep.
    """
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is a file, not a folder for a sweep")
    if not (path / NAME).is_file():
        others = [one.name for one in path.iterdir()] if path.exists() else []
        others = [name for name in others if not name.startswith((".", "lock", NAME))]
        if others:
            raise UserError(
                f"{path} is not empty and holds no sweep ({sorted(others)[0]} is there); "
                f"choose another folder"
            )
        return SweepFolder(path, jobs, cpus or _default_cpus(len(jobs)))
    recorded = read_sweep(path)
    if cpus and cpus != recorded.cpus:
        raise _another(path, f"{recorded.cpus} CPUs per job there, {cpus} here")
    new = {job.name: job for job in jobs}
    for job in recorded.jobs:
        if job.name not in new:
            raise _another(path, f"job {job.name} is there and not in this one")
        found = configure.differences(job.config, new[job.name].config)
        if found:
            setting, there, here = found[0]
            raise _another(path, f"job {job.name}: {setting} is {there!r} there, {here!r} here")
    return SweepFolder(path, jobs, recorded.cpus)


def _another(path: Path, why: str) -> UserError:
    return UserError(f"{path} holds another sweep ({why}); choose another folder")


def _default_cpus(jobs: int) -> int:
    return max(1, platform.usable_cpus() // max(1, jobs))


def _write_if_other(path: Path, content: dict[str, Any]) -> None:
    data = (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
    if not path.exists() or path.read_bytes() != data:
        replace_bytes(path, data)
