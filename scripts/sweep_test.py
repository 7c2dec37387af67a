#!/usr/bin/env python3
"""Shows that a sweep which is disturbed gives the same bytes as one that is not.

  python scripts/sweep_test.py local     kills the launcher and workers, Ctrl-C
  python scripts/sweep_test.py slurm     requeues and time limits, on two nodes of this machine

Runs tasks x presets x learning rates x seeds at a toy budget twice, through
scripts/sweep.py, and compares results and policies of both. Every disturbance
is observed, not assumed. Exit status 0 if all is equal, 1 if not, 2 for wrong
usage, 77 if Slurm cannot be started here (with the reason).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slurm_cluster

ROOT = Path(__file__).resolve().parent.parent
SWEEP = [sys.executable, str(ROOT / "scripts" / "sweep.py")]
EXACT = ("results.csv", "[0-9]*.txt", "policies/*.npz")
LIMIT_S = 3600.0
SKIPPED = 77
_GRID = """
tasks = {tasks}
presets = {presets}
replay_ratios = [1]
seeds = {seeds}
cpus = 1

[settings]
max_steps = {steps}
start_training = 100
eval_interval = 200
eval_episodes = 1
log_interval = 100
checkpoint_freq = 100
replay.batch_size = 16
replay.capacity = 4000
agent.actor.network.hidden = [16]
agent.critic.network.hidden = [16]

[grid]
"hp.actor_lr, hp.critic_lr" = [1e-3, 3e-4]

