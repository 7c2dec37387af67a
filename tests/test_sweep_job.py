"""A job in its process: a real one, what it refuses, and its keeper on a cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import stub_job
from rr_scale import configure
from rr_scale.analysis.load import lane_curves, read_results
from rr_scale.errors import UserError
from rr_scale.sweep import job as job_process
from rr_scale.sweep import record
from rr_scale.sweep.folder import SweepFolder, plan_folder
from rr_scale.sweep.grid import from_tables
from rr_scale.sweep.plan import Job, make_jobs
from rr_scale.sweep.supervise import Supervised
from rr_scale.train.lock import RunLock
from small_runs import tiny

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    jobs = make_jobs(from_tables({"tasks": ["probe-target"], "presets": ["sac"]}))
    folder = plan_folder(tmp_path / "sweep", jobs, cpus=1)
    folder.write()
    return folder


def named(sweep: SweepFolder) -> list[str]:
    return [one["event"] for one in record.events(sweep.job_dir(sweep.jobs[0]))]


def keeper(sweep: SweepFolder, retries: int = 1) -> Supervised:
    return Supervised(str(sweep.job_file(sweep.jobs[0])), retries, stub_job.COMMAND)


def act(sweep: SweepFolder, what: str) -> None:
    (sweep.job_dir(sweep.jobs[0]) / "act").write_text(what)


def test_a_job_file_trains_every_setting_and_seed(tmp_path: Path):
    config = tiny("sac", "", max_steps=40, eval_interval=20, eval_episodes=1, log_interval=20)
    grid = {
        "tasks": ["probe-target"],
        "presets": ["sac"],
        "seeds": 2,
        "settings": {
            path: value
            for path, value in configure.to_dict(config).items()
            if path in ("max_steps", "start_training", "eval_interval", "log_interval")
        }
        | {
            "eval_episodes": 1,
            "replay.batch_size": 16,
            "agent.actor.network.hidden": [16],
            "agent.critic.network.hidden": [16],
            "agent.actor.network.initializer": "fan_in_uniform",
            "agent.critic.network.initializer": "fan_in_uniform",
        },
        "grid": {"hp.actor_lr": [1e-3, 0.0]},
    }
    folder = plan_folder(tmp_path / "sweep", make_jobs(from_tables(grid)), cpus=1)
    folder.write()
    (job,) = folder.jobs
    command = [sys.executable, "-m", "rr_scale.sweep.job", str(folder.job_file(job))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = record.status(folder, job)
    assert (found.state, found.env_step, found.note) == ("done", 40, "")
    assert found.wall_s > 0
    curves = {
        name: lane_curves(
            read_results(folder.run_dir(job) / f"actor_lr={name}" / "results.csv"), "avg_return"
        )
        for name in ("0.001", "0.0")
    }
    assert [sorted(curve) for curve in curves.values()] == [[0, 1], [0, 1]]
    # The same weights and episodes at first, and then only one of them learns.
    assert all(curves["0.001"][seed][0] == curves["0.0"][seed][0] for seed in (0, 1))
    assert all(curves["0.001"][seed][40] != curves["0.0"][seed][40] for seed in (0, 1))
    recorded = json.loads((folder.run_dir(job) / "run.json").read_text())["sessions"][0]
    assert (recorded["threads"], recorded["host_devices"]) == (1, 1)


@pytest.mark.parametrize("content", ["{", "[]", '{"config": {"max_step": 1}}', "{}"])
def test_a_broken_job_file_is_one_line(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "job.json"
    file.write_text(content)
    assert job_process.main(["job", str(file)]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1


def test_a_job_waits_for_a_process_that_is_about_to_end_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(job_process, "_POLL_S", 0.01)
    with RunLock(tmp_path):
        monkeypatch.setattr(job_process, "_PATIENCE_S", 0.05)
        with pytest.raises(UserError, match=f"is in use by process {os.getpid()}"):
            job_process.wait_until_free(tmp_path)
    monkeypatch.setattr(job_process, "_PATIENCE_S", 60)
    lock = RunLock(tmp_path)
    lock.__enter__()
    ending = threading.Timer(0.1, lock.__exit__, (None, None, None))
    ending.start()
    job_process.wait_until_free(tmp_path / "not-there", tmp_path)
    ending.join()
    assert not (tmp_path / "lock").exists()


def test_states_are_read_from_the_folders_alone(sweep: SweepFolder):
    (job,) = sweep.jobs
    folder = sweep.job_dir(job)

    def state() -> tuple[str, int, str]:
        found = record.status(sweep, job)
        return found.state, found.failures, found.note

    assert state() == ("waiting", 0, "")
    record.add_event(folder, "submitted", slurm="7_1")
    assert state() == ("queued", 0, "")
    record.add_event(folder, "started")
    with RunLock(folder):
        assert state() == ("running", 0, "")
    assert state() == ("waiting", 1, "died without a word")
    record.add_event(folder, "started")
    record.add_event(folder, "ended", status=143)
    assert state() == ("waiting", 1, "stopped by a signal")
    record.add_event(folder, "requeued", env_step=5)
    assert state() == ("queued", 1, "stopped by a signal")
    record.add_event(folder, "ended", status=2, message="no space left")
    record.add_event(folder, "gave_up")
    assert state() == ("failed", 2, "no space left")
    with (folder / "events.jsonl").open("a") as stream:
        stream.write('{"event": "star')
    assert state() == ("failed", 2, "no space left")
    stub_job.commit(sweep.run_dir(job), job.config.max_steps)
    assert state() == ("done", 2, "")


def test_time_left_is_at_the_speed_so_far(sweep: SweepFolder):
    job = Job(sweep.jobs[0].name, tiny("sac", "", max_steps=400))
    run_dir = sweep.run_dir(job)
    stub_job.commit(run_dir, 100)
    header = "exp_name,env_name,seed,metric,env_step,frames,updates,value\n"
    rows = "sac,probe,,time/wall_s,50,50,30,10.0\nsac,probe,,time/wall_s,100,100,80,30.0\n"
    (run_dir / "metrics.csv").write_text(f"{header}{rows}sac,probe,0,train/cri")
    found = record.status(sweep, job)
    assert (found.env_step, found.wall_s, found.left_s) == (100, 30.0, pytest.approx(90.0))


def test_failed_lanes_of_a_complete_run_are_told(sweep: SweepFolder):
    (job,) = sweep.jobs
    stub_job.commit(sweep.run_dir(job), job.config.max_steps)
    checkpoint = next((sweep.run_dir(job) / "checkpoints").iterdir())
    host = {"health": {"failed": [[0, 17]], "dropped": [True]}}
    (checkpoint / "host.json").write_text(json.dumps(host))
    assert record.status(sweep, job).note == "1 of its lanes failed (not finite)"


def test_a_keeper_starts_a_failed_job_again_or_gives_up(sweep: SweepFolder):
    act(sweep, "fail")
    with pytest.raises(UserError, match="failed 2 times, see "):
        keeper(sweep)()
    assert named(sweep) == ["started", "ended", "started", "ended", "gave_up"]
    # Of a third and a fourth start, the third is killed.
    act(sweep, "die 3")
    assert keeper(sweep)() == 0
    assert named(sweep)[5:] == ["started", "ended", "started", "ended"]


def test_a_keeper_stops_its_job_after_a_checkpoint_before_the_requeue(
    sweep: SweepFolder,
):
    pytest.importorskip("submitit")
    (job,) = sweep.jobs
    act(sweep, "wait")
    one, again = keeper(sweep), []

    def interrupt(number: int, frame: object) -> None:
        again.append(one.checkpoint())

    before = signal.signal(signal.SIGUSR2, interrupt)
    try:

        def warn() -> None:
            while record.reached(sweep.run_dir(job)) < 1:
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGUSR2)

        warning = threading.Thread(target=warn)
        warning.start()
        assert one() == 128 + signal.SIGTERM
        warning.join()
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert named(sweep) == ["started", "ended", "requeued"]
    assert record.events(sweep.job_dir(job))[-1]["env_step"] == 2
    assert (again[0].function.reached, again[0].function.retries) == (2, 1)


def test_a_job_that_makes_no_progress_between_time_limits_is_given_up(sweep: SweepFolder):
    pytest.importorskip("submitit")
    one = keeper(sweep)
    for _ in range(3):
        one = one.checkpoint().function
    assert one.checkpoint() is None
    assert record.status(sweep, sweep.jobs[0]).state == "failed"
    assert (
        record.status(sweep, sweep.jobs[0]).note
        == "no checkpoint after step 0 within 3 time limits"
    )
