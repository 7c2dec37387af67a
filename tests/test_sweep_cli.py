"""scripts/sweep.py: plans, refusals, progress; nothing is written without need."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import stub_job
from rr_scale.config import RunConfig
from rr_scale.presets import preset
from rr_scale.sweep import rates, record
from rr_scale.sweep.folder import read_sweep
from rr_scale.sweep.local import LocalLauncher
from rr_scale.sweep.rates import Measurement, estimate, kind_of
from small_runs import all_files

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ["--tasks=probe-target", "--presets=sac,td3", "--seeds=2", "--set=max_steps=50"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sweep_script", ROOT / "scripts" / "sweep.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def stub_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: ModuleType) -> None:
    def launcher(workers: int, retries: int) -> LocalLauncher:
        return LocalLauncher(workers, retries, stub_job.COMMAND)

    monkeypatch.setattr(script, "LocalLauncher", launcher)
    monkeypatch.chdir(tmp_path)


def refused(script: ModuleType, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line on stderr of a command that ends with status 2."""
    capsys.readouterr()
    assert script.main(list(words)) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("sweep: ")
    assert printed.err.count("\n") == 1
    return printed.err


def test_run_then_status(script: ModuleType, capsys: pytest.CaptureFixture[str]):
    assert script.main(["run", *FLAGS, "--dir=s"]) == 0
    assert "0 of 2 jobs are done" in capsys.readouterr().out
    assert script.main(["status", "s"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1][:4] == ["probe-target-sac-rr1", "done", "50", "50"]
    assert rows[-1] == ["2", "done"]
    assert script.main(["run", *FLAGS, "--dir=s"]) == 0
    assert "2 of 2 jobs are done" in capsys.readouterr().out


def test_failed_jobs_are_named_at_the_end(script: ModuleType, capsys: pytest.CaptureFixture[str]):
    Path("s/jobs/probe-target-td3-rr1").mkdir(parents=True)
    assert "holds no sweep" in refused(script, capsys, "run", *FLAGS, "--dir=s")
    Path("s/jobs/probe-target-td3-rr1").rmdir()
    Path("s/jobs").rmdir()
    script.main(["run", *FLAGS, "--dir=s"])
    more = [FLAGS[0], "--presets=sac,td3,ddpg", *FLAGS[2:]]
    Path("s/jobs/probe-target-ddpg-rr1").mkdir()
    Path("s/jobs/probe-target-ddpg-rr1/act").write_text("fail")
    assert script.main(["run", *more, "--dir=s", "--retries=0"]) == 1
    printed = capsys.readouterr().out
    assert "2 of 3 jobs are done" in printed
    assert printed.endswith("2 done, 1 failed\nfailed: probe-target-ddpg-rr1\n")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--seeds=3"], "num_seeds is 2 there, 3 here"),
        (["--presets=sac"], "job probe-target-td3-rr1 is there and not in this one"),
        (["--set=hp.tau=0.1"], "hp.tau is 0.005 there, 0.1 here"),
        (["--cpus=7"], "CPUs per job there, 7 here"),
    ],
)
def test_the_folder_of_another_sweep_is_left_alone(
    script: ModuleType, capsys: pytest.CaptureFixture[str], changes: list[str], message: str
):
    script.main(["run", *FLAGS, "--dir=s"])
    before = all_files(Path("s"))
    line = refused(script, capsys, "run", *FLAGS, *changes, "--dir=s")
    assert "s holds another sweep" in line
    assert message in line
    assert all_files(Path("s")) == before


def test_a_larger_budget_continues_every_job(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
):
    script.main(["run", *FLAGS, "--dir=s"])
    assert script.main(["run", *FLAGS, "--set=max_steps=70", "--dir=s"]) == 0
    sweep = read_sweep(Path("s"))
    assert [record.reached(sweep.run_dir(job)) for job in sweep.jobs] == [70, 70]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--suite=dmc-hart", "--dir=s"], "did you mean 'dmc-hard'"),
        (["run", *FLAGS, "--grid=hp.lr=1,2", "--dir=s"], "unknown setting 'hp.lr'"),
        (["run", *FLAGS, "--grid=hp.tau", "--dir=s"], "--grid needs path=value, got 'hp.tau'"),
        (["run", *FLAGS], "--dir is needed"),
        (["run", *FLAGS, "--dir=s", "--launcher=pbs"], "invalid choice: 'pbs'"),
        (["run", *FLAGS, "--dir=s", "--seedz=3"], "unrecognized arguments: --seedz=3"),
        (["run", *FLAGS, "--dry_run", "--rates=gone"], "gone does not exist"),
        (["status", "s"], "s holds no sweep"),
        (["run", "gone.toml"], "gone.toml: cannot be read"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    script: ModuleType, capsys: pytest.CaptureFixture[str], words: list[str], message: str
):
    assert message in refused(script, capsys, *words)
    assert not list(Path().iterdir())


