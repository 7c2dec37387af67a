"""Stands for a job that trains: `python stub_job.py FILE`, without jax.

A file `act` beside FILE says how it ends: `fail`, `fail 2` (that often),
`wait` (until a signal comes, after a first checkpoint), or `die 1` (by SIGKILL,
that often). Without it the job is done at once. Times of starts and ends are
in its events.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rr_scale.durable import replace_bytes  # noqa: E402
from rr_scale.sweep.record import add_event, events  # noqa: E402
from rr_scale.train.lock import RunLock  # noqa: E402
from rr_scale.train.signals import noting_signals  # noqa: E402

COMMAND = (sys.executable, str(Path(__file__).resolve()))


def commit(run_dir: Path, step: int) -> None:
    """Leaves what tells how far a run is."""
    (run_dir / "checkpoints" / f"step-{step:012d}").mkdir(parents=True, exist_ok=True)
    replace_bytes(run_dir / "committed.json", json.dumps({"latest": step}).encode())


def main(file: Path) -> int:
    """Ends as `act` says."""
    job_dir, stored = file.parent, json.loads(file.read_text())
    run_dir, steps = job_dir / stored["save_dir"], stored["config"]["max_steps"]
    act = job_dir / "act"
    what, _, times = act.read_text().partition(" ") if act.exists() else ("", "", "")
    with noting_signals() as signals, RunLock(job_dir):
        device = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        add_event(job_dir, "started", pid=os.getpid(), at=time.monotonic(), device=device)
        before = sum(one["event"] == "started" for one in events(job_dir)) - 1
        if what == "die" and before < int(times):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "fail" and before < int(times or 99):
            add_event(job_dir, "ended", status=1, message="as it was told")
            return 1
        if what == "wait":
            commit(run_dir, 1)
        while what == "wait" and not signals:
            time.sleep(0.02)
        status = 128 + signals[0] if signals else 0
        commit(run_dir, 2 if signals else steps)
        add_event(job_dir, "ended", status=status, message="", at=time.monotonic())
        return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
