"""The local launcher, with jobs that stand in for training."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import stub_job
from rr_scale.sweep import local, record
from rr_scale.sweep.folder import SweepFolder, plan_folder, read_sweep
from rr_scale.sweep.grid import from_tables
from rr_scale.sweep.local import LocalLauncher
from rr_scale.sweep.plan import make_jobs

GRID = {"tasks": ["probe-target", "probe-action"], "presets": ["sac", "td3"]}
ROOT = Path(__file__).resolve().parent.parent
LAUNCH = """
import sys
from pathlib import Path
from rr_scale.sweep.folder import read_sweep
from rr_scale.sweep.local import LocalLauncher
from rr_scale.sweep.record import is_done
import stub_job
sweep = read_sweep(Path(sys.argv[1]))
todo = [job for job in sweep.jobs if not is_done(sweep, job)]
sys.exit(LocalLauncher(2, 1, stub_job.COMMAND).launch(sweep, todo))
"""


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    folder = plan_folder(tmp_path / "sweep", make_jobs(from_tables(GRID)), cpus=1)
    folder.write()
    return folder


@pytest.fixture
def launcher(sweep: SweepFolder) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Launches in a process of its own; nothing of it is left after the test."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        path = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
        command = [sys.executable, "-c", LAUNCH, str(sweep.path)]
        environment = os.environ | {"PYTHONPATH": path}
        started.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
    for job in sweep.jobs:
        record.stop(sweep, job)


def launch(sweep: SweepFolder, workers: int = 2, retries: int = 1) -> int:
    todo = [job for job in sweep.jobs if not record.is_done(sweep, job)]
    return LocalLauncher(workers, retries, stub_job.COMMAND).launch(sweep, todo)


def act(sweep: SweepFolder, number: int, what: str) -> None:
    (sweep.job_dir(sweep.jobs[number]) / "act").write_text(what)


def states(sweep: SweepFolder) -> list[str]:
    return [record.status(sweep, job).state for job in sweep.jobs]


def counted(sweep: SweepFolder, event: str) -> list[int]:
    happened = [record.events(sweep.job_dir(job)) for job in sweep.jobs]
    return [sum(one["event"] == event for one in each) for each in happened]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def test_all_jobs_are_done_and_a_second_launch_starts_none(sweep: SweepFolder):
    assert states(sweep) == ["waiting"] * 4
    assert launch(sweep) == 0
    assert launch(sweep) == 0
    assert states(sweep) == ["done"] * 4
    assert counted(sweep, "started") == [1] * 4


def test_no_more_jobs_run_at_once_than_there_are_workers(sweep: SweepFolder):
    assert launch(sweep, workers=1) == 0
    happened = [record.events(sweep.job_dir(job)) for job in sweep.jobs]
    times = sorted((one["at"], one["event"]) for each in happened for one in each)
    assert [event for _, event in times] == ["started", "ended"] * 4


def test_a_failed_job_is_retried_and_named_and_the_others_go_on(
    sweep: SweepFolder, capsys: pytest.CaptureFixture[str]
):
    act(sweep, 0, "fail")
    act(sweep, 1, "fail 1")
    assert launch(sweep, retries=1) == 1
    assert states(sweep) == ["failed", "done", "done", "done"]
    assert counted(sweep, "started") == [2, 2, 1, 1]
    found = record.status(sweep, sweep.jobs[0])
    assert (found.failures, found.note) == (2, "as it was told")
    printed = capsys.readouterr().out
    assert f"failed  {sweep.jobs[0].name} (as it was told); see " in printed


def test_a_job_that_failed_for_good_gets_new_chances_from_a_new_launch(sweep: SweepFolder):
    act(sweep, 2, "fail 2")
    assert launch(sweep, retries=0) == 1
    assert launch(sweep, retries=1) == 0
    assert counted(sweep, "started") == [1, 1, 3, 1]


def test_a_job_killed_by_sigkill_is_started_again(sweep: SweepFolder):
    act(sweep, 3, "die 1")
    assert launch(sweep) == 0
    assert counted(sweep, "started") == [1, 1, 1, 2]
    (ended, *_) = [
        one for one in record.events(sweep.job_dir(sweep.jobs[3])) if one["event"] == "ended"
    ]
    assert ended["message"] == "killed by signal 9"


def test_jobs_outlive_a_killed_launcher_and_the_next_one_waits_for_them(
    sweep: SweepFolder, launcher: Callable[[], subprocess.Popen[str]]
):
    act(sweep, 0, "wait")
    process = launcher()
    first = sweep.jobs[0]
    wait_for(lambda: states(sweep)[0] == "running" and record.reached(sweep.run_dir(first)) == 1)
    process.kill()
    process.wait()
    assert states(sweep)[0] == "running"
    (sweep.job_dir(first) / "act").unlink()
    # Whoever stops a job wants it stopped: the launcher that waits for it lets it be.
    stopping = threading.Timer(1.0, record.stop, (sweep, first))
    stopping.start()
    assert launch(sweep) == 1
    assert states(sweep) == ["waiting", "done", "done", "done"]
    stopping.join()
    assert launch(sweep) == 0
    assert states(sweep) == ["done"] * 4
    assert counted(sweep, "started")[0] == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_jobs_write_a_checkpoint_and_starts_no_more(
    sweep: SweepFolder, launcher: Callable[[], subprocess.Popen[str]], number: signal.Signals
):
    for index in range(4):
        act(sweep, index, "wait")
    process = launcher()
    wait_for(lambda: states(sweep) == ["running", "running", "waiting", "waiting"])
    wait_for(lambda: all(record.reached(sweep.run_dir(job)) for job in sweep.jobs[:2]))
    process.send_signal(number)
    printed, _ = process.communicate()
    assert process.returncode == 128 + number
    assert "the same command continues" in printed
    assert states(sweep) == ["waiting"] * 4
    found = [record.status(sweep, job) for job in sweep.jobs]
    assert [one.env_step for one in found] == [2, 2, 0, 0]
    assert [one.note for one in found] == ["stopped by a signal"] * 2 + [""] * 2
    assert [one.failures for one in found] == [0] * 4


def test_every_job_gets_a_device_of_its_own(
    sweep: SweepFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    seen = tmp_path / "seen"
    script = f'echo "$CUDA_VISIBLE_DEVICES" >> {seen}; exec "$@"'
    command = ("sh", "-c", script, "sh", *stub_job.COMMAND)
    assert LocalLauncher(command=command).launch(sweep, sweep.jobs) == 0
    assert sorted(seen.read_text().split()) == ["3", "3", "5", "5"]


def test_the_device_of_a_job_that_runs_already_is_not_given_away(
    sweep: SweepFolder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    act(sweep, 0, "wait")
    first = sweep.jobs[0]
    process = subprocess.Popen([*stub_job.COMMAND, str(sweep.job_file(first))])
    try:
        wait_for(lambda: record.is_running(sweep, first) and record.reached(sweep.run_dir(first)))
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
        stopping = threading.Timer(2.0, process.terminate)
        stopping.start()
        assert launch(sweep) == 1
        stopping.join()
    finally:
        process.kill()
        process.wait()
    rest = [record.events(sweep.job_dir(job))[0]["device"] for job in sweep.jobs[1:]]
    assert rest[:2] == ["5", "5"]


@pytest.mark.parametrize(
    ("visible", "platforms", "expected"),
    [("0,1", "", ["0", "1"]), ("", "", []), ("-1", "", []), ("0", "cpu", [])],
)
def test_accelerators_are_those_that_the_environment_shows(
    visible: str, platforms: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    assert local.accelerators() == expected


def test_a_job_file_says_how_the_cpus_are_divided(tmp_path: Path):
    jobs = make_jobs(from_tables(GRID | {"seeds": 2}))
    folder = plan_folder(tmp_path, jobs, cpus=6)
    folder.write()
    stored = json.loads(folder.job_file(jobs[0]).read_text())
    assert (stored["threads"], stored["devices"]) == (3, 2)
    assert read_sweep(tmp_path).jobs == tuple(jobs)
