"""A save that is killed or meets a full disk leaves a checkpoint that restores."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rr_scale import durable
from rr_scale.errors import UserError
from rr_scale.replay.store import parse_name
from rr_scale.train import tree_files
from rr_scale.train.checkpoint import CheckpointStore, Restored

LANES = 2
CAPACITY = 25
CALLS = ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir")
STRIDE = os.environ.get("RR_SCALE_KILL_STRIDE", "4")
"""1 kills at every call that changes the disk; about 50 of them."""


def make_state(step: int) -> dict[str, np.ndarray]:
    return {"weights": np.arange(6, dtype=np.float32) * step, "count": np.asarray(step)}


def make_rows(start: int, stop: int) -> dict[str, np.ndarray]:
    ids = np.arange(LANES)[:, None] * 1000 + np.arange(start, stop)
    return {"reward": ids.astype(np.float32)}


def save(store: CheckpointStore, step: int) -> None:
    host = {"step": step}
    rows = make_rows(*store.missing(10 * step, CAPACITY))
    store.save(step, make_state(step), host, {"step": np.array(step)}, rows, 10 * step, CAPACITY)


def die_at(call: int) -> None:
    """Makes this process kill itself before the call-th change of the disk."""
    made = []

    def watched(name: str, real):
        def run(*arguments, **keywords):
            made.append(name)
            if len(made) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **keywords)

        return run

    for name in CALLS:
        setattr(os, name, watched(name, getattr(os, name)))


def killed_in_save(directory: Path, call: int, again: bool) -> int:
    """Forks a process that resumes and saves; its exit status."""
    child = os.fork()
    if child == 0:
        store = CheckpointStore(directory, keep=1)
        step = store.restore(make_state(0)).step
        die_at(call)
        save(store, step if again else step + 1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def main(template: str, folder: str, first: str, stride: str, again: str) -> None:
    """Kills one save at call `first`, one at `first + stride`, ... until one survives.

    Only this process imports; it never uses jax, so that it can be forked.
    """
    call, status = int(first), -signal.SIGKILL
    while status == -signal.SIGKILL:
        run = Path(folder) / f"call-{call}"
        shutil.copytree(template, run)
        directory = run / "checkpoints"
        status = os.waitstatus_to_exitcode(killed_in_save(directory, call, again == "again"))
        call += int(stride)
    sys.exit(status)


def assert_holds(restored: Restored, step: int) -> None:
    assert restored.step == step
    assert restored.host == {"step": step}
    assert int(restored.host_arrays["step"]) == step
    assert restored.state["weights"].tobytes() == make_state(step)["weights"].tobytes()
    expected = make_rows(10 * step - CAPACITY, 10 * step)["reward"]
    assert np.array_equal(restored.rows["reward"], expected)


def assert_only_needed_files(directory: Path, step: int) -> None:
    left = {path.name for path in directory.iterdir()}
    assert left == {"replay", f"step-{step:012d}"}
    assert (directory.parent / "committed.json").exists()
    for chunk in (directory / "replay").iterdir():
        start, stop = parse_name(chunk.name)
        assert 10 * step - CAPACITY < stop <= 10 * step


@pytest.mark.parametrize(("first", "again"), [(1, "next"), (2, "again")])
def test_a_kill_at_any_moment_of_a_save_loses_no_committed_checkpoint(tmp_path, first, again):
    template, folder = tmp_path / "template", tmp_path / "killed"
    save(CheckpointStore(template / "checkpoints", keep=1), 3)
    command = [sys.executable, __file__, template, folder, str(first), STRIDE, again]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, env=environment, check=True, timeout=200)

    found = set()
    directories = sorted(run / "checkpoints" for run in folder.iterdir())
    assert len(directories) > 10
    for directory in directories:
        store = CheckpointStore(directory, keep=1)
        step = store.latest()
        found.add(step)
        assert_holds(store.restore(make_state(0)), step)
        save(store, step + 1)
        assert_holds(CheckpointStore(directory).restore(make_state(0)), step + 1)
        assert_only_needed_files(directory, step + 1)
    assert found == ({3} if again == "again" else {3, 4})


@pytest.mark.parametrize("name", ["rows-", "host.json", "host.npz", "manifest.json"])
def test_a_full_disk_leaves_the_previous_checkpoint_and_says_so(tmp_path, monkeypatch, name):
    store = CheckpointStore(tmp_path / "checkpoints")
    save(store, 3)

    def write_file(path, write, real=durable.write_file):
        if name not in path.name:
            return real(path, write)
        path.write_bytes(b"begun")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "write_file", write_file)
        with pytest.raises(UserError, match=f"{tmp_path}/checkpoints: No space left on device"):
            save(store, 4)
    assert_only_needed_files(tmp_path / "checkpoints", 3)
    assert_holds(CheckpointStore(tmp_path / "checkpoints").restore(make_state(0)), 3)
    save(store, 4)
    assert_holds(CheckpointStore(tmp_path / "checkpoints").restore(make_state(0)), 4)


def test_room_for_the_state_is_claimed_before_orbax_starts(tmp_path, monkeypatch):
    def refuse(path, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable, "reserve", refuse)
    monkeypatch.setattr(tree_files.ocp, "PyTreeCheckpointer", None)
    with pytest.raises(UserError, match="No space left on device"):
        save(CheckpointStore(tmp_path / "checkpoints"), 3)
    assert CheckpointStore(tmp_path / "checkpoints").latest() is None


if __name__ == "__main__":
    main(*sys.argv[1:])