[slurm]
minutes = {minutes}
signal_delay_s = {signal_delay_s}
"""


class Failure(Exception):
    """The sweep did not survive as it should."""


class Sweep:
    """One folder, driven through the command line.

    Args:
      grid: the TOML file.
      folder: of the sweep.
      flags: how it is launched.
      environment: of the commands.
    """

    def __init__(self, grid: Path, folder: Path, flags: list[str], environment: dict[str, str]):
        self.folder = folder
        self.environment = environment
        self.command = [*SWEEP, "run", str(grid), "--dir", str(folder), *flags]

    def start(self) -> subprocess.Popen[str]:
        """Starts the launcher, which prints to where we do."""
        sys.stdout.flush()
        return subprocess.Popen(self.command, env=self.environment, text=True)

    def run(self) -> str:
        """Runs the launcher to its end; what it printed."""
        done = subprocess.run(self.command, env=self.environment, capture_output=True, text=True)
        print(done.stdout, end="", flush=True)
        if done.returncode:
            raise Failure(f"the launcher ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def states(self) -> dict[str, str]:
        """State of every job, as `status` prints it."""
        done = subprocess.run([*SWEEP, "status", str(self.folder)], capture_output=True, text=True)
        rows = [line.split() for line in done.stdout.partition("\n\n")[0].splitlines()[1:]]
        return {row[0]: row[1] for row in rows}

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """Events of all jobs, or those of one kind."""
        lines = [
            json.loads(line)
            for path in sorted(self.folder.glob("jobs/*/events.jsonl"))
            for line in path.read_text().splitlines()
        ]
        return [line for line in lines if line["event"] == name or not name]

    def workers(self) -> dict[str, int]:
        """Processes that hold a job and have a checkpoint before the end, by name of the job."""
        found = {}
        for path in self.folder.glob("jobs/*/lock"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                if list(self.folder.glob(f"runs/{path.parent.name}/checkpoints/step-*")):
                    found[path.parent.name] = int(json.loads(path.read_text())["pid"])
        return found


def main() -> int:
    """Parses the command line and runs the experiment."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("where", choices=("local", "slurm"))
    parser.add_argument("--tasks", default="cartpole-swingup,pendulum-swingup")
    parser.add_argument("--presets", default="sac,td3")
    parser.add_argument("--num_seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2000, help="env steps of a run")
    parser.add_argument("--minutes", type=int, default=1, help="slurm: time limit")
    parser.add_argument("--signal_delay_s", type=int, default=20, help="slurm: warned before it")
    parser.add_argument("--keep", type=Path, help="folder to keep everything in")
    parser.add_argument(
        "--warn",
        action="store_true",
        help="slurm: send the signal that announces a time limit, instead of waiting for one",
    )
    options = parser.parse_args()
    reason = slurm_cluster.why_not() if options.where == "slurm" else ""
    if reason:
        print(f"skipped: {reason}")
        return SKIPPED
    folder = (options.keep or Path(tempfile.mkdtemp(prefix="sweep_test_"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _experiment(options, folder)
    except (Failure, RuntimeError) as failure:
        print(f"FAILED: {failure} (see {folder})")
        return 1
    if not options.keep:
        shutil.rmtree(folder)
    return 0


def _experiment(options: argparse.Namespace, folder: Path) -> None:
    grid = folder / "grid.toml"
    tasks, presets = options.tasks.split(","), options.presets.split(",")
    grid.write_text(
        _GRID.format(
            tasks=json.dumps(tasks),
            presets=json.dumps(presets),
            seeds=options.num_seeds,
            steps=options.steps,
            minutes=options.minutes,
            signal_delay_s=options.signal_delay_s,
        )
    )
    with contextlib.ExitStack() as stack:
        environment, flags = dict(os.environ), ["--launcher=local", "--workers=2"]
        if options.where == "slurm":
            environment = stack.enter_context(slurm_cluster.cluster(folder / "cluster"))
            flags = ["--launcher=slurm"]
            _say("a cluster of two nodes answers")
        whole = Sweep(grid, folder / "undisturbed", flags, environment)
        _say("the sweep without disturbance")
        # Long enough never to be reached.
        whole.command += ["--wait", "--minutes=600"] if options.where == "slurm" else []
        whole.run()
        disturbed = Sweep(grid, folder / "disturbed", flags, environment)
        disturb = _disturb_slurm if options.where == "slurm" else _disturb_local
        disturb(disturbed, options)
    states = disturbed.states()
    if len(states) != len(tasks) * len(presets) or set(states.values()) != {"done"}:
        raise Failure(f"not everything is done: {states}")
    compared = _compare(whole.folder, disturbed.folder)
    print(f"PASSED: {len(states)} jobs, {compared} files of results and policies byte-identical")


def _disturb_local(sweep: Sweep, options: argparse.Namespace) -> None:
    _say("SIGKILL of the launcher")
    launcher = sweep.start()
    _wait(lambda: len(sweep.workers()) == 2, launcher)
    launcher.kill()
    launcher.wait()
    first, second = sweep.workers().items()
    _say(f"the workers live on; SIGKILL of {first[0]}")
    os.kill(first[1], signal.SIGKILL)
    _wait(lambda: sweep.states()[first[0]] == "waiting")
    _say("the same command again")
    launcher = sweep.start()
    _wait(lambda: first[0] in sweep.workers() and sweep.workers()[first[0]] != first[1], launcher)
    _say(f"SIGKILL of {first[0]} under the launcher")
    os.kill(sweep.workers()[first[0]], signal.SIGKILL)
    _wait(lambda: any(one.get("status") == -9 for one in sweep.events("ended")), launcher)
    _say("Ctrl-C")
    launcher.send_signal(signal.SIGINT)
    if launcher.wait() != 128 + signal.SIGINT:
        raise Failure(f"after Ctrl-C the launcher ended with {launcher.returncode}")
    if "running" in sweep.states().values():
        raise Failure("a job runs although the launcher was stopped")
    _say("the same command again, to the end")
    sweep.run()
    _say("and once more: nothing is left to do")
    if "started" in sweep.run():
        raise Failure("a finished sweep started jobs")


def _disturb_slurm(sweep: Sweep, options: argparse.Namespace) -> None:
    limit = 30 if options.warn else options.minutes
    _say(f"submitted with a time limit of {limit} min")
    sweep.command += [f"--minutes={limit}"]
    sweep.run()
    if "submitted" in sweep.run():
        raise Failure("jobs that are in the queue were submitted again")
    _wait(lambda: bool(sweep.workers()))
    name = next(iter(sweep.workers()))
    _say(f"scontrol requeue of {name}")
    before = _starts(sweep, name)
    _scontrol(sweep, "scontrol", "requeue", _number(sweep, name))
    _wait(lambda: _starts(sweep, name) > before)
    _say(f"{name} was started again by Slurm")
    if options.warn:
        _wait(lambda: bool(sweep.workers()))
        name = next(iter(sweep.workers()))
        _say(f"the signal that announces a time limit, to {name}")
        _scontrol(sweep, "scancel", "--signal=USR2", _number(sweep, name))
    _wait(lambda: set(sweep.states().values()) <= {"done", "failed"})
    requeued = [one["env_step"] for one in sweep.events("requeued")]
    print(f"requeued near the time limit, at env steps {requeued}")
    if not requeued:
        raise Failure("no job came near its time limit: give it more steps")
    _say("the same command again: nothing is left to do")
    if "submitted" in sweep.run():
        raise Failure("a finished sweep submitted jobs")


def _starts(sweep: Sweep, name: str) -> int:
    path = sweep.folder / "jobs" / name / "events.jsonl"
    return len(re.findall(r'"event": "started"', path.read_text()))


def _number(sweep: Sweep, name: str) -> str:
    path = sweep.folder / "jobs" / name / "events.jsonl"
    return re.findall(r'"submitted".*"slurm": "([^"]+)"', path.read_text())[-1]


def _scontrol(sweep: Sweep, *command: str) -> None:
    subprocess.run(command, env=sweep.environment, check=True)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} --- {text}", flush=True)


def _wait(condition: Callable[[], bool], launcher: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if launcher is not None and launcher.poll() is not None:
            raise Failure("the launcher ended before it could be disturbed: give it more steps")
        if time.monotonic() > deadline:
            raise Failure(f"nothing happened within {LIMIT_S} s")
        time.sleep(0.3)


def _compare(whole: Path, disturbed: Path) -> int:
    digests = [_digests(whole), _digests(disturbed)]
    if not digests[0]:
        raise Failure("the undisturbed sweep wrote no results")
    names = digests[0].keys() | digests[1]
    differing = sorted(name for name in names if digests[0].get(name) != digests[1].get(name))
    if differing:
        raise Failure(f"these files differ: {', '.join(differing)}")
    for path in disturbed.glob("runs/*/run.json"):
        if not json.loads(path.read_text())["exact"]:
            raise Failure(f"{path} says that it was not exact")
    return len(digests[0])


def _digests(sweep: Path) -> dict[str, str]:
    paths = [path for pattern in EXACT for path in sweep.glob(f"runs/**/{pattern}")]
    return {
        str(path.relative_to(sweep)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if "checkpoints" not in path.parts
    }


if __name__ == "__main__":
    sys.exit(main())
