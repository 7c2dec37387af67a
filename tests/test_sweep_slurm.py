"""What is asked of Slurm, with commands that stand in for it; test_slurm.py has the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from rr_scale.errors import UserError
from rr_scale.sweep import record, slurm
from rr_scale.sweep.folder import SweepFolder, plan_folder
from rr_scale.sweep.grid import SlurmOptions, from_tables
from rr_scale.sweep.plan import make_jobs
from rr_scale.sweep.slurm import SlurmLauncher

SBATCH = """#!/bin/sh
cat "$1" >> "$SEEN/scripts"
[ -e "$SEEN/refuse" ] && { echo "sbatch: error: no partition" >&2; exit 1; }
echo x >> "$SEEN/count"
echo "Submitted batch job $(wc -l < "$SEEN/count")"
"""
SQUEUE = """#!/bin/sh
[ -e "$SEEN/down" ] && { echo "slurm_load_jobs error: no controller" >&2; exit 1; }
cat "$SEEN/queue" 2> /dev/null
exit 0
"""


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("submitit")
    programs, seen = tmp_path / "bin", tmp_path / "seen"
    programs.mkdir()
    seen.mkdir()
    for name, text in (("sbatch", SBATCH), ("squeue", SQUEUE), ("srun", ""), ("scontrol", "")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("SEEN", str(seen))
    return seen


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    grid = {"tasks": ["probe-target"], "presets": ["sac", "td3", "ddpg"]}
    folder = plan_folder(tmp_path / "my sweep", make_jobs(from_tables(grid)), cpus=3)
    folder.write()
    return folder


def launch(sweep: SweepFolder, options: SlurmOptions | None = None) -> int:
    launcher = SlurmLauncher(options or SlurmOptions())
    launcher.check()
    return launcher.launch(sweep, sweep.jobs)


def ids(sweep: SweepFolder) -> list[list[str]]:
    happened = [record.events(sweep.job_dir(job)) for job in sweep.jobs]
    return [[one["slurm"] for one in each if one["event"] == "submitted"] for each in happened]


def queue(seen: Path, sweep: SweepFolder, *numbers: str) -> None:
    name = slurm._slurm_name(sweep)
    (seen / "queue").write_text("".join(f"{number} {name}\n" for number in numbers))


def test_jobs_are_one_array_that_may_be_requeued(seen: Path, sweep: SweepFolder):
    options = SlurmOptions(
        minutes=90, partition="long", gpus=1, memory_gb=1.5, parallel=2, extra=(("qos", "low"),)
    )
    assert launch(sweep, options) == 0
    lines = (seen / "scripts").read_text().splitlines()
    asked = {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")}
    assert {
        "array=0-2%2",
        "cpus-per-task=3",
        "gpus-per-node=1",
        "mem=1536M",
        "open-mode=append",
        "partition=long",
        "qos=low",
        "requeue",
        "signal=USR2@120",
        "time=90",
    } <= asked
    assert "--cpus-per-task=3" in lines[-1]
    assert ids(sweep) == [["1_0"], ["1_1"], ["1_2"]]
    assert [record.status(sweep, job).state for job in sweep.jobs] == ["queued"] * 3


def test_jobs_in_the_queue_are_not_submitted_again(seen: Path, sweep: SweepFolder):
    launch(sweep)
    queue(seen, sweep, "1_0", "1_2", "77")
    (seen / "queue").write_text((seen / "queue").read_text().replace("77 ", "77 other-"))
    launch(sweep)
    # A single job is no array.
    assert ids(sweep) == [["1_0"], ["1_1", "2"], ["1_2"]]


def test_jobs_that_nobody_recorded_stop_a_second_submission(seen: Path, sweep: SweepFolder):
    queue(seen, sweep, "5_0")
    with pytest.raises(UserError, match=r"not recorded \(5_0.*scancel --name=my-sweep-") as error:
        launch(sweep)
    assert "\n" not in str(error.value)
    assert ids(sweep) == [[], [], []]


def test_what_slurm_says_is_one_line(seen: Path, sweep: SweepFolder):
    (seen / "refuse").touch()
    with pytest.raises(UserError, match="Slurm took no jobs: .*no partition") as error:
        launch(sweep)
    assert "\n" not in str(error.value)
    (seen / "down").touch()
    with pytest.raises(UserError, match="Slurm does not answer: .*no controller"):
        launch(sweep)


def test_waiting_ends_when_the_queue_holds_no_job_of_the_sweep(
    seen: Path, sweep: SweepFolder, monkeypatch: pytest.MonkeyPatch
):
    launch(sweep)
    name = slurm._slurm_name(sweep)
    looks = [["1_0", "1_1", "1_2"], ["1_0", "1_1"], ["1_1"], [], ["1_2"]]
    monkeypatch.setattr(slurm, "_queue", lambda: dict.fromkeys(looks.pop(0), name))
    monkeypatch.setattr(slurm, "_POLL_S", 0.0)
    launcher = SlurmLauncher(SlurmOptions(), wait=True)
    assert launcher.launch(sweep, sweep.jobs) == 1
    assert looks == [["1_2"]]
