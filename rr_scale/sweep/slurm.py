"""Jobs as a job array of Slurm, through submitit.

A job that comes near its time limit, or is preempted, writes a checkpoint and
goes back to the queue; `supervise.Supervised` is what runs on the node.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from rr_scale.errors import UserError
from rr_scale.sweep import record
from rr_scale.sweep.folder import SweepFolder
from rr_scale.sweep.grid import SlurmOptions
from rr_scale.sweep.launcher import JOB_COMMAND, job_environment, say
from rr_scale.sweep.plan import Job
from rr_scale.sweep.supervise import Supervised

_COMMANDS = ("sbatch", "srun", "squeue", "scontrol")
_POLL_S = 5.0
# A job may be requeued as often as it makes progress; Supervised watches that.
_TIMEOUTS = 1_000_000


class SlurmLauncher:
    """Submits jobs and returns, or waits until none is in the queue.

    Args:
      options: what every job asks for.
      retries: how often a job that failed is started again, in its allocation.
      wait: whether to stay until the queue holds no job of the sweep.
      command: starts a job; its file is appended.
    """

    def __init__(
        self,
        options: SlurmOptions,
        retries: int = 2,
        wait: bool = False,
        command: Sequence[str] = JOB_COMMAND,
    ):
        self._options = options
        self._retries = retries
        self._wait = wait
        self._command = tuple(command)

    def check(self) -> None:
        """See `Launcher.check`: Slurm's commands, its controller and submitit are needed."""
        for command in _COMMANDS:
            if shutil.which(command) is None:
                raise UserError(f"no Slurm on this machine ({command} was not found)")
        if importlib.util.find_spec("submitit") is None:
            raise UserError("Slurm needs submitit: pip install 'rr_scale[slurm]'")
        _queue()

    def launch(self, sweep: SweepFolder, jobs: Sequence[Job]) -> int:
        """See `Launcher.launch`; jobs that are in the queue already are left there."""
        queue = _queue()
        known = {job.name: _slurm_id(sweep, job) for job in sweep.jobs}
        strange = [
            number
            for number, name in queue.items()
            if name == _slurm_name(sweep) and number not in known.values()
        ]
        if strange:
            raise UserError(
                f"Slurm has jobs of this sweep that were not recorded ({strange[0]}, ...): wait "
                f"for them, or remove them with scancel --name={_slurm_name(sweep)}"
            )
        new: list[Job] = []
        for job in jobs:
            if known[job.name] in queue or record.is_running(sweep, job):
                say(f"is queued or runs already: {job.name}")
            else:
                new.append(job)
        if new:
            self._submit(sweep, new)
        if not self._wait:
            return 0
        numbers = {_slurm_id(sweep, job) for job in jobs}
        while not numbers.isdisjoint(_queue()):
            time.sleep(_POLL_S)
        return 0 if all(record.is_done(sweep, job) for job in jobs) else 1

    def _submit(self, sweep: SweepFolder, jobs: Sequence[Job]) -> None:
        import submitit

        calls = [Supervised(str(sweep.job_file(job)), self._retries, self._command) for job in jobs]
        try:
            executor = submitit.SlurmExecutor(sweep.path / "slurm", max_num_timeout=_TIMEOUTS)
            executor.update_parameters(**self._parameters(sweep))
            with executor.batch():
                submitted = [executor.submit(call) for call in calls]
        except (OSError, subprocess.SubprocessError, RuntimeError, ValueError) as error:
            raise UserError(f"Slurm took no jobs: {' '.join(str(error).split())}") from None
        for job, handle in zip(jobs, submitted, strict=True):
            record.add_event(sweep.job_dir(job), "submitted", slurm=handle.job_id)
            say(f"submitted {job.name} as {handle.job_id}")

    def _parameters(self, sweep: SweepFolder) -> dict[str, Any]:
        options = self._options
        path = job_environment()["PYTHONPATH"]
        extra = {"requeue": True, **dict(options.extra)}
        optional = {
            "partition": options.partition,
            "account": options.account,
            "gpus_per_node": options.gpus,
            "mem": f"{round(options.memory_gb * 1024)}M" if options.memory_gb else "",
        }
        return {
            "job_name": _slurm_name(sweep),
            "time": options.minutes,
            "nodes": 1,
            "ntasks_per_node": 1,
            "cpus_per_task": sweep.cpus,
            # Slurm since 22.05 does not hand this on to srun.
            "srun_args": [f"--cpus-per-task={sweep.cpus}"],
            "signal_delay_s": options.signal_delay_s,
            "array_parallelism": options.parallel,
            "setup": [f"export PYTHONPATH={shlex.quote(path)}", *options.setup],
            "additional_parameters": extra,
            **{name: value for name, value in optional.items() if value},
        }


def _queue() -> dict[str, str]:
    """Ids and names of all jobs of this user that wait or run; arrays are taken apart.

    Raises:
      UserError: Slurm does not answer.
    """
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i %j"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        raise UserError("Slurm does not answer (squeue took more than 60 s)") from None
    if listed.returncode:
        raise UserError(f"Slurm does not answer: {' '.join(listed.stderr.split())}")
    pairs = (line.split(maxsplit=1) for line in listed.stdout.splitlines())
    return {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}


def _slurm_name(sweep: SweepFolder) -> str:
    """The name of all jobs of a sweep: its folder's, made unique."""
    digest = hashlib.sha256(str(sweep.path).encode()).hexdigest()[:8]
    return f"{sweep.path.name.replace(' ', '-')}-{digest}"


def _slurm_id(sweep: SweepFolder, job: Job) -> str:
    """The id under which a job was submitted last, '' if it never was."""
    found = [one for one in record.events(sweep.job_dir(job)) if one["event"] == "submitted"]
    return str(found[-1].get("slurm", "")) if found else ""