def test_without_slurm_nothing_is_written(
    script: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", "/nowhere")
    line = refused(script, capsys, "run", *FLAGS, "--dir=s", "--launcher=slurm")
    assert line == "sweep: no Slurm on this machine (sbatch was not found)\n"
    assert not list(Path().iterdir())


def test_a_broken_record_is_refused(script: ModuleType, capsys: pytest.CaptureFixture[str]):
    Path("s").mkdir()
    Path("s/sweep.json").write_text('{"format": 1')
    assert "cannot be read as the record of a sweep" in refused(script, capsys, "status", "s")


def measured(config: RunConfig, ratio: float, seconds: float, **changes: Any) -> Measurement:
    one = Measurement(kind_of(config), config.env_name, 10, ratio, seconds, 2, "here")
    return one._replace(**changes)


def test_hours_come_from_the_measurement_that_is_most_alike():
    config = dataclasses.replace(
        preset("sac"), env_name="cheetah-run", num_seeds=10, max_steps=3600, updates_per_step=4.0
    )
    slow, fast = measured(config, 1.0, 0.1), measured(config, 5.0, 0.5)
    guess = estimate(config, [slow, fast])
    assert guess is not None
    assert guess.hours == pytest.approx(10 * 0.4)
    assert guess.rough
    exact = estimate(config, [slow, fast, measured(config, 4.0, 0.2)])
    assert exact is not None
    assert (exact.hours, exact.rough) == (pytest.approx(10 * 0.2), False)
    one_cpu = estimate(config, [measured(config, 4.0, 0.2)], cpus=1)
    assert one_cpu is not None
    assert (one_cpu.hours, one_cpu.rough) == (pytest.approx(10 * 0.4), True)


def test_other_networks_or_batch_sizes_say_nothing_about_the_time():
    config, other = preset("sac"), preset("td3")
    assert estimate(config, [measured(other, 1.0, 0.1)]) is None
    wide = dataclasses.replace(config, replay=dataclasses.replace(config.replay, batch_size=512))
    assert estimate(wide, [measured(config, 1.0, 0.1)]) is None


def test_the_plan_shows_hours_from_a_benchmark_and_writes_nothing(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
):
    benchmark = ROOT / "results" / "benchmark" / "cpu-2-cores.json"
    flags = ["--tasks=cheetah-run", "--presets=sr_sac,ddpg", "--seeds=10", "--cpus=2"]
    assert script.main(["run", *flags, "--dry_run", f"--rates={benchmark}"]) == 0
    printed = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.strip()}
    rows = {name: cells for name, cells in rows.items() if name.startswith("cheetah")}
    raw = json.loads(benchmark.read_text())["sections"]["throughput"]["raw"]
    (rate,) = [
        one["whole_run"]["median"] for one in raw if (one["seeds"], one["replay_ratio"]) == (10, 32)
    ]
    expected = 32 * 10 * 1_000_000 / rate / 3600
    lanes, steps, updates, hours = rows["cheetah-run-sr_sac-rr32"]
    assert (lanes, steps, updates) == ("10", "1000000", str(32 * 990_000))
    assert float(hours) == pytest.approx(expected, rel=0.01)
    assert rows["cheetah-run-ddpg-rr1"][-1] == "?"
    assert not list(Path().iterdir())


def test_a_file_that_is_no_benchmark_is_named(tmp_path: Path):
    file = tmp_path / "rates.json"
    file.write_text("[]")
    with pytest.raises(rates.UserError, match="not a file of scripts/benchmark.py"):
        rates.read_rates([file])


def test_suites_are_listed(script: ModuleType, capsys: pytest.CaptureFixture[str]):
    assert script.main(["suites"]) == 0
    assert "dmc15-500k: " in capsys.readouterr().out
