"""One writer per run folder."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rr_scale.errors import UserError
from rr_scale.train import lock as locks
from rr_scale.train.lock import RunLock

HOLD = """
import sys
from pathlib import Path
from rr_scale.errors import UserError
from rr_scale.train.lock import RunLock

print("ready", flush=True)
sys.stdin.readline()
try:
    with RunLock(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.readline()
except UserError as error:
    print(error, flush=True)
"""


def start(save_dir: Path) -> subprocess.Popen:
    """A process that takes the lock when told to, and keeps it until told again."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, save_dir],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout.readline() == "ready\n"
    return process


def tell(process: subprocess.Popen) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def write_lock(save_dir: Path, **holder) -> None:
    content = {"host": socket.gethostname(), "pid": os.getpid(), "heartbeat": time.time()} | holder
    (save_dir / "lock").write_text(json.dumps(content))


def held_by(save_dir: Path) -> int:
    return json.loads((save_dir / "lock").read_text())["pid"]


def test_the_lock_names_its_holder_and_is_released(tmp_path):
    save_dir = tmp_path / "new" / "run"
    lock = RunLock(save_dir)
    for _ in range(2):
        with lock:
            holder = json.loads((save_dir / "lock").read_text())
            assert (holder["host"], holder["pid"]) == (socket.gethostname(), os.getpid())
            assert abs(holder["heartbeat"] - time.time()) < 60
            lock.check()
        assert not (save_dir / "lock").exists()


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path):
    process = start(tmp_path)
    tell(process)
    assert process.stdout.readline() == "held\n"
    named = f"process {process.pid} on host {socket.gethostname()}"
    with pytest.raises(UserError, match=named), RunLock(tmp_path):
        pass
    assert held_by(tmp_path) == process.pid
    # Not waited for: the dead holder is a zombie while it is taken over.
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with RunLock(tmp_path):
        assert held_by(tmp_path) == os.getpid()
    process.communicate()


def test_a_second_lock_in_one_process_is_refused(tmp_path):
    with RunLock(tmp_path) as lock:
        with pytest.raises(UserError, match=str(os.getpid())), RunLock(tmp_path):
            pass
        lock.check()


def test_only_one_of_many_takes_over_a_dead_lock(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    processes = [start(tmp_path) for _ in range(4)]
    for _ in range(5):
        write_lock(tmp_path, pid=dead.pid)
        for process in processes:
            tell(process)
        answers = [process.stdout.readline() for process in processes]
        assert sum(answer == "held\n" for answer in answers) == 1
        winner = processes[answers.index("held\n")]
        assert all(str(winner.pid) in answer for answer in answers if answer != "held\n")
        winner.kill()
        for process in processes:
            process.communicate()
        processes = [start(tmp_path) for _ in range(4)]
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_pid_that_was_given_to_another_process_is_not_the_holder(tmp_path):
    write_lock(tmp_path, process_start=1)
    with RunLock(tmp_path):
        pass
    write_lock(tmp_path, process_start=locks._process_start(os.getpid()))
    with pytest.raises(UserError), RunLock(tmp_path):
        pass


@pytest.mark.parametrize("foreign", [{"host": "elsewhere"}, {"namespace": "pid:[0]"}])
def test_a_holder_that_cannot_be_seen_counts_until_its_heartbeat_is_stale(tmp_path, foreign):
    gone = {"pid": 2**22 + 1, "process_start": 5} | foreign
    write_lock(tmp_path, heartbeat=time.time() - locks.STALE_SECONDS + 30, **gone)
    host = foreign.get("host", socket.gethostname())
    with pytest.raises(UserError, match=f"process {gone['pid']} on host {host}"), RunLock(tmp_path):
        pass
    write_lock(tmp_path, heartbeat=time.time() - locks.STALE_SECONDS - 1, **gone)
    with RunLock(tmp_path):
        assert held_by(tmp_path) == os.getpid()


@pytest.mark.parametrize("content", ["", "[]", '{"pid": "x"}'])
def test_an_unreadable_lock_counts_until_it_is_old(tmp_path, content):
    path = tmp_path / "lock"
    path.write_text(content)
    with pytest.raises(UserError, match="in use"), RunLock(tmp_path):
        pass
    os.utime(path, (0, time.time() - locks.STALE_SECONDS - 1))
    with RunLock(tmp_path):
        pass


def test_the_heartbeat_is_refreshed_and_stops_when_the_lock_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.01)
    with RunLock(tmp_path) as lock:
        before = json.loads((tmp_path / "lock").read_text())["heartbeat"]
        deadline = time.monotonic() + 20
        while json.loads((tmp_path / "lock").read_text())["heartbeat"] == before:
            assert time.monotonic() < deadline
        with lock._deciding():
            write_lock(tmp_path, host="elsewhere", pid=7)
        lock._thread.join(20)
        assert not lock._thread.is_alive()
        with pytest.raises(UserError, match="taken over by process 7 on host elsewhere"):
            lock.check()
    assert held_by(tmp_path) == 7


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    save_dir = tmp_path / "file" / "run"
    with pytest.raises(UserError, match=f"cannot write to {save_dir}"), RunLock(save_dir):
        pass
