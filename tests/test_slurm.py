"""A sweep on a Slurm cluster of two nodes; skipped with the reason where it cannot be started."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slurm
@pytest.mark.timeout(1200)
def test_requeued_jobs_end_as_if_nothing_had_happened(tmp_path: Path):
    command = [sys.executable, str(ROOT / "scripts" / "sweep_test.py"), "slurm", "--warn"]
    small = ["--tasks=probe-target", "--num_seeds=1", "--steps=1000", f"--keep={tmp_path}"]
    done = subprocess.run([*command, *small], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"was started again by Slurm", done.stdout)
    assert re.search(r"requeued near the time limit, at env steps \[\d+", done.stdout)
    assert re.search(r"PASSED: 2 jobs, 16 files of results and policies byte-id", done.stdout)
