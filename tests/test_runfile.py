"""run.json, what it decides, and the description of the machine that it keeps."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rr_scale import configure, platform, runfile
from rr_scale.config import ResetRule, RunConfig
from rr_scale.errors import UserError

CONFIG = RunConfig(env_name="probe-action", max_steps=100)
MACHINE: dict[str, Any] = {
    "versions": {"jax": "1", "jaxlib": "1", "mujoco": "3", "dm_control": "1", "gymnasium": "1"},
    "cpu": "a cpu",
    "threads": 2,
    "host_devices": 1,
    "device_platform": "cpu",
    "device_kind": "cpu",
    "device_count": 1,
    "matmul_precision": None,
    "code": "abc",
}


def start(folder: Path, config: RunConfig = CONFIG, *, exact: bool = True) -> runfile.RunFile:
    return runfile.begin_session(runfile.open_run(config, folder), MACHINE, exact=exact)


def test_a_missing_folder_is_a_new_run_and_stays_missing(tmp_path: Path) -> None:
    run = runfile.open_run(CONFIG, tmp_path / "a" / "b")
    assert run.is_new
    assert not run.discards
    assert run.recorded_layout() == (None, None)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["lock", ".lock", "lock.guard", "run.json.partial"])
def test_leftovers_count_as_empty(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    assert runfile.open_run(CONFIG, tmp_path).is_new


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written = start(tmp_path / "run")
    read = runfile.open_run(CONFIG, tmp_path / "run")
    assert read == written
    assert not read.is_new
    assert read.recorded_layout() == (2, 1)
    stored = json.loads((tmp_path / "run" / "run.json").read_text())
    assert stored["format"] == 1
    assert stored["sessions"][0]["free"]["max_steps"] == 100
    assert [entry.name for entry in (tmp_path / "run").iterdir()] == ["run.json"]


def test_free_fields_change_and_the_horizon_stays(tmp_path: Path) -> None:
    start(tmp_path)
    run = start(tmp_path, replace(CONFIG, max_steps=900, tqdm=False))
    assert run.schedule_horizon == 100
    assert run.config.max_steps == 900
    assert [session["free"]["max_steps"] for session in run.sessions] == [100, 900]


def test_exactness_once_lost_stays_lost(tmp_path: Path) -> None:
    assert start(tmp_path).exact
    assert not start(tmp_path, exact=False).exact
    assert not start(tmp_path, exact=True).exact


def test_another_experiment_is_named_and_cut_short(tmp_path: Path) -> None:
    start(tmp_path)
    other = replace(CONFIG, seed=5, num_seeds=2, start_training=300, resets=(ResetRule(),) * 2)
    with pytest.raises(UserError) as caught:
        runfile.open_run(other, tmp_path)
    message = str(caught.value)
    assert "seed: 0 there, 5 here; num_seeds: 1 there, 2 here" in message
    assert "start_training: 10000 there, 300 here; +1 more" in message
    assert "\n" not in message
    with pytest.raises(UserError, match="resets: 1 of them there, none here"):
        runfile.open_run(replace(CONFIG, resets=()), tmp_path)


def test_other_files_are_not_a_run(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    for resume in ("auto", "must", "never"):
        with pytest.raises(UserError, match="not empty and not a run.*thesis.tex"):
            runfile.open_run(replace(CONFIG, resume=resume), tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        runfile.open_run(CONFIG, tmp_path / "file")


BROKEN = [
    "",
    "{",
    "[]",
    "{}",
    b"\xff\xfe",
    {"format": 2},
    {"config": {"seeed": 1}},
    {"config": None},
    {"sessions": []},
    {"sessions": [{}]},
    {"sessions": None},
    {"schedule_horizon": "1"},
    {"exact": 1},
]


@pytest.mark.parametrize("change", BROKEN)
def test_a_broken_record_is_named(tmp_path: Path, change: Any) -> None:
    start(tmp_path)
    path = tmp_path / "run.json"
    if isinstance(change, dict):
        change = json.dumps({**json.loads(path.read_text()), **change})
    path.write_bytes(change if isinstance(change, bytes) else change.encode())
    with pytest.raises(UserError) as caught:
        runfile.open_run(CONFIG, tmp_path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_must_needs_a_run(tmp_path: Path) -> None:
    config = replace(CONFIG, resume="must")
    with pytest.raises(UserError, match="holds no run to resume"):
        runfile.open_run(config, tmp_path)
    start(tmp_path)
    assert not runfile.open_run(config, tmp_path).is_new


def test_never_discards_the_same_experiment_but_not_the_lock(tmp_path: Path) -> None:
    start(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "1").write_text("x")
    (tmp_path / "lock").write_text("x")
    run = runfile.open_run(replace(CONFIG, resume="never", max_steps=7), tmp_path)
    assert run.discards
    assert run.is_new
    assert run.schedule_horizon == 7
    assert (tmp_path / "run.json").exists()
    runfile.discard(run)
    assert [entry.name for entry in tmp_path.iterdir()] == ["lock"]
    with pytest.raises(UserError, match="another experiment"):
        start(tmp_path)
        runfile.open_run(replace(CONFIG, resume="never", seed=1), tmp_path)


def test_an_unnamed_run_is_the_one_named_after_its_preset(tmp_path: Path) -> None:
    start(tmp_path)
    assert not runfile.open_run(replace(CONFIG, exp_name="sr_sac"), tmp_path).is_new
    assert runfile.read_run(tmp_path).config.exp_name == "sr_sac"  # type: ignore[union-attr]


def test_the_same_machine_continues_exactly(tmp_path: Path) -> None:
    fresh = runfile.open_run(CONFIG, tmp_path)
    assert runfile.check_machine(fresh, {}) == []
    assert runfile.check_machine(start(tmp_path), dict(MACHINE)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cpu": "b"}, "CPU: a cpu then, b now"),
        ({"threads": 4}, "thread-pool size: 2 then, 4 now"),
        ({"host_devices": 2}, "number of host devices: 1 then, 2 now"),
        ({"device_count": 2}, "number of devices"),
        ({"device_kind": "x"}, "device: cpu then, x now"),
        ({"device_platform": "gpu"}, "not promised on a gpu"),
        ({"matmul_precision": "highest"}, "matmul precision"),
        ({"code": "d"}, "source code"),
        ({"versions": {**MACHINE["versions"], "jaxlib": "2"}}, "jaxlib: 1 then, 2 now"),
    ],
)
def test_what_prevents_exactness_is_named(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    run = start(tmp_path)
    found = runfile.check_machine(run, MACHINE | change)
    assert len(found) == 1
    assert words in found[0]
    strict = replace(run, config=replace(CONFIG, require_exact=True))
    with pytest.raises(UserError, match=re.escape(found[0])):
        runfile.check_machine(strict, MACHINE | change)


def test_exactness_lost_before_is_an_error_if_it_is_required(tmp_path: Path) -> None:
    run = start(tmp_path, exact=False)
    assert runfile.check_machine(run, MACHINE) == []
    with pytest.raises(UserError, match="earlier session was not exact"):
        runfile.check_machine(replace(run, config=replace(CONFIG, require_exact=True)), MACHINE)


def test_another_simulator_is_an_error(tmp_path: Path) -> None:
    changed = MACHINE | {"versions": {**MACHINE["versions"], "mujoco": "4"}}
    with pytest.raises(UserError, match="mujoco: 3 then, 4 now"):
        runfile.check_machine(start(tmp_path), changed)


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set before it is deleted, so that the value from before is restored afterwards.
    for name in ("NPROC", "XLA_FLAGS", "MUJOCO_GL"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("clean_environment")
def test_prepare_sets_what_xla_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    monkeypatch.setenv("XLA_FLAGS", "--xla_other=1")
    assert platform.prepare(None, None) == (len(os.sched_getaffinity(0)), 1)
    assert platform.prepare(3, 2) == (3, 2)
    assert os.environ["NPROC"] == "3"
    assert os.environ["XLA_FLAGS"] == ("--xla_other=1 --xla_force_host_platform_device_count=2")
    assert os.environ["MUJOCO_GL"] == "disabled"
    assert platform.prepare(None, None) == (3, 2)


@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize(
    ("lanes", "expected"), [(1, (4, 1)), (2, (2, 2)), (3, (1, 3)), (10, (1, 4))]
)
def test_lanes_get_a_device_each_and_share_the_cpus(
    lanes: int, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    monkeypatch.setattr(platform, "usable_cpus", lambda: 4)
    assert platform.prepare(None, None, lanes) == expected


@pytest.mark.usefixtures("clean_environment")
def test_prepare_refuses_what_jax_would_not_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", sys)
    platform.prepare(None, None)
    with pytest.raises(RuntimeError, match="before the process was set up"):
        platform.prepare(platform.current_layout().threads + 1, None)


def test_describe_says_what_jax_runs_on() -> None:
    program = (
        "from rr_scale import platform; import json; platform.prepare(1, 2);"
        "print(json.dumps(platform.describe()))"
    )
    environment = os.environ | {"XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=Path(__file__).parents[1],
    )
    found = json.loads(done.stdout)
    assert (found["threads"], found["host_devices"], found["device_count"]) == (1, 2, 2)
    assert found["device_platform"] == "cpu"
    assert all(found["versions"][name] for name in ("jax", "jaxlib", "mujoco", "orbax"))
    assert re.fullmatch(r"[0-9a-f]{12}", found["code"])
    assert found["git_commit"] is None or re.fullmatch(
        r"[0-9a-f]{40}(-dirty)?", found["git_commit"]
    )
    assert platform.exactness_differences(found, found) == []


def test_resolved_configuration_is_what_is_stored(tmp_path: Path) -> None:
    run = start(tmp_path)
    stored = json.loads((tmp_path / "run.json").read_text())["config"]
    assert configure.from_dict(stored) == run.config
    assert run.config.save_dir == str(tmp_path)
